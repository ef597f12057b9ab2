"""Random NIR graphs whose arithmetic is exact in float32, whatever the order of operations.

All weights, potentials, gains and leaks are multiples of small powers of two, so every float32, float64 or
numpy execution must agree in every spike and value: no rounding, no ties to excuse a difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
import torch
from hypothesis import strategies as st

from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.shapes import output_shape

DT = 1e-4
STEPS = 4


@dataclass
class Case:
    """A graph and an input for it."""

    graph: nir.NIRGraph
    x: torch.Tensor


@st.composite
def exact_cases(draw, *, scalar_start: bool = False, loops: bool = True) -> Case:
    """``scalar_start``: one v_reset and v_leak per layer."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    build = _Builder(draw, rng, scalar_start)
    shape = (draw(st.integers(1, 3)), draw(st.integers(3, 7)), draw(st.integers(3, 7)))
    build.start(shape)
    for _ in range(draw(st.integers(0, 2))):
        build.convolution()
    build.dense(recurrent=loops and draw(st.booleans()))
    if draw(st.booleans()):
        build.dense(recurrent=False)
    graph = build.finish(draw(st.sampled_from(["spikes", "weights", "LI", "I", "CubaLI"])))
    semantics = Semantics(
        dt=DT,
        fires_at=draw(st.sampled_from([">=", ">"])),
        reset=draw(st.sampled_from(["zero", "subtract"])),
        timesteps=STEPS,
    )
    write_semantics(graph, semantics)
    batch = draw(st.integers(1, 3))
    x = torch.from_numpy(rng.integers(0, 3, (STEPS, batch, *shape)).astype(np.float32))
    return Case(graph, x)


class _Builder:
    def __init__(self, draw, rng: np.random.Generator, scalar_start: bool) -> None:
        self.draw, self.rng, self.scalar_start = draw, rng, scalar_start
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.last: list[str] = []
        self.shape: tuple[int, ...] = ()

    def start(self, shape) -> None:
        self.nodes["input"] = nir.Input({"input": np.array(shape)})
        self.last, self.shape = ["input"], shape
        if self.draw(st.booleans()):
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
        draw, channels = self.draw, self.shape[0]
        groups = draw(st.sampled_from([g for g in (1, channels) if channels % g == 0]))
        out = groups * draw(st.integers(1, 2))
        kernel = tuple(draw(st.integers(1, min(3, size))) for size in self.shape[1:])
        before, shape_before = list(self.last), self.shape
        padding = draw(st.sampled_from(["same", "valid", (1, 0)]))
        stride = (1, 1) if padding == "same" else (draw(st.integers(1, 2)), 1)
        weight = self.weights(out, channels // groups, *kernel)
        self.add("conv", nir.Conv2d(None, weight, stride, padding, (1, 1), groups, self.weights(out)))
        if self.shape == shape_before and draw(st.booleans()):
            self.last += [source for source in before if source not in self.last]
        self.add("layer", self.neuron())
        if min(self.shape[1:]) >= 2 and draw(st.booleans()):
            pool = draw(st.sampled_from([nir.AvgPool2d, nir.SumPool2d]))
            padding = draw(st.sampled_from([0, 1]))
            self.add("pool", pool(np.array([2, 2]), np.array([2, 1]), np.array([padding, 0])))

    def dense(self, *, recurrent: bool) -> None:
        if len(self.shape) > 1:
            self.add("flatten", nir.Flatten({"input": None}, 0, -1))
        width = self.draw(st.integers(1, 5))
        weight = self.weights(width, self.shape[0])
        with_bias = self.draw(st.booleans())
        self.add("dense", nir.Affine(weight, self.weights(width)) if with_bias else nir.Linear(weight))
        name = self.add("layer", self.neuron())
        if recurrent:
            back = f"back{len(self.nodes)}"
            self.nodes[back] = nir.Affine(self.weights(width, width), self.weights(width))
            self.edges += [(name, back), (back, name)]
        if self.draw(st.booleans()):
            steps = self.rng.integers(0, 4, self.shape) if self.draw(st.booleans()) else np.array(2)
            self.add("delay", nir.Delay(np.broadcast_to(steps * DT, self.shape).copy()))

    def neuron(self) -> nir.NIRNode:
        kind = self.draw(st.sampled_from([nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold]))
        threshold = self.values([0.5, 1.0, 1.5])
        if kind is nir.Threshold:
            return nir.Threshold(threshold)
        reset = self.values([-0.5, 0.0, 0.25], uniform=self.scalar_start)
        if kind is nir.IF:
            return nir.IF(self.values([1.0, 2.0]) / DT, threshold, reset)
        leak = self.values([0.0, 0.25], uniform=self.scalar_start)
        tau = self.values([2.0, 4.0])
        if kind is nir.LIF:
            r = tau.copy() if self.draw(st.booleans()) else self.values([1.0, 2.0])
            return nir.LIF(tau * DT, r, leak, threshold, reset)
        return self.cuba(nir.CubaLIF, tau, leak, v_threshold=threshold, v_reset=reset)

    def cuba(self, kind, tau, leak, **fire) -> nir.NIRNode:
        syn = self.values([2.0])
        w_in = syn.copy() if self.draw(st.booleans()) else np.ones_like(syn)
        r = tau.copy() if self.draw(st.booleans()) else np.ones_like(tau)
        return kind(tau_syn=syn * DT, tau_mem=tau * DT, r=r, v_leak=leak, w_in=w_in, **fire)

    def values(self, choices, *, uniform: bool = False) -> np.ndarray:
        if uniform or self.draw(st.booleans()):
            return np.full(self.shape, self.draw(st.sampled_from(choices)))
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
