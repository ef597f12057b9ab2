r"""Rounding in which every weight makes up for the errors of those rounded before it.

The currents of a layer are :math:`W X`, with what calibration shows it, :math:`X [K, P]`, as columns
(:mod:`snn_deploy.graph.passes.quantize.columns`). Rounding each weight :math:`w` to the nearest integer is
best where inputs are independent of each other; those of a network are not. With :math:`H = X X^T`, damped by
a share of its mean diagonal, and the upper triangular :math:`R` of :math:`H = R R^T`, the squared error of
the errors :math:`e = w - w^q` is :math:`\lVert e R \rVert^2`, whose j-th term holds :math:`e_1 \dots e_j`
alone. So the columns of W are rounded one after another, each to the integer nearest to what makes its term
0,

.. math:: w_j + \frac{1}{R_{jj}} \sum_{i < j} e_i R_{ij}

which is the greedy minimum of :math:`\lVert (W - W^q) X \rVert^2`. It is the method of Frantar, Ashkboos,
Hoefler and Alistarh 2022 (all rows in one order, blocks of columns), written with H in place of its inverse.
Our choice: columns in the order of falling diagonals of H, and several scales of W at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from snn_deploy.graph.passes.quantize.rounding import weight_range
from snn_deploy.graph.passes.to_chip.windows import FloatArray

MAX_INPUTS = 4096
"""Inputs of a neuron up to which errors are made up for: the work grows with their cube (our choice)."""

_DAMPING = 0.01
_BLOCK = 128
_PRODUCT_ROWS = 512
_EXACT = 1 << 24
"""Up to which float32 adds whole numbers without an error."""


@dataclass(frozen=True, slots=True)
class Correlations:
    """Of the inputs of each group: the ``order`` in which they are rounded, ``[G, K]``, and the ``factor`` R,
    ``[G, K, K]`` float64, of H in that order."""

    order: torch.Tensor
    factor: torch.Tensor


def correlations(seen: torch.Tensor) -> Correlations | None:
    """Those of whole numbers ``seen [G, K, P]``; None if a neuron has more than :data:`MAX_INPUTS` inputs, or
    sees nothing."""
    if seen.shape[1] > MAX_INPUTS or not seen.any():
        return None
    exact = float(seen.abs().max()) ** 2 * seen.shape[2] < _EXACT
    values = seen if exact else seen.double()
    energy = values.square().sum(2, dtype=torch.float64)
    order = energy.argsort(dim=1, descending=True, stable=True)
    factors = [_factor(x[chosen]) for x, chosen in zip(values, order, strict=True)]
    return Correlations(order, torch.stack(factors))


def _factor(x: torch.Tensor) -> torch.Tensor:
    """R of the damped ``X X^T``: the Cholesky factor of the inputs in reverse, turned back. Only the triangle
    that it reads is computed."""
    turned = x.flip(0)
    gram = torch.zeros(len(x), len(x), dtype=torch.float64)
    for start in range(0, len(x), _PRODUCT_ROWS):
        end = start + _PRODUCT_ROWS
        gram[start:end, :end] = turned[start:end] @ turned[:end].T
    diagonal = gram.diagonal()
    diagonal += _DAMPING * diagonal.mean()
    factor: torch.Tensor = torch.linalg.cholesky(gram)
    return factor.flip(0, 1)


def compensated(weight: FloatArray, known: Correlations, scales: FloatArray, bits: int) -> torch.Tensor:
    """Integer weights ``[S, *weight]`` as float64.

    Args:
        weight: ``[N, ...]`` in real units.
        known: what is known of its inputs.
        scales: weight units per real unit, ``[S]``, or ``[S, N]`` with one for every channel.
        bits: of a weight, 2 to 8.
    """
    groups, inputs = known.order.shape
    real = torch.from_numpy(weight).flatten(1)
    per_row = torch.from_numpy(scales).reshape(len(scales), -1).expand(-1, len(real))
    scaled = (real * per_row[..., None]).view(len(scales), groups, -1, inputs).transpose(0, 1)
    rounded = torch.stack(
        [
            _round(rows.flatten(0, 1).T[order], factor, bits)[order.argsort()].T.reshape_as(rows)
            for rows, order, factor in zip(scaled, known.order, known.factor, strict=True)
        ]
    )
    return rounded.transpose(0, 1).reshape(len(scales), *weight.shape)


def _round(wanted: torch.Tensor, factor: torch.Tensor, bits: int) -> torch.Tensor:
    """Integers of ``wanted [K, rows]``, rounded from the first of K to the last."""
    step, lowest, highest = weight_range(bits)
    wanted = wanted / step
    found, errors = torch.empty_like(wanted), torch.empty_like(wanted)
    for start in range(0, len(wanted), _BLOCK):
        end = min(start + _BLOCK, len(wanted))
        owed = factor[:start, start:end].T @ errors[:start]
        shares = 1 / factor.diagonal()[start:end]
        for i, share in enumerate(shares.tolist()):
            here = start + i
            torch.add(wanted[here], owed[i], alpha=share, out=found[here])
            found[here].round_().clamp_(lowest / step, highest / step)
            torch.sub(wanted[here], found[here], out=errors[here])
            owed[i + 1 :].addr_(factor[here, here + 1 : end], errors[here])
    return found * step
