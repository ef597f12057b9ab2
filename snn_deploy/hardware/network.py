"""What a chip sees of a network: layers of weights, populations of neurons, and what lies between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.shapes import Shape, axes, pads
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.hardware.fans import POOLS, POPULATIONS, Fans, fans


@dataclass(frozen=True, slots=True, eq=False)
class WeightLayer:
    """One node of weights. Sizes are per spatial axis and empty for a dense layer.

    Attributes:
        first: whether the network's input reaches it without passing neurons.
        source: shape ``(C, H, W)`` or ``(N,)`` that enters it, as it was before any Flatten.
        target: shape that leaves it.
        padding: zeros before and after, per axis.
        biases: number of biases that are not zero.
    """

    name: str
    first: bool
    convolves: bool
    source: Shape
    target: Shape
    weight: npt.NDArray[np.floating]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int
    biases: int

    @property
    def channels_in(self) -> int:
        return self.source[0]

    @property
    def channels_out(self) -> int:
        return self.target[0]


class Network:
    """A plan with the neighbours of its nodes; loops count as neighbours too."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.before: dict[str, tuple[str, ...]] = {
            name: (*plan.sources[name], *plan.feedback.get(name, ())) for name in plan.order
        }
        behind: dict[str, list[str]] = {name: [] for name in plan.order}
        for name in plan.order:
            for source in self.before[name]:
                behind[source].append(name)
        self.behind: Mapping[str, tuple[str, ...]] = {name: tuple(found) for name, found in behind.items()}

    @cached_property
    def semantics(self) -> Semantics:
        return read_semantics(self.plan.graph)

    @cached_property
    def fans(self) -> Fans:
        """Synapses per neuron, all of them."""
        return fans(self.plan)

    @cached_property
    def populations(self) -> tuple[str, ...]:
        """Nodes of neurons, in execution order."""
        return self.plan.of_type(*POPULATIONS)

    @cached_property
    def outputs(self) -> frozenset[str]:
        """Populations that the output reads without passing weights."""
        found = self._reach(self.plan.output, self.before)
        return frozenset(name for name in found if isinstance(self.plan.node(name), POPULATIONS))

    @cached_property
    def layers(self) -> tuple[WeightLayer, ...]:
        """Nodes of weights, in execution order."""
        return tuple(self._layer(name) for name in self.plan.of_type(*WEIGHT_NODES))

    @cached_property
    def pools(self) -> tuple[str, ...]:
        """Nodes that pool, in execution order."""
        return self.plan.of_type(*POOLS)

    def neurons(self, name: str) -> int:
        """Number of neurons of a population."""
        return int(np.prod(self.plan.shapes[name]))

    def sources(self, name: str) -> frozenset[str]:
        """Weights, populations and input that reach ``name`` through pooling, scaling, flattening."""
        return self._reach(name, self.before)

    def targets(self, name: str) -> frozenset[str]:
        """Weights, populations and output that ``name`` reaches through pooling, scaling, flattening."""
        return self._reach(name, self.behind)

    def _reach(self, name: str, neighbours: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        stops = (*WEIGHT_NODES, *POPULATIONS, nir.Input, nir.Output, nir.Delay)
        found: set[str] = set()
        work, seen = list(neighbours[name]), set(neighbours[name])
        while work:
            here = work.pop()
            if isinstance(self.plan.node(here), stops):
                found.add(here)
                continue
            fresh = [other for other in neighbours[here] if other not in seen]
            seen.update(fresh)
            work += fresh
        return frozenset(found)

    def _unflattened(self, name: str) -> Shape:
        """Shape that enters ``name``, before the Flatten on its way."""
        before = self.before[name][0]
        while isinstance(self.plan.node(before), nir.Flatten):
            before = self.before[before][0]
        return self.plan.shapes[before]

    def _layer(self, name: str) -> WeightLayer:
        node = self.plan.node(name)
        weight = np.asarray(node.weight)
        convolves = isinstance(node, nir.Conv1d | nir.Conv2d)
        rank = weight.ndim - 2 if convolves else 0
        kernel = weight.shape[2:] if convolves else ()
        stride = axes(node.stride, rank) if convolves else ()
        dilation = axes(node.dilation, rank) if convolves else ()
        return WeightLayer(
            name=name,
            first=self.plan.input in self.sources(name),
            convolves=convolves,
            source=self.plan.shapes[self.before[name][0]] if convolves else self._unflattened(name),
            target=self.plan.shapes[name],
            weight=weight,
            kernel=tuple(int(k) for k in kernel),
            stride=stride,
            dilation=dilation,
            padding=pads(node, kernel, dilation, stride) if convolves else (),
            groups=axes(node.groups, 1)[0] if convolves else 1,
            biases=int(np.count_nonzero(getattr(node, "bias", 0))),
        )
