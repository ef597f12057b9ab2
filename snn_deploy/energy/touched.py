"""Which neurons received at least one event in a step.

A neuron is touched when any connection into it, zero weights included, carries an event. For a convolution
that is a maximum over the receptive field; since every output channel of a group sees the same sources, one
map per group is enough. Pools and flattening between weights and neuron pass the mask on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import nir
import numpy as np
import torch
from torch.nn.functional import pad

from snn_deploy.energy.activity import Block
from snn_deploy.energy.fanout import window
from snn_deploy.graph.shapes import Pads, Shape, axes, flatten_axes, pads
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.synapses.events import EXACT_FLOAT32

Spread = Callable[[torch.Tensor], torch.Tensor]


class Touched:
    """Counts touched neurons of a plan, block after block.

    Amounts are ``[T, B, C or 1, *rest]``, positive exactly where an element holds an event. They stay
    floating point: their maximum is several times faster than making and summing boolean masks.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._spread = {name: _spread(plan, name) for name in plan.order}
        self._weights = frozenset(plan.of_type(*WEIGHT_NODES))

    def count(self, block: Block, name: str, grouped: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Neurons of node ``name`` that received an event, per step and sample: int64 ``[T, B]``.

        ``grouped`` holds, per weight node, the active source elements summed over the channels of each group:
        ``[T, B, groups, *spatial]``.
        """
        amount = self._entering(block, name, grouped).flatten(2)
        size = prod(self._plan.shapes[name])
        dtype = None if amount.shape[2] < EXACT_FLOAT32 else torch.float64
        # There is one channel where all channels agree.
        return amount.sign().sum(2, dtype=dtype).long() * (size // amount.shape[2])

    def _entering(self, block: Block, name: str, grouped: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Elements entering ``name`` of which any source holds an event."""
        amounts = [self._leaving(block, source, grouped) for source in self._plan.sources[name]]
        amounts += [block.delayed(source).abs() for source in self._plan.feedback.get(name, ())]
        return _largest(amounts)

    def _leaving(self, block: Block, name: str, grouped: Mapping[str, torch.Tensor]) -> torch.Tensor:
        spread = self._spread[name]
        if spread is None:
            return block.leaving(name).abs()
        return spread(grouped[name] if name in self._weights else self._entering(block, name, grouped))


def _spread(plan: Plan, name: str) -> Spread | None:
    """How a node passes amounts on; None where they start anew, at neurons and the input."""
    node = plan.node(name)
    if isinstance(node, nir.Affine | nir.Linear | nir.Scale):
        return lambda amount: amount
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        geometry, kernel = window(node), tuple(np.shape(node.weight)[2:])
        padding = tuple(geometry.padding)
        repeats = np.shape(node.weight)[0] // geometry.groups if geometry.groups > 1 else 1

        def reach(amount: torch.Tensor) -> torch.Tensor:
            found = _window_maximum(amount, kernel, geometry.stride, geometry.dilation, padding)
            return found if repeats == 1 else found.repeat_interleave(repeats, 2)

        return reach
    if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
        padding = pads(node, kernel, (1, 1), stride)
        return lambda amount: _window_maximum(amount, kernel, stride, (1, 1), padding)
    if isinstance(node, nir.Flatten):
        source = plan.shapes[plan.sources[name][0]]
        first, last = flatten_axes(node, len(source))
        return lambda amount: amount.expand(*amount.shape[:2], *source).flatten(2 + first, 2 + last)
    return None


def _window_maximum(
    amount: torch.Tensor, kernel: Shape, stride: Shape, dilation: Shape, padding: Pads
) -> torch.Tensor:
    """Largest element in each window of ``[T, B, C, *spatial]``, one axis after the other."""
    padded = pad(amount, [amount for pair in reversed(padding) for amount in pair])
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), start=3):
        count = (padded.shape[axis] - d * (k - 1) - 1) // s + 1
        taps = [_every(padded, axis, tap * d, count, s) for tap in range(k)]
        padded = _largest(taps)
    return padded


def _largest(amounts: list[torch.Tensor]) -> torch.Tensor:
    """Element-wise maximum; one new tensor however many ``amounts``."""
    if len(amounts) == 1:
        return amounts[0]
    largest = torch.maximum(amounts[0], amounts[1])
    for amount in amounts[2:]:
        largest = torch.maximum(largest, amount, out=largest if amount.shape == largest.shape else None)
    return largest


def _every(x: torch.Tensor, axis: int, start: int, count: int, step: int) -> torch.Tensor:
    """``count`` elements of ``x`` along ``axis`` from ``start``, every ``step``-th."""
    return x[(slice(None),) * axis + (slice(start, start + (count - 1) * step + 1, step),)]
