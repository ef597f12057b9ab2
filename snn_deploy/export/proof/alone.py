"""How many weights of a node alone met an input that is not zero in some sum, and so were seen exactly."""

from __future__ import annotations

from math import prod
from typing import Any

import nir
import numpy as np
import torch
from torch.nn import functional
from torch.nn.grad import conv1d_weight, conv2d_weight

from snn_deploy.export.proof.frames import sources_of
from snn_deploy.export.proof.probes import Fed
from snn_deploy.graph.shapes import axes, pads
from snn_deploy.graph.types import WEIGHT_NODES, Plan

PART = 64


class Alone:
    """The weights of one node; none where it has no weights."""

    def __init__(self, plan: Plan, name: str) -> None:
        self._node, self._sources = plan.node(name), sources_of(plan, name)
        weighted = isinstance(self._node, WEIGHT_NODES)
        self._shape: tuple[int, ...] = np.asarray(self._node.weight).shape if weighted else ()
        self._groups = axes(getattr(self._node, "groups", 1), 1)[0]
        self._met: torch.Tensor | None = None

    @property
    def weights(self) -> int:
        """How many there are."""
        return prod(self._shape) if self._shape else 0

    def see(self, given: Fed) -> None:
        """Take inputs ``[T, B, *shape]`` of every source into account."""
        if self._shape:
            active = torch.stack([given.sent(source) != 0 for source in self._sources]).sum(0)
            met = self._alone(active.flatten(0, 1).float())
            self._met = met if self._met is None else self._met | met

    def count(self) -> int:
        """How many stood alone so far; each stands in every output channel of its group."""
        return 0 if self._met is None else int(self._met.sum()) * (self._shape[0] // self._groups)

    def _alone(self, active: torch.Tensor) -> torch.Tensor:
        """Weights of one output channel per group; ``active [F, *in]``: how many sources are not zero."""
        node, shape = self._node, self._shape
        if not isinstance(node, nir.Conv1d | nir.Conv2d):
            return active[active.flatten(1).sum(1) == 1].bool().any(0)
        rank = len(shape) - 2
        stride, dilation = axes(node.stride, rank), axes(node.dilation, rank)
        padding = pads(node, shape[2:], dilation, stride)
        active = functional.pad(active, [p for pair in reversed(padding) for p in pair])
        convolve = functional.conv1d if rank == 1 else functional.conv2d
        weight_grad: Any = conv1d_weight if rank == 1 else conv2d_weight
        taps = torch.ones(self._groups, *shape[1:])
        found = torch.zeros_like(taps)
        for part in torch.split(active, PART):
            single = convolve(part, taps, None, stride, 0, dilation, self._groups) == 1
            hits = weight_grad(part, list(taps.shape), single.float(), stride, 0, dilation, self._groups)
            found = found.maximum(hits)
        return found > 0
