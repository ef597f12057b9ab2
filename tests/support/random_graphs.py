"""Random NIR graphs whose arithmetic is exact in float32, whatever the order of operations.

All weights, potentials, gains and leaks are multiples of small powers of two, so every float32, float64 or
numpy execution must agree in every spike and value: no rounding, no ties to excuse a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import nir
import numpy as np
import torch
from hypothesis import strategies as st

from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.shapes import output_shape

DT = 1e-4
STEPS = 4
"""With more, membranes would need more than the 24 bits of float32."""


@dataclass
class Case:
    """A graph and an input for it."""

    graph: nir.NIRGraph
    x: torch.Tensor

    def input(self, steps: int, batch: int, seed: int = 0) -> torch.Tensor:
        """Another input ``[steps, batch, *shape]``."""
        return _input(np.random.default_rng(seed), steps, batch, tuple(self.x.shape[2:]))


class Choices(Protocol):
    """Who decides: hypothesis, which shrinks what fails, or a generator of random numbers."""

    def integer(self, low: int, high: int) -> int: ...

    def one_of(self, options: Sequence[Any]) -> Any: ...


class Drawn:
    """Choices by hypothesis."""

    def __init__(self, draw) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def one_of(self, options: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(options))


class Seeded:
    """Choices by a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def one_of(self, options: Sequence[Any]) -> Any:
        return options[self._rng.integers(len(options))]


@st.composite
def exact_cases(draw, *, scalar_start: bool = False, loops: bool = True) -> Case:
    """``scalar_start``: one v_reset and v_leak per layer."""
    return _case(Drawn(draw), scalar_start=scalar_start, loops=loops)


def exact_case(seed: int, *, scalar_start: bool = False) -> Case:
    """The case of a seed, always the same."""
    return _case(Seeded(seed), scalar_start=scalar_start, loops=True)


def _case(choose: Choices, *, scalar_start: bool, loops: bool) -> Case:
    rng = np.random.default_rng(choose.integer(0, 2**20))
    build = _Builder(choose, rng, scalar_start)
    shape = tuple(choose.integer(3, 7) for _ in range(choose.one_of([2, 1])))
    shape = (choose.integer(1, 3), *shape)
    build.start(shape)
    for _ in range(choose.integer(0, 2)):
        build.convolution()
    build.dense(recurrent=loops and choose.one_of([False, True]))
    if choose.one_of([False, True]):
        build.dense(recurrent=False)
    graph = build.finish(choose.one_of(["spikes", "weights", "LI", "I", "CubaLI"]))
    steps, batch = choose.integer(2, STEPS), choose.integer(1, 3)
    semantics = Semantics(
        dt=DT,
        fires_at=choose.one_of([">=", ">"]),
        reset=choose.one_of(["zero", "subtract"]),
        timesteps=steps,
    )
    write_semantics(graph, semantics)
    return Case(graph, _input(rng, steps, batch, shape))


