"""One small graph for every node kind and every way of joining nodes that the hub knows.

Weights and inputs are continuous, so that no membrane meets its threshold. Neurons outside loops end in
spikes; I, LI and CubaLI end in their membrane.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import nir
import numpy as np
import torch

from snn_deploy.graph.semantics import Reset, Semantics, write_semantics
from support.graphs import graph

DT = 1e-4
STEPS = 6
IMAGE = (2, 6, 6)
Nodes = dict[str, nir.NIRNode]


@dataclass(frozen=True)
class NodeCase:
    """A graph; ``feedback`` lists the edges that carry the previous step's value."""

    name: str
    graph: nir.NIRGraph
    x: torch.Tensor
    feedback: frozenset[tuple[str, str]] = frozenset()


class _Make:
    """Nodes with weights from one stream of random numbers."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def weights(self, *shape: int) -> np.ndarray:
        scale = 3.0 / np.sqrt(np.prod(shape[1:]))
        return ((self.rng.normal(size=shape) + 0.3) * scale).astype(np.float32)

    def linear(self, out: int, inputs: int) -> nir.Linear:
        return nir.Linear(self.weights(out, inputs))

    def affine(self, out: int, inputs: int) -> nir.Affine:
        return nir.Affine(self.weights(out, inputs), self.weights(out, 1)[:, 0] / 10)

    def conv(
        self, out=3, inputs=2, kernel=(3, 3), padding=(1, 1), stride=(1, 1), groups=1, size=6
    ) -> nir.Conv2d:
        weight = self.weights(out, inputs // groups, *kernel)
        return nir.Conv2d((size, size), weight, stride, padding, (1, 1), groups, np.zeros(out, np.float32))

    def lif(self, *shape: int, tau: float = 2.0, r: float = 1.0, threshold: float = 0.5) -> nir.LIF:
        one = np.ones(shape)
        zero = np.zeros(shape)
        return nir.LIF(tau * DT * one, r * one, zero, threshold * one, zero.copy())

    def fire(self, *shape: int) -> nir.IF:
        return nir.IF(np.full(shape, 1 / DT), np.full(shape, 0.8), np.zeros(shape))

    def spikes(self, *shape: int, steps: int = STEPS, batch: int = 3) -> torch.Tensor:
        return torch.from_numpy((self.rng.random((steps, batch, *shape)) < 0.4).astype(np.float32))


def _chain(nodes: Nodes, source, target, reset: Reset = "zero", more=()) -> nir.NIRGraph:
    path = ["input", *nodes, "output"]
    made = graph(nodes, [*itertools.pairwise(path), *more], source, target)
    write_semantics(made, Semantics(dt=DT, reset=reset, timesteps=STEPS))
    return made


def _dense(make: _Make, node: nir.NIRNode, reset: Reset = "zero") -> nir.NIRGraph:
    return _chain({"w": make.affine(6, 5), "n": node}, (5,), (6,), reset)


def _image(make: _Make, nodes: Nodes, target) -> nir.NIRGraph:
    """conv, IF, then ``nodes`` and an IF: what they compute is seen in its spikes."""
    return _chain(
        {"c": make.conv(), "n": make.fire(3, 6, 6), **nodes, "last": make.fire(*target)}, IMAGE, target
    )


def _pool(kind: type[nir.NIRNode], padding: int) -> nir.NIRNode:
    return kind(np.array([2, 2]), np.array([2, 2]), np.array([padding, padding]))


def _flat(*shape: int) -> nir.Flatten:
    return nir.Flatten({"input": np.array(shape)}, 0, -1)


def _cuba(kind: type[nir.NIRNode], **fire) -> nir.NIRNode:
    one = np.ones(6)
    return kind(
        tau_syn=1.6 * DT * one, tau_mem=2.5 * DT * one, r=1.7 * one, v_leak=0 * one, w_in=2 * one, **fire
    )


_FIRE = {"v_threshold": np.full(6, 0.5), "v_reset": np.zeros(6)}
_DENSE: dict[str, Callable[[_Make], nir.NIRNode]] = {
    "I": lambda make: nir.I(np.full(6, 0.7 / DT)),
    "LI": lambda make: nir.LI(np.full(6, 3 * DT), np.full(6, 1.3), np.full(6, 0.2)),
    "CubaLI": lambda make: _cuba(nir.CubaLI),
    "IF": lambda make: nir.IF(np.full(6, 1 / DT), **_FIRE),
    "LIF": lambda make: make.lif(6),
    "LIF, r = tau / dt": lambda make: make.lif(6, tau=2.5, r=2.5),
    "LIF, another r": lambda make: make.lif(6, tau=2.5, r=1.7),
    "LIF, v_reset = v_leak": lambda make: nir.LIF(
        np.full(6, 2 * DT), np.ones(6), np.full(6, -0.1), np.full(6, 0.5), np.full(6, -0.1)
    ),
    "LIF, v_leak elsewhere": lambda make: nir.LIF(
        np.full(6, 2 * DT), np.ones(6), np.full(6, 0.1), np.full(6, 0.5), np.zeros(6)
    ),
    "LIF, parameters per neuron": lambda make: nir.LIF(
        np.linspace(2, 4, 6) * DT, np.ones(6), np.zeros(6), np.linspace(0.3, 0.6, 6), np.zeros(6)
    ),
    "CubaLIF": lambda make: _cuba(nir.CubaLIF, **_FIRE),
    "Threshold": lambda make: nir.Threshold(np.full(6, 0.4)),
}


def node_cases() -> list[NodeCase]:
    """All of them; the same ones every time."""
    cases = [NodeCase(name, _dense(make, node(make)), make.spikes(5)) for name, node, make in _dense_nodes()]
    return [*cases, *_weights(), *_pools(), *_joins()]


def _dense_nodes():
    return [(name, node, _Make(seed)) for seed, (name, node) in enumerate(_DENSE.items())]


def _weights() -> list[NodeCase]:
    make = _Make(100)
    linear = _chain({"w": make.linear(6, 5), "n": make.lif(6)}, (5,), (6,))
    scale = _chain(
        {"s": nir.Scale(np.linspace(0.5, 2, 5)), "w": make.linear(6, 5), "n": make.lif(6)}, (5,), (6,)
    )
    one = nir.Conv1d(8, make.weights(3, 2, 3), 2, 1, 1, 1, np.zeros(3, np.float32))
    flat = {"f": _flat(3, 4), "d": make.linear(4, 12), "m": make.lif(4)}
    line = _chain({"c": one, "n": make.fire(3, 4), **flat}, (2, 8), (4,))
    affine = _chain({"w": make.affine(6, 5), "n": make.lif(6)}, (5,), (6,))
    cases = [
        NodeCase("Affine", affine, make.spikes(5)),
        NodeCase("Linear", linear, make.spikes(5)),
        NodeCase("Scale", scale, make.spikes(5)),
    ]
    cases.append(NodeCase("Conv1d", line, make.spikes(2, 8)))
    convs = {
        "Conv2d": make.conv(stride=(2, 2)),
        "Conv2d, groups": make.conv(out=4, groups=2, stride=(2, 2)),
        "Conv2d, kernel 3 x 5": make.conv(kernel=(3, 5), padding=(1, 2), stride=(2, 2)),
        "Conv2d, kernel 2 x 3": make.conv(kernel=(2, 3), padding=(0, 1), stride=(2, 2)),
    }
    for name, node in convs.items():
        channels = len(node.weight)
        net = _chain({"c": node, "n": make.fire(channels, 3, 3)}, IMAGE, (channels, 3, 3))
        cases.append(NodeCase(name, net, make.spikes(*IMAGE)))
    return cases


def _pools() -> list[NodeCase]:
    make = _Make(200)
    rows = {
        "AvgPool2d": ({"p": _pool(nir.AvgPool2d, 0), "d": make.conv(2, 3, size=3)}, (2, 3, 3)),
        "SumPool2d": ({"p": _pool(nir.SumPool2d, 0), "d": make.conv(2, 3, size=3)}, (2, 3, 3)),
        "AvgPool2d, padding": ({"p": _pool(nir.AvgPool2d, 1), "d": make.conv(2, 3, size=4)}, (2, 4, 4)),
        "AvgPool2d before a neuron": ({"p": _pool(nir.AvgPool2d, 0)}, (3, 3, 3)),
        "Flatten": ({"f": _flat(3, 6, 6), "d": make.linear(4, 108)}, (4,)),
    }
    return [NodeCase(name, _image(make, *row), make.spikes(*IMAGE)) for name, row in rows.items()]


def _joins() -> list[NodeCase]:
    make = _Make(300)
    steps = np.array([0, 1, 2, 3, 1, 2]) * DT
    delay = {
        "w": make.linear(6, 5),
        "n": make.lif(6),
        "z": nir.Delay(steps),
        "d": make.linear(4, 6),
        "m": make.lif(4),
    }
    first = {"w": make.linear(6, 5), "n": make.lif(6), "d": make.linear(6, 6), "m": make.lif(6)}
    dense = {"head": make.linear(4, 6), "last": make.lif(4)}
    back = {"w": make.linear(6, 5), "n": make.lif(6), "head": make.linear(4, 6), "last": make.lif(4)}
    loop = _chain(back, (5,), (4,))
    loop.nodes["back"] = make.linear(6, 6)
    loop.edges += [("n", "back"), ("back", "n")]
    inner = graph(
        {"w": make.linear(6, 5), "n": make.lif(6)},
        list(itertools.pairwise(["input", "w", "n", "output"])),
        (5,),
        (6,),
    )
    nested = _chain({"block": inner, "d": make.linear(4, 6), "m": make.lif(4)}, (5,), (4,))
    return [
        NodeCase("Delay", _chain(delay, (5,), (4,)), make.spikes(5)),
        NodeCase(
            "sum into a layer", _chain({**first, **dense}, (5,), (4,), more=[("n", "head")]), make.spikes(5)
        ),
        NodeCase("sum into the output", _chain(first, (5,), (6,), more=[("n", "output")]), make.spikes(5)),
        NodeCase("recurrent edge", loop, make.spikes(5), frozenset({("n", "back")})),
        NodeCase("nested graph", nested, make.spikes(5)),
        NodeCase("reset to v_reset", _dense(make, make.lif(6)), make.spikes(5)),
        NodeCase("reset by subtraction", _dense(make, make.lif(6), "subtract"), make.spikes(5)),
    ]
