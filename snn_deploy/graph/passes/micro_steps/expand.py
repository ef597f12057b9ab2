r"""Neurons that fire whole numbers as neurons that fire in D micro-steps, once in each: the same numbers.

**Construction.** A neuron of threshold :math:`\theta` becomes an IF neuron that fires at
:math:`\theta / 2` and subtracts :math:`\theta`, one spike in a micro-step at most. Layers listen in one
window of D micro-steps and fire in the next (:mod:`snn_deploy.graph.passes.micro_steps.schedule`). Two
signals hold them to it, by weights into every neuron, M being the gate (:func:`gate_of`) and b the bias::

    listen   -M        at the beginning of every window in which the layer listens
    fire     M + b     at the beginning of every window in which it fires

**Proof.** Let all weights be whole numbers, so that sums are exact in any order. Claim: at the beginning of
the window in which a neuron listens for step t its membrane, before -M, is v(t-1) of the network of whole
numbers. It holds for t = 0, v = 0. While it listens, spikes of its sources come, each at most once in a
micro-step, in all s(t) of each (induction over levels; the input comes at once), and nothing else: numbers
of lower levels are fired once more by neurons of the levels between. Any part of their sum leaves the
membrane at most at :math:`c_T + P - M \le 0 < \theta / 2`, so it is silent. With ``fire`` the membrane is
:math:`v(t-1) + \sum W s(t) + b = h(t)` before its first comparison, and nothing comes in this window, in
which its sources listen. So it fires in micro-step k = 1 .. D exactly if
:math:`h(t) - (k-1) \theta \ge \theta / 2`, which is
:math:`s(t) = \min(D, \max(0, \lfloor h(t) / \theta + 1/2 \rfloor))` spikes in all, and is left with
:math:`h(t) - \theta s(t) = v(t)`. In the windows after its last one, and before its first, it is closed or
its membrane is 0.

A signal travels from level to level with the spikes. The neurons that carry it, ``clock.L``, are as many as
weights of at most 254 need to make M, and like those beside them: :math:`\theta` comes in, one spike goes
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.dynamics import parameters
from snn_deploy.graph.lava.rules import WEIGHT_MAX
from snn_deploy.graph.passes.journal import Names
from snn_deploy.graph.passes.micro_steps.bounds import Range, bounds_of
from snn_deploy.graph.passes.micro_steps.linear import Joined, joined
from snn_deploy.graph.passes.micro_steps.refusals import problems_of
from snn_deploy.graph.passes.micro_steps.schedule import FIRE, Schedule, write_schedule
from snn_deploy.graph.passes.micro_steps.whole_numbers import gate_of, levels_of
from snn_deploy.graph.passes.protocol import Made, Pass
from snn_deploy.graph.passes.to_chip.windows import FloatArray
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import read_semantics, set_reset, write_semantics
from snn_deploy.graph.types import SPIKING_NODES, Plan


@dataclass(frozen=True)
class MicroSteps(Pass[nir.NIRGraph, nir.NIRGraph]):
    """A graph of whole numbers (:class:`WholeNumbers`) as one of binary spikes.

    Attributes:
        low, high: least and largest entry of an input, whole numbers.
    """

    name: ClassVar[str] = "micro-steps"
    refusal: ClassVar[str] = "The network has no binary form in micro-steps."
    low: int = 0
    high: int = 1

    def requires(self, before: nir.NIRGraph) -> Iterable[Problem]:
        """Neurons without leak that fire whole numbers, weights and even thresholds in whole numbers."""
        plan = make_plan(before)
        semantics = read_semantics(before)
        problems = [*problems_of(plan, semantics)]
        if not problems and (self.low < 0 or self.high > (semantics.levels or 0)):
            problems = [*_skipped_input(plan)]
        return problems or [
            Problem(name, "has weights or thresholds between whole numbers", "whole numbers, even thresholds")
            for name, part in joined(plan).items()
            if name != plan.output and not _whole(plan, name, part)
        ]

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """The graph; its schedule lies in its metadata."""
        plan = make_plan(before)
        made = _Expansion(plan, self.low, self.high)
        for name in plan.of_type(*SPIKING_NODES):
            made.population(name)
        made.output()
        semantics = replace(
            read_semantics(before),
            spikes="one",
            levels=None,
            start="zero",
            timesteps=made.schedule.micro_steps,
        )
        graph = nir.NIRGraph(made.nodes, made.edges, metadata=dict(before.metadata), type_check=False)
        write_semantics(graph, semantics)
        write_schedule(graph, made.schedule)
        gates = {name: made.gates[name] for name in made.schedule.populations}
        return Made(graph, made.origins, {"micro_steps": made.schedule.micro_steps, "gates": gates})


def _skipped_input(plan: Plan) -> Iterator[Problem]:
    """Places that see the input beside later layers: its numbers would have to be fired once more."""
    entering = joined(plan)
    levels = levels_of(plan, entering)
    for name, part in entering.items():
        if plan.input in part.weights and levels.get(name, 2) > 1:
            what = "sees the input itself, whose numbers no neuron can fire"
            yield Problem(name, what, "0 to levels", try_instead="a layer of neurons before it")


def _whole(plan: Plan, name: str, part: Joined) -> bool:
    half = parameters(plan.node(name))["v_threshold"] / 2
    values = (*part.weights.values(), part.bias, half)
    return not half.ndim and all(bool((value == np.rint(value)).all()) for value in values)


class _Expansion:
    def __init__(self, plan: Plan, low: int, high: int) -> None:
        semantics = read_semantics(plan.graph)
        levels, steps = semantics.levels or 0, semantics.timesteps or 0
        self._plan, self._dt, self._entering = plan, semantics.dt, joined(plan)
        self._levels = levels_of(plan, self._entering)
        self._theta = {
            level: float(parameters(plan.node(name))["v_threshold"]) for name, level in self._levels.items()
        }
        ranges: dict[str, Range] = {plan.input: (low, high), **dict.fromkeys(self._levels, (0, levels))}

        def gate(level: int, weights: Mapping[str, FloatArray], bias: FloatArray) -> int:
            return gate_of(bounds_of(weights, ranges, bias, self._theta[level], levels, steps))

        self.gates = {
            name: gate(level, self._entering[name].weights, self._entering[name].bias)
            for name, level in self._levels.items()
        }
        any_source = next(iter(self._levels))
        self._relay_gates = {
            level: gate(level, {any_source: np.full((1, 1), self._theta[level])}, np.zeros(1))
            for level in self._relaying()
        }
        self.schedule = Schedule(
            steps, levels, max(self._levels.values()), plan.shapes[plan.input], self._copies(), self._levels
        )
        self._inputs = prod(plan.shapes[plan.input])
        size = self._inputs + len(self.schedule.signals(0))
        self.nodes: dict[str, nir.NIRNode] = {plan.input: nir.Input({"input": np.array([size])})}
        self.edges: list[tuple[str, str]] = []
        self.origins: dict[str, Names] = {}
        for level in range(1, len(self.schedule.copies)):
            self._clock(level)

    def _relaying(self) -> set[int]:
        """The levels that fire numbers of lower ones once more."""
        due = {name: level - 1 for name, level in self._levels.items()}
        due[self._plan.output] = max(self._levels.values())
        return {
            level
            for name, part in self._entering.items()
            for source in part.weights
            for level in range(self._levels.get(source, 0) + 1, due[name] + 1)
        }

    def _copies(self) -> tuple[tuple[int, int], ...]:
        found = []
        for level in range(1, max(self._levels.values()) + 1):
            names = [name for name, own in self._levels.items() if own == level]
            sums = [np.abs(self.gates[name] + self._entering[name].bias).max() for name in names]
            gates = [self._relay_gates.get(level, 0), *(self.gates[name] for name in names)]
            found.append((-(-max(gates) // WEIGHT_MAX), int(-(-max(*sums, *gates) // WEIGHT_MAX))))
        if self._entering[self._plan.output].bias.any():
            found.append((0, 1))
        return tuple(found)

    def _clock(self, level: int) -> None:
        """The neurons that carry signals from ``level`` on: each passes on one of the level before."""
        before, carried = self.schedule.signals(level - 1), self.schedule.signals(level)
        source, inputs = self._carrier(level)
        weight = np.zeros((len(carried), inputs + len(before)))
        for row, signal in enumerate(carried):
            sent = signal if signal in before else (level, FIRE)  # for the readout: with the last level
            weight[row, inputs + before.index(sent)] = self._theta[level]
        self._add(f"clock.{level}.weights", _linear(weight), (self._plan.input,), [source])
        neurons = self._neurons(len(carried), level)
        self._add(f"clock.{level}", neurons, (self._plan.input,), [f"clock.{level}.weights"])

    def population(self, name: str) -> None:
        """The neurons ``name`` with everything before them."""
        part, level = self._entering[name], self._levels[name]
        sources = [self._weights(name, source, weight, level - 1) for source, weight in part.weights.items()]
        sources += self._gate(name, level, self.gates[name], part.bias, (name,))
        self._add(name, self._neurons(len(part.bias), level), (name,), sources)

    def output(self) -> None:
        """What is read: neurons, or currents."""
        plan, part, depth = self._plan, self._entering[self._plan.output], self.schedule.depth
        sources = [
            self._weights(plan.output, source, weight, depth) for source, weight in part.weights.items()
        ]
        if part.bias.any():
            bias = _linear(part.bias[:, None])
            sources.append(self._add(f"{plan.output}.bias", bias, (plan.output,), [f"clock.{depth}"]))
        self._add(plan.output, plan.node(plan.output), (plan.output,), sources)

    def _relay(self, source: str, level: int) -> str:
        """Neurons of ``level`` that fire the numbers of ``source``, of a lower level: theta comes in for each
        of its spikes."""
        if level == self._levels.get(source, 0):
            return source
        name = f"{source}@{level}"
        if name not in self.nodes:
            size = prod(self._plan.shapes[source])
            given, weight = self._relay(source, level - 1), self._theta[level] * np.eye(size)
            if level == 1:
                weight = self._past_signals(weight)
            sources = [self._add(f"{name}.weights", _linear(weight), (source,), [given])]
            sources += self._gate(name, level, self._relay_gates[level], np.zeros(size), (source,))
            self._add(name, self._neurons(size, level), (source,), sources)
        return name

    def _gate(self, name: str, level: int, gate: int, bias: FloatArray, origins: Names) -> list[str]:
        """The weights of the two signals into the neurons ``name``."""
        listen, fire = self.schedule.copies[level - 1]
        source, inputs = self._carrier(level)
        weight = np.zeros((len(bias), inputs + len(self.schedule.signals(level - 1))))
        weight[:, inputs : inputs + listen] = _shared(-gate + 0 * bias, listen)
        weight[:, inputs + listen : inputs + listen + fire] = _shared(gate + bias, fire)
        return [self._add(f"{name}.gate", _linear(weight), origins, [source])]

    def _carrier(self, level: int) -> tuple[str, int]:
        """The node with the signals for ``level``, and how many elements it has in front of them."""
        return (self._plan.input, self._inputs) if level == 1 else (f"clock.{level - 1}", 0)

    def _past_signals(self, weight: FloatArray) -> FloatArray:
        """``weight`` of the input alone, for the input with its signals."""
        return np.hstack([weight, np.zeros((len(weight), len(self.schedule.signals(0))))])

    def _neurons(self, count: int, level: int) -> nir.IF:
        ones, theta = np.ones(count), self._theta[level]
        node = nir.IF(r=ones / self._dt, v_threshold=theta / 2 * ones, v_reset=-theta / 2 * ones)
        set_reset(node, "subtract")
        return node

    def _weights(self, name: str, source: str, weight: FloatArray, due: int) -> str:
        """The node that brings what ``source`` sends, with that of level ``due``."""
        given = self._relay(source, due)
        nodes, own = self._entering[name].nodes[source], self._entering[name].names[source]
        if given == self._plan.input:
            weight = self._past_signals(weight)
        elif not nodes:
            return given
        own = own if own and own not in self.nodes else f"{source}->{name}"
        return self._add(own, _linear(weight), tuple(dict.fromkeys(nodes)) or (source,), [given])

    def _add(self, name: str, node: nir.NIRNode, origins: Names, sources: Iterable[str]) -> str:
        self.nodes[name], self.origins[name] = node, origins
        self.edges += [(source, name) for source in sources]
        return name


def _linear(weight: FloatArray) -> nir.Linear:
    return nir.Linear(weight.astype(np.float32))


def _shared(total: FloatArray, copies: int) -> FloatArray:
    """``total [N]`` as ``copies`` weights of at most 254 each."""
    left = np.abs(total)[:, None] - WEIGHT_MAX * np.arange(copies)
    shares: FloatArray = np.sign(total)[:, None] * left.clip(0, WEIGHT_MAX)
    return shares
