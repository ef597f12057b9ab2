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
from snn_deploy.graph.plan import observed_layers
from snn_deploy.graph.shapes import Pads, Shape, axes, flatten_axes, pads
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.synapses.events import EXACT_FLOAT32, flat_rows

Spread = Callable[[torch.Tensor], torch.Tensor]


class Touched:
    """Counts touched neurons of a plan.

    Masks are uint8 ``[rows, C or 1, *rest]``, 1 where an element holds an event: an element-wise maximum of
    bytes is the fastest way to join them.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._spread = {name: _spread(plan, name) for name in plan.order}
        self._weights = frozenset(plan.of_type(*WEIGHT_NODES))
        self._now, self._before = self._needed()

    def direct(self, block: Block) -> dict[str, torch.Tensor]:
        """Masks ``[T, B, *shape]`` that reach neurons without weights; ``name@t-1`` comes one step late."""
        found = {name: _mask(block.leaving(name)) for name in self._now}
        return found | {_late(name): _mask(block.delayed(name)) for name in self._before}

    def count(
        self, name: str, sites: Mapping[str, torch.Tensor], direct: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Neurons of node ``name`` that received an event, per row.

        Args:
            name: a node of neurons.
            sites: per weight node, active source elements per group: ``[rows, groups, *spatial]``.
            direct: see :meth:`direct`, with T and B as one axis of rows.
        """
        rows = flat_rows(self._entering(name, sites, direct))
        size = prod(self._plan.shapes[name])
        exact = torch.float32 if rows.shape[1] < EXACT_FLOAT32 else torch.float64
        # There is one channel where all channels agree.
        return rows.to(exact).sum(1).long() * (size // rows.shape[1])

    def _entering(
        self, name: str, sites: Mapping[str, torch.Tensor], direct: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Elements entering ``name`` of which any source holds an event."""
        masks = []
        for source in self._plan.sources[name]:
            spread = self._spread[source]
            if spread is None:
                masks.append(direct[source])
            else:
                known = source in self._weights
                masks.append(spread(_mask(sites[source]) if known else self._entering(source, sites, direct)))
        masks += [direct[_late(source)] for source in self._plan.feedback.get(name, ())]
        return _largest(masks)

    def _needed(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Nodes whose output reaches neurons without passing weights: in the same step, and one step late."""
        now: dict[str, None] = {}
        before: dict[str, None] = {}
        waiting = list(observed_layers(self._plan))
        while waiting:
            name = waiting.pop()
            before |= dict.fromkeys(self._plan.feedback.get(name, ()))
            for source in self._plan.sources[name]:
                if self._spread[source] is None:
                    now[source] = None
                elif source not in self._weights:
                    waiting.append(source)
        return tuple(now), tuple(before)


def _mask(values: torch.Tensor) -> torch.Tensor:
    return (values != 0).view(torch.uint8)


def _late(name: str) -> str:
    return f"{name}@t-1"


def _spread(plan: Plan, name: str) -> Spread | None:
    """How a node passes masks on; None where they start anew, at neurons and the input."""
    node = plan.node(name)
    if isinstance(node, nir.Affine | nir.Linear | nir.Scale):
        return lambda mask: mask
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        geometry, kernel = window(node), tuple(np.shape(node.weight)[2:])
        padding = tuple(geometry.padding)
        repeats = np.shape(node.weight)[0] // geometry.groups if geometry.groups > 1 else 1

        def reach(mask: torch.Tensor) -> torch.Tensor:
            found = _window_maximum(mask, kernel, geometry.stride, geometry.dilation, padding)
            return found if repeats == 1 else found.repeat_interleave(repeats, 1)

        return reach
    if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
        padding = pads(node, kernel, (1, 1), stride)
        return lambda mask: _window_maximum(mask, kernel, stride, (1, 1), padding)
    if isinstance(node, nir.Flatten):
        source = plan.shapes[plan.sources[name][0]]
        first, last = flatten_axes(node, len(source))
        return lambda mask: mask.expand(mask.shape[0], *source).flatten(1 + first, 1 + last)
    return None


def _window_maximum(
    mask: torch.Tensor, kernel: Shape, stride: Shape, dilation: Shape, padding: Pads
) -> torch.Tensor:
    """Largest element in each window of ``[rows, C, *spatial]``, one axis after the other."""
    padded = pad(mask, [zeros for pair in reversed(padding) for zeros in pair])
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), start=2):
        count = (padded.shape[axis] - d * (k - 1) - 1) // s + 1
        taps = [_every(padded, axis, tap * d, count, s) for tap in range(k)]
        padded = _largest(taps)
    return padded


def _largest(masks: list[torch.Tensor]) -> torch.Tensor:
    """Element-wise maximum; one new tensor however many ``masks``."""
    if len(masks) == 1:
        return masks[0]
    largest = torch.maximum(masks[0], masks[1])
    for mask in masks[2:]:
        largest = torch.maximum(largest, mask, out=largest if mask.shape == largest.shape else None)
    return largest


def _every(x: torch.Tensor, axis: int, start: int, count: int, step: int) -> torch.Tensor:
    """``count`` elements of ``x`` along ``axis`` from ``start``, every ``step``-th."""
    return x[(slice(None),) * axis + (slice(start, start + (count - 1) * step + 1, step),)]
