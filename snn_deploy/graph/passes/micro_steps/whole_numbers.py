r"""A network of whole-number neurons in whole numbers throughout, with one matrix between two populations.

Neurons without leak fire alike when their weights, bias and threshold are multiplied by one number. So every
row is brought to the threshold :math:`\theta_q` of its level, and rounded:

.. math::
    W_q = 2 \operatorname{round}(W \theta_q / 2 \theta), \qquad
    b_q = 2 \operatorname{round}(b \theta_q / 2 \theta)

with the largest even :math:`\theta_q \le m = 2^{bits} - 2` for which no weight leaves [-m, m] and no membrane
a chip's 24 bits, for whatever input (:mod:`snn_deploy.graph.passes.micro_steps.bounds`). It is no power of
two, since Lava would change a matrix without positive weights whose smallest is one. A readout of currents is
scaled by a power of two and keeps its unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import nir
import numpy as np

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.dynamics import parameters
from snn_deploy.graph.lava.rules import SUM_MAX, WEIGHT_MAX
from snn_deploy.graph.passes.journal import Names
from snn_deploy.graph.passes.micro_steps.bounds import Bounds, Range, bounds_of
from snn_deploy.graph.passes.micro_steps.linear import Joined, joined
from snn_deploy.graph.passes.micro_steps.refusals import problems_of
from snn_deploy.graph.passes.protocol import Made, Pass
from snn_deploy.graph.passes.to_chip.windows import FloatArray
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, read_semantics, set_reset, write_semantics
from snn_deploy.graph.types import SPIKING_NODES, Plan


@dataclass(frozen=True)
class WholeNumbers(Pass[nir.NIRGraph, nir.NIRGraph]):
    """The graph in matrices of whole numbers.

    Attributes:
        low, high: least and largest entry of an input, whole numbers.
        steps: T; those that the graph states unless given.
        bits: of weights, 4 to 8; fewer make the gates of micro-steps smaller, too.
    """

    name: ClassVar[str] = "weights in whole numbers"
    refusal: ClassVar[str] = "The network has no binary form in micro-steps."
    low: int = 0
    high: int = 1
    steps: int | None = None
    bits: int = 8

    def requires(self, before: nir.NIRGraph) -> Iterable[Problem]:
        """Neurons without leak that fire whole numbers; see ``refusals``."""
        return problems_of(make_plan(before), self._stated(before))

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """The graph; its facts are the thresholds.

        Raises:
            UnsupportedError: a population for which no threshold keeps the limits.
        """
        plan, semantics = make_plan(before), self._stated(before)
        entering = joined(plan)
        steps, levels = semantics.timesteps or 0, semantics.levels or 0
        whole, thresholds = self._rounded(plan, entering, steps, levels)
        made = _Maker(plan)
        for name in (*plan.of_type(*SPIKING_NODES), plan.output):
            made.weights(name, whole[name])
            if name != plan.output:
                theta = np.full(len(whole[name].bias), float(thresholds[name]))
                node = nir.IF(r=np.full_like(theta, 1 / semantics.dt), v_threshold=theta, v_reset=0 * theta)
                set_reset(node, "subtract")
                made.nodes[name] = node
        graph = nir.NIRGraph(made.nodes, made.edges, metadata=dict(before.metadata), type_check=False)
        write_semantics(graph, semantics)
        return Made(graph, made.origins, {"thresholds": thresholds})

    def _stated(self, graph: nir.NIRGraph) -> Semantics:
        semantics = read_semantics(graph)
        return semantics if self.steps is None else replace(semantics, timesteps=self.steps)

    def _rounded(
        self, plan: Plan, entering: dict[str, Joined], steps: int, levels: int
    ) -> tuple[dict[str, Joined], dict[str, int]]:
        """What enters every population in whole numbers, and its threshold."""
        ranges: dict[str, Range] = {plan.input: (self.low, self.high)}
        ranges |= dict.fromkeys(plan.of_type(*SPIKING_NODES), (0, levels))
        by_level: dict[int, list[str]] = {}
        for name, level in levels_of(plan, entering).items():
            by_level.setdefault(level, []).append(name)
        whole: dict[str, Joined] = {}
        thresholds: dict[str, int] = {}
        problems = []
        for names in by_level.values():
            unit = {name: _per_threshold(plan, name, entering[name]) for name in names}
            for theta in _candidates(list(unit.values()), (1 << self.bits) - 2):
                found = {name: _scaled(part, float(theta)) for name, part in unit.items()}
                limits = (float(theta), levels, steps)
                if all(
                    _fits(bounds_of(part.weights, ranges, part.bias, *limits), part, theta, levels)
                    for part in found.values()
                ):
                    whole |= found
                    thresholds |= dict.fromkeys(names, theta)
                    break
            else:
                rule = f"membranes of whole numbers below {SUM_MAX:,} in {steps} steps"
                problems.append(Problem(", ".join(names), "no threshold keeps the limits", rule))
        if problems:
            raise UnsupportedError("The network has no form in whole numbers.", problems=problems)
        whole[plan.output] = _readout(plan, entering[plan.output])
        return whole, thresholds


def levels_of(plan: Plan, entering: dict[str, Joined]) -> dict[str, int]:
    """Level of every population: one above the highest of those that feed it; the input has level 0."""
    levels = {plan.input: 0}
    for name in plan.of_type(*SPIKING_NODES):
        levels[name] = 1 + max(levels[source] for source in entering[name].weights)
    del levels[plan.input]
    return levels


def gate_of(bounds: Bounds) -> int:
    """What a closed gate takes from the membrane: an even number not below its highest."""
    return 2 * int(np.ceil(max(bounds.highest, 1.0) / 2))


def _per_threshold(plan: Plan, name: str, part: Joined) -> Joined:
    theta = np.broadcast_to(parameters(plan.node(name))["v_threshold"], plan.shapes[name]).reshape(-1)
    rows = {source: weight / theta[:, None] for source, weight in part.weights.items()}
    return replace(part, weights=rows, bias=part.bias / theta)


def _candidates(parts: list[Joined], most: int) -> Iterator[int]:
    largest = max(float(np.abs(weight).max()) for part in parts for weight in part.weights.values())
    top = min(most, int(most / max(largest, 1e-12)))
    return (theta for theta in range(top - top % 2, 1, -2) if theta & (theta - 1))


def _even(values: FloatArray) -> FloatArray:
    rounded: FloatArray = 2 * np.rint(values / 2)
    return rounded


def _scaled(part: Joined, factor: float) -> Joined:
    rows = {source: _even(weight * factor) for source, weight in part.weights.items()}
    return replace(part, weights=rows, bias=_even(part.bias * factor))


def _fits(bounds: Bounds, part: Joined, theta: int, levels: int) -> bool:
    gate = max(gate_of(bounds), (levels + 1) * theta)
    most = 2 * gate + float(np.abs(part.bias).max()) + theta
    largest = max(float(np.abs(weight).max()) for weight in part.weights.values())
    return most - bounds.lowest < SUM_MAX and largest <= WEIGHT_MAX


def _readout(plan: Plan, part: Joined) -> Joined:
    if all(isinstance(plan.node(source), SPIKING_NODES) for source in plan.sources[plan.output]):
        return part
    largest = max(float(np.abs(values).max()) for values in (*part.weights.values(), part.bias))
    factor = 2.0 ** np.floor(np.log2(WEIGHT_MAX / max(largest, 1e-12)))
    whole = _scaled(part, factor)
    rows = {source: weight / factor for source, weight in whole.weights.items()}
    return replace(whole, weights=rows, bias=whole.bias / factor)


class _Maker:
    """Nodes, edges and their origins, beginning with the input."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.nodes: dict[str, nir.NIRNode] = {plan.input: plan.node(plan.input)}
        self.edges: list[tuple[str, str]] = []
        self.origins: dict[str, Names] = {}
        self._flat = plan.input
        if len(shape := plan.shapes[plan.input]) > 1:
            self._flat = f"{plan.input}.flat"
            self.nodes[self._flat] = nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
            self.edges.append((plan.input, self._flat))
            self.origins[self._flat] = (plan.input,)

    def weights(self, name: str, part: Joined) -> None:
        """The matrices before the population ``name``, or before the output."""
        plan, bias = self._plan, part.bias
        if name == plan.output:
            self.nodes[name] = nir.Output({"output": np.array([prod(plan.shapes[name])])})
        for source, weight in part.weights.items():
            given = self._flat if source == plan.input else source
            if not part.names[source] and not bias.any() and _passes(weight):
                self.edges.append((given, name))
                continue
            own = part.names[source] or f"{source}->{name}"
            own = own if own not in self.nodes else f"{own}.{source}->{name}"
            exact = weight.astype(np.float32)
            self.nodes[own] = nir.Affine(exact, bias.astype(np.float32)) if bias.any() else nir.Linear(exact)
            self.origins[own] = tuple(dict.fromkeys(part.nodes[source])) or (source,)
            bias = np.zeros_like(bias)
            self.edges += [(given, own), (own, name)]


def _passes(weight: FloatArray) -> bool:
    return weight.shape[0] == weight.shape[1] and bool((weight == np.eye(len(weight))).all())
