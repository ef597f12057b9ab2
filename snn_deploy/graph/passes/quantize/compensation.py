r"""Rounding in which every weight makes up for the errors of those rounded before it.

The currents of a layer are :math:`W X`, with what calibration shows it, :math:`X [K, P]`, as columns.
Rounding each weight :math:`w` to the nearest integer is best where inputs are independent of each other;
those of a network are not. With :math:`H = X X^T`, damped by a share of its mean diagonal, and the upper
triangular :math:`U` of :math:`H^{-1} = U^T U`, the columns of W are rounded one after another, and those
still to come take up the error,

.. math:: w_j \leftarrow w_j - \frac{w_i - w_i^q}{U_{ii}} U_{ij}, \quad j > i

which is the greedy minimum of :math:`\lVert (W - W^q) X \rVert^2` (Frantar, Ashkboos, Hoefler and Alistarh
2022, equations 2 and 3 and section 3.3: all rows in one order, blocks of columns). Our choice: columns in the
order of falling diagonals of H, and several scales of W at once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.passes.quantize.rounding import round_to_grid
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, Window

MAX_INPUTS = 4096
"""Inputs of a neuron up to which errors are made up for: the work grows with their cube (our choice)."""

_DAMPING = 0.01
_BLOCK = 128
_ENTRIES = 1 << 25
"""Of X, which bounds memory and time: frames evenly spread over the calibration are taken."""


def compensated(
    linear: Window | Matrix, frames: torch.Tensor, scales: FloatArray, bits: int
) -> torch.Tensor | None:
    """Integer weights ``[S, *weight]`` as float64.

    Args:
        linear: weights ``[N, ...]`` in real units.
        frames: what the layer sees in calibration, ``[frames, *shape]``.
        scales: weight units per real unit, ``[S]``, or ``[S, N]`` with one for every channel.
        bits: of a weight, 2 to 8.

    Returns:
        None if a neuron has more than :data:`MAX_INPUTS` inputs, or the layer sees nothing.
    """
    groups = 1 if isinstance(linear, Matrix) else linear.groups
    inputs = int(np.prod(linear.weight.shape[1:]))
    if inputs > MAX_INPUTS or not frames.any():
        return None
    weight = torch.from_numpy(linear.weight).double().flatten(1)
    per_row = torch.from_numpy(scales).double().reshape(len(scales), -1).expand(-1, len(weight))
    scaled = (weight * per_row[..., None]).view(len(scales), groups, -1, inputs).transpose(0, 1)
    rounded = torch.stack(
        [
            _round(rows.flatten(0, 1), gram, bits).view_as(rows)
            for rows, gram in zip(scaled, _gram(linear, frames, groups, inputs), strict=True)
        ]
    )
    return rounded.transpose(0, 1).reshape(len(scales), *linear.weight.shape)


def _gram(linear: Window | Matrix, frames: torch.Tensor, groups: int, inputs: int) -> torch.Tensor:
    """``X X^T`` of every group, ``[G, K, K]``."""
    places = _columns(linear, frames[:1], groups, inputs).shape[-1]
    count = min(len(frames), max(1, _ENTRIES // (groups * inputs * places)))
    chosen = frames[torch.linspace(0, len(frames) - 1, count).round().long()]
    found = torch.zeros(groups, inputs, inputs, dtype=torch.float64)
    at_once = max(1, _ENTRIES // 16 // (groups * inputs * places))
    for start in range(0, count, at_once):
        columns = _columns(linear, chosen[start : start + at_once], groups, inputs)
        found += columns @ columns.transpose(1, 2)
    return found


def _columns(linear: Window | Matrix, frames: torch.Tensor, groups: int, inputs: int) -> torch.Tensor:
    """X of every group, ``[G, K, frames * places]``."""
    if isinstance(linear, Matrix):
        return frames.flatten(1).T[None]
    kernel = tuple(linear.weight.shape[2:])
    found = functional.unfold(frames, kernel, linear.dilation, linear.padding, linear.stride)
    return found.transpose(0, 1).reshape(groups, inputs, -1)


def _round(scaled: torch.Tensor, gram: torch.Tensor, bits: int) -> torch.Tensor:
    """Integers of ``scaled [rows, K]``."""
    order = gram.diagonal().argsort(descending=True, stable=True)
    factor = _factor(gram[order][:, order])
    rest = scaled[:, order]
    found = torch.empty_like(rest)
    for start in range(0, rest.shape[1], _BLOCK):
        here = slice(start, start + _BLOCK)
        block, upper = rest[:, here].clone(), factor[here, here]
        errors = torch.empty_like(block)
        for i in range(block.shape[1]):
            rounded = round_to_grid(block[:, i], bits)
            found[:, start + i] = rounded
            errors[:, i] = (block[:, i] - rounded) / upper[i, i]
            block[:, i + 1 :] -= errors[:, i, None] * upper[i, i + 1 :]
        rest[:, start + _BLOCK :] -= errors @ factor[here, start + _BLOCK :]
    return found[:, order.argsort()]


def _factor(gram: torch.Tensor) -> torch.Tensor:
    """The upper triangular U with ``inverse(H) = U^T U``."""
    damped = gram + _DAMPING * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor
