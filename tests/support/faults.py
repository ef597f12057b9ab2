"""Single faults of a graph, as a faulty writer would make them: each changes one thing, in place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import nir
import numpy as np

from snn_deploy.graph.semantics import read_semantics, write_semantics
from snn_deploy.graph.types import WEIGHT_NODES

Change = Callable[[nir.NIRGraph, np.random.Generator], None]
SPIKING = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)


@dataclass(frozen=True)
class Fault:
    """A kind of fault at a node; ``change`` plants it."""

    kind: str
    where: str
    change: Change

    def planted(self, graph: nir.NIRGraph, seed: int) -> nir.NIRGraph:
        """A copy of ``graph`` with the fault."""
        made = copy.deepcopy(graph)
        self.change(made, np.random.default_rng(seed))
        return made


def faults_of(graph: nir.NIRGraph) -> Iterator[Fault]:
    """Every kind of fault that ``graph`` has a place for."""
    for name, node in graph.nodes.items():
        if isinstance(node, WEIGHT_NODES):
            yield from _of_weights(name, node)
        elif isinstance(node, SPIKING):
            yield from _of_neurons(name, node)
        elif isinstance(node, nir.Scale):
            yield Fault("scale 0.1 %", name, _times(name, "scale", 1.001))
        elif isinstance(node, nir.AvgPool2d):
            yield Fault("pool sums", name, _pool_sums(name))
        elif isinstance(node, nir.Delay):
            yield Fault("one step delay", name, _plus(name, "delay", read_semantics(graph).dt))
        elif isinstance(node, nir.LI | nir.I | nir.CubaLI):
            yield Fault("gain", name, _times(name, "r", 1.001))
            for field in ("tau", "tau_mem", "tau_syn"):
                if hasattr(node, field):
                    yield Fault("tau", name, _times(name, field, 1.01))
    yield Fault("comparison", "graph", _comparison)
    yield Fault("reset kind", "graph", _reset)
    for a, b in graph.edges:
        if sum(target == b for _, target in graph.edges) > 1:
            yield Fault("dropped edge", f"{a} -> {b}", _without((a, b)))
        if isinstance(graph.nodes[b], SPIKING):
            yield Fault("one step delay", f"{a} -> {b}", _delayed((a, b)))


def _of_weights(name: str, node: nir.NIRNode) -> Iterator[Fault]:
    yield Fault("weight sign", name, _one_weight(name, lambda w: -w))
    yield Fault("one weight", name, _one_weight(name, lambda w: w * np.float32(1.001)))
    yield Fault("one weight lost", name, _one_weight(name, lambda w: w * 0))
    yield Fault("weights 0.1 %", name, _times(name, "weight", 1.001))
    yield Fault("all signs", name, _times(name, "weight", -1.0))
    if len(node.weight) > 1:
        yield Fault("channel swap", name, _swap(name, 0))
    if node.weight.shape[1] > 1:
        yield Fault("input channel swap", name, _swap(name, 1))
    if hasattr(node, "bias"):
        yield Fault("bias", name, _bias(name))
    if isinstance(node, nir.Conv2d) and min(node.weight.shape[2:]) > 1:
        yield Fault("shifted padding", name, _shifted(name))


def _of_neurons(name: str, node: nir.NIRNode) -> Iterator[Fault]:
    field = "threshold" if isinstance(node, nir.Threshold) else "v_threshold"
    yield Fault("threshold 0.1 %", name, _times(name, field, 1.001))
    for sign in (1, -1):
        yield Fault("threshold 1e-6", name, _times(name, field, 1 + sign * 1e-6))
    yield Fault("threshold of one neuron", name, _one(name, field, 1.001))
    for time in ("tau", "tau_mem", "tau_syn"):
        if hasattr(node, time):
            yield Fault("tau", name, _times(name, time, 1.01))
            yield Fault("tau of one neuron", name, _one(name, time, 1.01))
    if hasattr(node, "v_reset"):
        yield Fault("reset value", name, _reset_value(name))
    if hasattr(node, "r"):
        yield Fault("gain", name, _times(name, "r", 1.001))
    if hasattr(node, "v_leak"):
        yield Fault("rest", name, _leak(name))


def _set(graph: nir.NIRGraph, name: str, field: str, value: np.ndarray) -> None:
    old = np.asarray(getattr(graph.nodes[name], field))
    setattr(graph.nodes[name], field, value.astype(old.dtype if old.dtype.kind == "f" else np.float32))


def _times(name: str, field: str, factor: float) -> Change:
    def change(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
        _set(graph, name, field, np.asarray(getattr(graph.nodes[name], field), np.float64) * factor)

    return change


def _plus(name: str, field: str, more: float) -> Change:
    def change(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
        _set(graph, name, field, np.asarray(getattr(graph.nodes[name], field), np.float64) + more)

    return change


def _one(name: str, field: str, factor: float) -> Change:
    def change(graph: nir.NIRGraph, rng: np.random.Generator) -> None:
        values = np.array(getattr(graph.nodes[name], field), np.float64)
        values.flat[rng.integers(values.size)] *= factor
        _set(graph, name, field, values)

    return change


def _one_weight(name: str, changed: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(graph: nir.NIRGraph, rng: np.random.Generator) -> None:
        weight = np.array(graph.nodes[name].weight, np.float32)
        used = np.flatnonzero(weight)
        if len(used):
            at = rng.choice(used)
            weight.flat[at] = changed(weight.flat[at])
        graph.nodes[name].weight = weight

    return change


def _swap(name: str, axis: int) -> Change:
    def change(graph: nir.NIRGraph, rng: np.random.Generator) -> None:
        node = graph.nodes[name]
        order = np.arange(node.weight.shape[axis])
        a, b = rng.choice(len(order), 2, replace=False)
        order[[a, b]] = order[[b, a]]
        node.weight = np.take(node.weight, order, axis)

    return change


def _bias(name: str) -> Change:
    def change(graph: nir.NIRGraph, rng: np.random.Generator) -> None:
        node = graph.nodes[name]
        bias = np.array(node.bias, np.float64)
        bias[rng.integers(bias.size)] += 1e-3 * np.abs(node.weight).mean()
        _set(graph, name, "bias", bias)

    return change


def _shifted(name: str) -> Change:
    """Weights one pixel further, what falls out comes in again: a padding of (2, 0) for (1, 1)."""

    def change(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
        graph.nodes[name].weight = np.roll(graph.nodes[name].weight, 1, -1)

    return change


def _reset_value(name: str) -> Change:
    def change(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
        node = graph.nodes[name]
        size = np.abs(node.v_threshold).mean()
        _set(graph, name, "v_reset", np.asarray(node.v_reset, np.float64) - 0.01 * size)

    return change


def _leak(name: str) -> Change:
    def change(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
        node = graph.nodes[name]
        size = np.abs(getattr(node, "v_threshold", 1.0)).mean()
        _set(graph, name, "v_leak", np.asarray(node.v_leak, np.float64) + 0.01 * size)

    return change


def _pool_sums(name: str) -> Change:
    def change(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
        old = graph.nodes[name]
        graph.nodes[name] = nir.SumPool2d(old.kernel_size, old.stride, old.padding)

    return change


def _comparison(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
    semantics = read_semantics(graph)
    write_semantics(graph, semantics.stating(fires_at=">" if semantics.fires_at == ">=" else ">="))


def _reset(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
    semantics = read_semantics(graph)
    write_semantics(graph, semantics.stating(reset="zero" if semantics.reset == "subtract" else "subtract"))


def _without(edge: tuple[str, str]) -> Change:
    def change(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
        graph.edges = [found for found in graph.edges if found != edge]

    return change


def _delayed(edge: tuple[str, str]) -> Change:
    def change(graph: nir.NIRGraph, _rng: np.random.Generator) -> None:
        _a, b = edge
        node = graph.nodes[b]
        shape = np.asarray(getattr(node, "v_threshold", getattr(node, "threshold", 0.0))).shape
        dt = read_semantics(graph).dt
        graph.nodes["late"] = nir.Delay(np.full(shape, dt))
        graph.edges = [(x, "late") if (x, y) == edge else (x, y) for x, y in graph.edges] + [("late", b)]

    return change
