r"""Weights corrected for what spikes make of their inputs, by ridge regression.

A layer :math:`W x + b` that was trained on activations sees time averages :math:`\bar x` of spikes instead.
For a residual :math:`r` of its output on calibration images the correction is

.. math::
    \Delta = r^T U (U^T U + \lambda I)^{-1}

with the rows of U the windows of :math:`\bar x` that the weights see, a one behind each for the bias, which
is not penalised. :math:`\lambda` is a share of the mean of the diagonal. No gradient and no label is used;
layer by layer, it is the calibration of Li et al., ICML 2021, in closed form (our choice).
"""

from __future__ import annotations

import nir
import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.passes.fold_batchnorm import bias_of, with_weights
from snn_deploy.graph.shapes import axes, pads
from snn_deploy.graph.types import WEIGHT_NODES

FREE = 1e-9
"""Penalty of the bias, which keeps the system regular."""


def correctable(node: nir.NIRNode) -> bool:
    """Whether ``node`` has weights of its own that a correction may change."""
    return isinstance(node, WEIGHT_NODES) and not node.metadata.get("fixed")


def windows(node: nir.NIRNode, x: torch.Tensor) -> torch.Tensor | None:
    """U ``[B positions, features + 1]`` of the inputs ``x [B, *in]``; None for a grouped or one-dimensional
    convolution, whose bias alone is corrected."""
    if isinstance(node, nir.Affine | nir.Linear):
        found = x
    elif isinstance(node, nir.Conv2d) and axes(node.groups, 1)[0] == 1:
        kernel, stride, dilation = node.weight.shape[2:], axes(node.stride, 2), axes(node.dilation, 2)
        around = [n for pair in reversed(pads(node, kernel, dilation, stride)) for n in pair]
        unfolded = functional.unfold(functional.pad(x, around), kernel, dilation, 0, stride)
        found = unfolded.transpose(1, 2).flatten(0, 1)
    else:
        return None
    return torch.cat([found, found.new_ones(len(found), 1)], 1)


def rows(residual: torch.Tensor) -> torch.Tensor:
    """``[B, C, ...] -> [B positions, C]``, in the order of :func:`windows`."""
    return residual.flatten(2).transpose(1, 2).flatten(0, 1) if residual.ndim > 2 else residual


class Regression:
    """Sums over calibration images, added part by part; then corrections for one residual after the other."""

    def __init__(self, penalty: float) -> None:
        self._penalty = penalty
        self._gram: torch.Tensor | None = None
        self._factor: torch.Tensor | None = None

    def add(self, u: torch.Tensor) -> None:
        """Take the windows of further images."""
        product = (u.T @ u).double()
        self._gram = product if self._gram is None else self._gram + product

    def correction(self, moment: torch.Tensor) -> torch.Tensor:
        """Delta ``[out, features + 1]`` for the moment ``U^T r [features + 1, out]``."""
        if self._factor is None:
            assert self._gram is not None
            diagonal = self._gram.diagonal()
            free = FREE * diagonal[-1]
            penalty = self._penalty * diagonal[:-1].sum() / max(len(diagonal) - 1, 1) + free
            penalty = torch.cat([penalty.expand(len(diagonal) - 1), free[None]])
            self._factor = torch.linalg.cholesky(self._gram + torch.diag(penalty))
            self._gram = None
        return torch.cholesky_solve(moment.double(), self._factor).T


def corrected(node: nir.NIRNode, delta: torch.Tensor) -> nir.NIRNode:
    """``node`` with ``delta [out, features + 1]`` added to weights and bias."""
    change = delta.numpy()
    weight, bias = np.asarray(node.weight, np.float64), bias_of(node)
    bias = np.zeros(len(weight)) if bias is None else bias
    if change.shape[1] > 1:
        weight = weight + change[:, :-1].reshape(weight.shape)
    return with_weights(node, weight, bias + change[:, -1])
