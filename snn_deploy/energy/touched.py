"""Which neurons received at least one event in a step.

A neuron is touched when any connection into it, zero weights included, carries an event. For a convolution
that is a maximum over the receptive field; since every output channel of a group sees the same sources, one
map per group is enough. Pools and flattening between weights and neuron pass the mask on.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np
import torch
from torch.nn.functional import pad

from snn_deploy.energy.activity import EXACT_FLOAT32
from snn_deploy.graph.shapes import Pads, Shape, axes, flatten_axes, pads
from snn_deploy.graph.types import WEIGHT_NODES, Plan, Trace


def touched(plan: Plan, trace: Trace, name: str, grouped: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Neurons of node ``name`` that received an event, per step and sample: int64 ``[T, B]``.

    ``grouped`` holds, per weight node, the active source elements summed over the channels of each group:
    ``[T, B, groups, *spatial]``.
    """
    amount = _Amounts(plan, trace, grouped).entering(name).flatten(2)
    size = int(np.prod(plan.shapes[name]))
    dtype = None if amount.shape[2] < EXACT_FLOAT32 else torch.float64
    # There is one channel where all channels agree.
    return amount.sign().sum(2, dtype=dtype).long() * (size // amount.shape[2])


class _Amounts:
    """Amounts ``[T, B, C or 1, *rest]``, positive exactly where an element holds an event.

    They stay floating point: their maximum is several times faster than making and summing boolean masks.
    """

    def __init__(self, plan: Plan, trace: Trace, grouped: Mapping[str, torch.Tensor]) -> None:
        self._plan = plan
        self._trace = trace
        self._grouped = grouped

    def entering(self, name: str) -> torch.Tensor:
        """Elements entering ``name`` of which any source holds an event."""
        amounts = [self._leaving(source) for source in self._plan.sources[name]]
        for source in self._plan.feedback.get(name, ()):
            amount = self._leaving(source)
            amounts.append(torch.cat([torch.zeros_like(amount[:1]), amount[:-1]]))
        return _largest(amounts)

    def _leaving(self, name: str) -> torch.Tensor:
        node = self._plan.node(name)
        if isinstance(node, WEIGHT_NODES):
            return _reached(node, self._grouped[name])
        if isinstance(node, nir.Scale):
            return self.entering(name)
        if isinstance(node, nir.Flatten):
            amount = self.entering(name)
            source = self._plan.shapes[self._plan.sources[name][0]]
            first, last = flatten_axes(node, len(source))
            return amount.expand(*amount.shape[:2], *source).flatten(2 + first, 2 + last)
        if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
            kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
            padding = pads(node, kernel, (1, 1), stride)
            return _window_maximum(self.entering(name), kernel, stride, (1, 1), padding)
        return self._trace.records[name].abs()


def _reached(node: nir.NIRNode, active: torch.Tensor) -> torch.Tensor:
    """Targets that ``active [T, B, groups, *spatial]`` reaches through the weight node."""
    weight = np.asarray(node.weight)
    if isinstance(node, nir.Affine | nir.Linear):
        return active
    kernel = weight.shape[2:]
    stride, dilation = axes(node.stride, len(kernel)), axes(node.dilation, len(kernel))
    reached = _window_maximum(active, kernel, stride, dilation, pads(node, kernel, dilation, stride))
    groups = active.shape[2]
    return reached if groups == 1 else reached.repeat_interleave(weight.shape[0] // groups, 2)


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
