"""Random recurrent and delayed graphs that a ``.net`` file holds without rounding.

Weights are even integers of which one is 254, so that the scale 1 is found and nothing is rounded. Leaks are
0, 1/2 and 1: for :data:`LEAKY_STEPS` steps a membrane in halves of halves stays a whole number of 64ths,
where the chip's rounding toward zero changes nothing. Thresholds of leaking neurons lie between two 64ths. A
membrane that is read needs room for four times what it reaches, so its weights are balanced, its steps few.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
import torch

from snn_deploy.graph.semantics import Semantics, write_semantics

DT = 1e-4
LEAKY_STEPS = 8
"""From 128, the smallest weight in 64ths, halved in every step but the first."""


@dataclass(frozen=True)
class Case:
    """A graph, an input for it, and what makes it one of a kind."""

    graph: nir.NIRGraph
    x: torch.Tensor
    traits: frozenset[str]


def random_case(seed: int) -> Case:
    """The case of a seed, always the same."""
    rng = np.random.default_rng([seed, 62])
    build = _Builder(rng)
    inputs = int(rng.integers(3, 13))
    build.start(inputs)
    for _ in range(int(rng.integers(1, 4))):
        build.population()
    build.finish(str(rng.choice(["spikes", "spikes", "weights", "integrator", "late"])))
    graph = nir.NIRGraph(build.nodes, build.edges, metadata={}, type_check=False)
    few = build.traits & {"leaks", "weights", "integrator"}
    steps = LEAKY_STEPS if few else int(rng.integers(6, 21))
    write_semantics(graph, Semantics(dt=DT, timesteps=steps, fires_at=str(rng.choice([">", ">="]))))
    active = rng.random((steps, 4, inputs)) < rng.uniform(0.2, 0.6)
    if "held" not in build.traits and rng.random() < 0.25:
        active = active * rng.integers(1, 4, active.shape)
        build.traits.add("counts")
    return Case(graph, torch.from_numpy(active.astype(np.float32)), frozenset(build.traits))


class _Builder:
    """A chain of dense populations, some of which return to themselves, with delays between them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.traits: set[str] = set()
        self.last, self.width, self.count = "input", 0, 0

    def start(self, inputs: int) -> None:
        self.nodes["input"] = nir.Input({"input": np.array([inputs])})
        self.width = inputs

    def coin(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def put(self, name: str, node: nir.NIRNode, *sources: str) -> str:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def weights(self, rows: int, columns: int, lowest: int = -60) -> np.ndarray:
        """Even, of both signs, leaning to the positive, the largest at the end of the range."""
        weight = 2 * self.rng.integers(lowest, 128, (rows, columns))
        places = self.rng.permutation(weight.size)[:2]
        weight.flat[places] = 254, -2 * int(self.rng.integers(1, 60))
        return weight.astype(np.float32)

    def delay(self, size: int) -> nir.Delay:
        steps = self.rng.integers(0, 5, size) if self.coin() else np.full(size, self.rng.integers(1, 4))
        return nir.Delay(DT * steps)

    def population(self) -> None:
        self.count += 1
        rows, name = int(self.rng.integers(2, 13)), f"n{self.count}"
        recurrent = self.coin(0.6)
        ends = self.entering(name, rows, recurrent)
        self.put(name, self.neurons(rows), *ends)
        if recurrent:
            self.traits.add("recurrent")
            back = self.weights(rows, rows)
            biased = self.coin() and not isinstance(self.nodes[name], nir.CubaLIF)
            node = nir.Affine(back, self.bias(rows)) if biased else nir.Linear(back)
            self.put(f"{name}.back", node, name)
            self.edges.append((f"{name}.back", name))
        self.last, self.width = name, rows

    def entering(self, name: str, rows: int, recurrent: bool) -> list[str]:
        """Weights before ``name``, with delays before or behind them, or in two branches of other delays."""
        source, fc = self.last, f"{name}.fc"
        weight = self.weights(rows, self.width)
        form = str(self.rng.choice(["plain", "before", "behind", "branches"]))
        if recurrent and form in {"behind", "branches"}:
            form = "plain"
        if form != "plain":
            self.traits |= {form} | ({"held"} if recurrent else set())
        if form == "branches":
            mask = self.rng.random(weight.shape) < 0.5
            first = self.put(fc, nir.Linear(np.where(mask, weight, 0)), source)
            late = self.put(f"{name}.late", self.delay(self.width), source)
            return [first, self.put(f"{fc}2", nir.Linear(np.where(mask, 0, weight)), late)]
        if form == "before":
            source = self.put(f"{name}.late", self.delay(self.width), source)
        fc = self.put(fc, nir.Linear(weight), source)
        return [self.put(f"{name}.late", self.delay(rows), fc)] if form == "behind" else [fc]

    def bias(self, rows: int) -> np.ndarray:
        return (2 * self.rng.integers(-20, 40, rows)).astype(np.float32)

    def neurons(self, rows: int) -> nir.NIRNode:
        kind = self.rng.choice(["if", "lif", "cuba", "threshold"])
        one, threshold = np.ones(rows), 2 * int(self.rng.integers(60, 300)) + 1.0
        fire = {"v_threshold": threshold * one, "v_reset": 0 * one}
        if kind == "threshold":
            return nir.Threshold(threshold * one)
        if kind == "if":
            return nir.IF(one / DT, **fire)
        self.traits.add("leaks")
        fire["v_threshold"] = (threshold + 1 / 128) * one
        if kind == "lif":
            return nir.LIF(2 * DT * one, 2 * one, 0 * one, **fire)
        return nir.CubaLIF(2 * DT * one, 2 * DT * one, 2 * one, 0 * one, w_in=2 * one, **fire)

    def finish(self, readout: str) -> None:
        """``late`` reads the weights of a loop, which are those of the step before."""
        self.traits.add(readout)
        if readout == "late" and f"{self.last}.back" in self.nodes:
            self.last = f"{self.last}.back"
        elif readout in {"weights", "integrator"}:
            self.last = self.put("readout", nir.Linear(self.weights(3, self.width, -127)), self.last)
            self.width = 3
        if readout == "integrator":
            self.last = self.put("sum", nir.I(np.ones(3) / DT), self.last)
        self.put("output", nir.Output({"output": np.array([self.width])}), self.last)
