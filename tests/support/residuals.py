"""Small residual networks as graphs, of random geometry, in which every layer fires."""

from __future__ import annotations

from dataclasses import dataclass, field

import nir
import numpy as np

from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.shapes import output_shape
from support.graphs import graph

Shape = tuple[int, ...]
Value = tuple[str, ...]


@dataclass
class Builder:
    """Nodes, edges and shapes of a graph that grows; a value is the names of the nodes whose sum it is."""

    rng: np.random.Generator
    shapes: dict[str, Shape]
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, node: nir.NIRNode, value: Value) -> Value:
        self.shapes[name] = output_shape(node, self.shapes[value[0]])
        self.nodes[name] = node
        self.edges += [(source, name) for source in value]
        return (name,)

    def conv(
        self, name: str, value: Value, channels: int, kernel: int, stride: int, bias: bool = True
    ) -> Value:
        shape = self.shapes[value[0]]
        weight = self.rng.normal(0.6, 1.0, (channels, shape[0], kernel, kernel)) / (kernel * shape[0]) ** 0.5
        total = weight.sum((1, 2, 3), keepdims=True)
        weight *= np.sign(total) * np.maximum(1, 2 / np.abs(total))
        offset = self.rng.normal(0, 0.2, channels)
        pad = kernel // 2
        return self.add(name, nir.Conv2d(shape[1:], weight, stride, pad, 1, 1, offset), value)

    def neuron(self, name: str, value: Value, kind: str | None = None) -> Value:
        shape = self.shapes[value[0]]
        one = np.ones(shape)
        threshold = float(self.rng.uniform(0.6, 1.2)) * one
        kind = kind or str(self.rng.choice(["if", "lif", "lif, v_reset"]))
        if kind == "if":
            return self.add(name, nir.IF(1e4 * one, threshold), value)
        reset = -0.1 * one if kind.endswith("reset") else 0 * one
        tau = float(self.rng.choice([2, 3])) * 1e-4 * one
        return self.add(name, nir.LIF(tau, 2 * one, reset, threshold, reset), value)

    def pool(self, name: str, value: Value, size: int) -> Value:
        pair = np.array([size, size])
        return self.add(name, nir.AvgPool2d(pair, pair, np.zeros(2, int)), value)

    def maximum(self, name: str, value: Value, size: int, stride: int, padding: int) -> Value:
        pairs = (np.array([n, n]) for n in (size, stride, padding))
        total = self.add(f"{name}.sum", nir.SumPool2d(*pairs), value)
        return self.add(name, nir.Threshold(np.full(self.shapes[total[0]], 0.5)), total)

    def finish(self, value: Value, classes: int = 3) -> nir.NIRGraph:
        """Average over positions, flatten, a dense readout, and the graph."""
        shape = self.shapes[value[0]]
        if len(shape) == 3:
            pooled = self.add(
                "pool", nir.AvgPool2d(np.array(shape[1:]), np.array(shape[1:]), np.zeros(2, int)), value
            )
            value = self.add("flat", nir.Flatten({"input": None}, 0, -1), pooled)
            shape = self.shapes["flat"]
        value = self.add(
            "fc", nir.Affine(self.rng.normal(0.3, 1, (classes, *shape)), np.zeros(classes)), value
        )
        self.edges += [(source, "output") for source in value]
        net = graph(self.nodes, self.edges, self.shapes["input"], (classes,))
        write_semantics(net, Semantics(fires_at=str(self.rng.choice([">=", ">"])), timesteps=6))
        return net


def residual(kind: str, seed: int) -> nir.NIRGraph:
    """A stem and two blocks of ``sew``, ``post`` or ``ms``, the second strided or not."""
    rng = np.random.default_rng([seed, ["sew", "post", "ms"].index(kind)])
    side = int(rng.integers(4, 9))
    build = Builder(rng, {"input": (2, side, side + int(rng.integers(0, 2)))})
    value = build.conv("stem.conv", ("input",), 4, 3, 1)
    if kind != "ms":
        value = build.neuron("stem.neuron", value)
    for number, stride in enumerate((1, int(rng.choice([1, 2])))):
        channels = 4 if stride == 1 and rng.random() < 0.6 else 5
        value = _block(build, kind, f"b{number}", value, channels, stride)
    if kind == "ms":
        value = build.neuron("last.neuron", value)
    return build.finish(value)


def pooled(kind: str, seed: int) -> nir.NIRGraph:
    """Two convolutions with ``average`` or ``maximum`` pooling behind the first."""
    build = Builder(np.random.default_rng([seed, len(kind)]), {"input": (2, 8, 8)})
    value = build.neuron("n1", build.conv("c1", ("input",), 4, 3, 1))
    if kind == "average":
        value = build.pool("pooled", value, 2)
    else:
        value = build.maximum("or", value, int(build.rng.integers(2, 4)), 2, 1)
    return build.finish(build.neuron("n2", build.conv("c2", value, 5, 3, 1)))


def _block(build: Builder, kind: str, name: str, value: Value, channels: int, stride: int) -> Value:
    first = int(build.rng.choice([1, 3]))
    before = build.shapes[value[0]]
    changes = stride != 1 or channels != before[0]
    side = value
    if kind == "ms":
        side = entering = build.neuron(f"{name}.n1", value)
        body = build.conv(f"{name}.c1", entering, channels, first, stride)
        body = build.conv(f"{name}.c2", build.neuron(f"{name}.n2", body), channels, 3, 1)
        return (*body, *(build.conv(f"{name}.side", side, channels, 1, stride) if changes else value))
    body = build.neuron(f"{name}.n1", build.conv(f"{name}.c1", value, channels, first, stride))
    body = build.conv(f"{name}.c2", body, channels, 3, 1)
    if kind == "sew":
        body = build.neuron(f"{name}.n2", body)
    if changes:
        even = not any(n % 2 for n in before[1:])
        if stride == 2 and even and build.rng.random() < 0.5:
            side, stride = build.pool(f"{name}.pool", side, 2), 1
        side = build.conv(f"{name}.side", side, channels, 1, stride)
        if kind == "sew":
            side = build.neuron(f"{name}.n3", side)
    return (*body, *side) if kind == "sew" else build.neuron(f"{name}.n2", (*body, *side))