def _input(rng: np.random.Generator, steps: int, batch: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(rng.integers(0, 3, (steps, batch, *shape)).astype(np.float32))


class _Builder:
    def __init__(self, choose: Choices, rng: np.random.Generator, scalar_start: bool) -> None:
        self.choose, self.rng, self.scalar_start = choose, rng, scalar_start
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.last: list[str] = []
        self.shape: tuple[int, ...] = ()

    def start(self, shape) -> None:
        self.nodes["input"] = nir.Input({"input": np.array(shape)})
        self.last, self.shape = ["input"], shape
        if self.coin():
            self.add("scale", nir.Scale(self.rng.choice([0.5, 1.0, 2.0], shape).astype(np.float32)))

    def add(self, name: str, node: nir.NIRNode) -> str:
        name = f"{name}{len(self.nodes)}"
        self.nodes[name] = node
        self.edges += [(source, name) for source in self.last]
        self.last, self.shape = [name], output_shape(node, self.shape)
        return name

    def weights(self, *shape: int) -> np.ndarray:
        return (self.rng.integers(-8, 9, shape) / 8).astype(np.float32)

    def convolution(self) -> None:
        choose, channels, axes = self.choose, self.shape[0], len(self.shape) - 1
        groups = choose.one_of([g for g in (1, channels) if channels % g == 0])
        out = groups * choose.integer(1, 2)
        kernel = tuple(choose.integer(1, min(3, size)) for size in self.shape[1:])
        before, shape_before = list(self.last), self.shape
        padding = choose.one_of(["same", "valid", (1, 0)[:axes]])
        stride = (1,) * axes if padding == "same" else (choose.integer(1, 2), 1)[:axes]
        weight = self.weights(out, channels // groups, *kernel)
        kind = nir.Conv2d if axes == 2 else nir.Conv1d
        self.add("conv", kind(None, weight, stride, padding, (1,) * axes, groups, self.weights(out)))
        shortcut = choose.one_of(["none", "membrane", "spikes"]) if self.shape == shape_before else "none"
        if shortcut == "membrane":
            self.join(before)
        self.add("layer", self.neuron())
        if shortcut == "spikes":
            self.join(before)
        if axes == 2 and min(self.shape[1:]) >= 2 and self.coin():
            pool = choose.one_of([nir.AvgPool2d, nir.SumPool2d])
            padding = choose.one_of([0, 1])
            self.add("pool", pool(np.array([2, 2]), np.array([2, 1]), np.array([padding, 0])))
        if len(self.shape) == 3 and self.coin():
            self.add("flatten", nir.Flatten({"input": None}, *choose.one_of([(0, 1), (1, 2), (-2, -1)])))

    def join(self, before: list[str]) -> None:
        """What follows adds ``before`` to its input."""
        self.last += [source for source in before if source not in self.last]

    def coin(self) -> bool:
        return bool(self.choose.one_of([False, True]))

    def dense(self, *, recurrent: bool) -> None:
        if len(self.shape) > 1:
            self.add("flatten", nir.Flatten({"input": None}, 0, -1))
        width = self.choose.integer(1, 5)
        weight = self.weights(width, self.shape[0])
        with_bias = self.coin()
        self.add("dense", nir.Affine(weight, self.weights(width)) if with_bias else nir.Linear(weight))
        name = self.add("layer", self.neuron())
        if recurrent:
            back = f"back{len(self.nodes)}"
            self.nodes[back] = nir.Affine(self.weights(width, width), self.weights(width))
            self.edges += [(name, back), (back, name)]
        if self.coin():
            steps = self.rng.integers(0, 4, self.shape) if self.coin() else np.array(2)
            self.add("delay", nir.Delay(np.broadcast_to(steps * DT, self.shape).copy()))

    def neuron(self) -> nir.NIRNode:
        kind = self.choose.one_of([nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold])
        threshold = self.values([0.5, 1.0, 1.5])
        if kind is nir.Threshold:
            return nir.Threshold(threshold)
        reset = self.values([-0.5, 0.0, 0.25], uniform=self.scalar_start)
        if kind is nir.IF:
            return nir.IF(self.values([1.0, 2.0]) / DT, threshold, reset)
        leak = self.values([0.0, 0.25], uniform=self.scalar_start)
        tau = self.values([2.0, 4.0])
        if kind is nir.LIF:
            r = tau.copy() if self.coin() else self.values([1.0, 2.0])
            return nir.LIF(tau * DT, r, leak, threshold, reset)
        return self.cuba(nir.CubaLIF, tau, leak, v_threshold=threshold, v_reset=reset)

    def cuba(self, kind, tau, leak, **fire) -> nir.NIRNode:
        syn = self.values([2.0])
        w_in = syn.copy() if self.coin() else np.ones_like(syn)
        r = tau.copy() if self.coin() else np.ones_like(tau)
        return kind(tau_syn=syn * DT, tau_mem=tau * DT, r=r, v_leak=leak, w_in=w_in, **fire)

    def values(self, choices, *, uniform: bool = False) -> np.ndarray:
        if uniform or self.coin():
            return np.full(self.shape, self.choose.one_of(choices))
        return self.rng.choice(choices, self.shape)

    def finish(self, readout: str) -> nir.NIRGraph:
        if readout != "spikes":
            self.add("readout", nir.Linear(self.weights(3, self.shape[0])))
        leak = self.values([0.0, 0.25], uniform=self.scalar_start)
        if readout == "LI":
            self.add("integrator", nir.LI(self.values([2.0, 4.0]) * DT, self.values([1.0]), leak))
        elif readout == "I":
            self.add("integrator", nir.I(self.values([1.0]) / DT))
        elif readout == "CubaLI":
            self.add("integrator", self.cuba(nir.CubaLI, self.values([2.0]), leak))
        self.nodes["output"] = nir.Output({"output": np.array(self.shape)})
        self.edges += [(source, "output") for source in self.last]
        return nir.NIRGraph(self.nodes, self.edges, metadata={}, type_check=False)
