r"""Synapses per neuron, counted exactly by sending ones through the weights' support.

With :math:`m_w = [w \ne 0]`, a one for every source element and :math:`c` the sum of :math:`m_w`-weighted
ones that reaches a neuron, the fan-in of the neuron is :math:`c` and the fan-out of a source is
:math:`\partial \sum c / \partial s`. Pooling counts every source element of a window; a synapse is a path, so
windows that overlap count their shared elements twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.shapes import axes, flatten_axes, pads
from snn_deploy.graph.types import NEURON_NODES, WEIGHT_NODES, Plan

POPULATIONS = NEURON_NODES
POOLS = (nir.AvgPool2d, nir.SumPool2d)


@dataclass(frozen=True, slots=True)
class Fans:
    """Largest fan-in per population; largest and total fan-out of the input and of every population."""

    fan_in: dict[str, int]
    fan_out: dict[str, int]
    sent: dict[str, int]

    @property
    def total(self) -> int:
        """All synapses."""
        return sum(self.sent.values())


def fans(plan: Plan, targets: Iterable[str] | None = None) -> Fans:
    """Count the synapses that end in ``targets`` (populations, and weights that the output reads).

    Everything that ends anywhere is counted by default.
    """
    ones: dict[str, torch.Tensor] = {}
    for name in plan.order:
        if isinstance(plan.node(name), (*POPULATIONS, nir.Input)):
            ones[name] = torch.ones(plan.shapes[name], dtype=torch.float64, requires_grad=True)
    reaching: dict[str, torch.Tensor] = {}
    arriving: dict[str, torch.Tensor] = {}
    for name in plan.order:
        if name == plan.input:
            continue
        sources = [*plan.sources[name], *plan.feedback.get(name, ())]
        known = [ones[s] if s in ones else reaching[s] for s in sources if s in ones or s in reaching]
        summed = sum(known, torch.zeros(plan.shapes[sources[0]], dtype=torch.float64))
        if name in ones or name == plan.output:
            arriving[name] = summed
        else:
            reaching[name] = _passed(plan.node(name), summed)
    wanted = set(arriving) if targets is None else set(targets)
    counted = {name: c for name, c in arriving.items() if name in wanted and _has_weights(plan, name)}
    total = sum((c.sum() for c in counted.values()), torch.zeros((), dtype=torch.float64))
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    back = {name: t.grad if t.grad is not None else torch.zeros_like(t) for name, t in ones.items()}
    return Fans(
        fan_in={name: int(c.max()) for name, c in counted.items()},
        fan_out={name: int(g.max()) for name, g in back.items()},
        sent={name: int(g.sum()) for name, g in back.items()},
    )


def _has_weights(plan: Plan, name: str) -> bool:
    """Whether what arrives at ``name`` passed weights: neurons behind neurons alone have no synapse."""
    work = [*plan.sources[name], *plan.feedback.get(name, ())]
    seen: set[str] = set()
    while work:
        here = work.pop()
        if here in seen or isinstance(plan.node(here), (*POPULATIONS, nir.Input)):
            continue
        if isinstance(plan.node(here), WEIGHT_NODES):
            return True
        seen.add(here)
        work += [*plan.sources[here], *plan.feedback.get(here, ())]
    return False


def _support(weight: Any) -> torch.Tensor:
    return torch.from_numpy((np.asarray(weight) != 0).astype(np.float64))


def _passed(node: nir.NIRNode, x: torch.Tensor) -> torch.Tensor:
    """Ones behind ``node``: ``x`` without its T and B axes."""
    if isinstance(node, nir.Affine | nir.Linear):
        return _support(node.weight) @ x
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolved(node, x)
    if isinstance(node, POOLS):
        kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
        padded = _padded(x, pads(node, kernel, (1, 1), stride))
        window = torch.ones(x.shape[0], 1, *kernel, dtype=torch.float64)
        return functional.conv2d(padded[None], window, stride=stride, groups=x.shape[0])[0]
    if isinstance(node, nir.Flatten):
        return x.flatten(*flatten_axes(node, x.ndim))
    return x


def _convolved(node: nir.Conv1d | nir.Conv2d, x: torch.Tensor) -> torch.Tensor:
    support = _support(node.weight)
    rank = support.ndim - 2
    stride, dilation = axes(node.stride, rank), axes(node.dilation, rank)
    padded = _padded(x, pads(node, tuple(support.shape[2:]), dilation, stride))
    convolve = functional.conv1d if rank == 1 else functional.conv2d
    counted: torch.Tensor = convolve(
        padded[None], support, stride=stride, dilation=dilation, groups=axes(node.groups, 1)[0]
    )
    return counted[0]


def _padded(x: torch.Tensor, padding: tuple[tuple[int, int], ...]) -> torch.Tensor:
    return functional.pad(x, [side for pair in reversed(padding) for side in pair])
