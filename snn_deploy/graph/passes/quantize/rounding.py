r"""Weights on the grid of 8-bit synapses: what an exporter writes, and what a student is trained with.

With the scaled weight :math:`w = W S` and :math:`step = 2^{9 - bits}`,

.. math:: W_q = \operatorname{clip}(step \cdot \operatorname{round}(w / step), -256, 256 - step)

(half to even). A sum of synapses that could leave :math:`\pm 2^{17}` would wrap the 24-bit current;
:func:`within_sums` shrinks the rows of weights for which it could.
"""

from __future__ import annotations

import torch

from snn_deploy.graph.lava.net import Pair
from snn_deploy.graph.lava.rules import SUM_MAX, WEIGHT_MIN

_SLACK = 1 - 1e-9
"""Keeps a row whose bound is met exactly from crossing it by a rounding of float64."""


def weight_range(bits: int) -> tuple[int, int, int]:
    """``(step, lowest, highest)`` of the integer weights of ``bits`` bits."""
    step = 1 << (9 - bits)
    return step, WEIGHT_MIN, -WEIGHT_MIN - step


def round_to_grid(scaled: torch.Tensor, bits: int) -> torch.Tensor:
    """Integer weights of ``scaled`` real ones, as floats."""
    step, lowest, highest = weight_range(bits)
    return (step * torch.round(scaled / step)).clamp(lowest, highest)


def within_sums(weight: torch.Tensor, span: Pair, bits: int) -> torch.Tensor:
    """Integer ``weight [N, ...]``, with rows shrunk toward zero whose sum, for inputs within ``span`` and 0,
    could exceed ``SUM_MAX``; others are returned as they are (our choice)."""
    low, high = min(span[0], 0), max(span[1], 0)
    step, lowest, _ = weight_range(bits)
    if weight[0].numel() * -lowest * max(-low, high) <= SUM_MAX:
        return weight
    rows = weight.double().flatten(1)
    positive, negative = rows.clamp(min=0).sum(1), rows.clamp(max=0).sum(1)
    bound = torch.maximum(positive * high + negative * low, -(positive * low + negative * high))
    share = (SUM_MAX / bound.clamp(min=1)).clamp(max=1)
    shrunk = step * torch.trunc(rows * (share * _SLACK)[:, None] / step)
    chosen = torch.where((share < 1)[:, None], shrunk, rows)
    return chosen.to(weight.dtype).view_as(weight)
