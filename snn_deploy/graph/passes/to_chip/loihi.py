r"""Lower the hub graph to what a ``.net`` file can say: a chain of weight layers with CUBA neurons.

Between two populations everything linear becomes one map (pooling is merged into the weights beside it, see
:mod:`snn_deploy.graph.passes.to_chip.windows`); each neuron takes the form of
:mod:`snn_deploy.graph.passes.to_chip.neurons`, its input gain and offset folded into weights and biases. A
threshold without memory (the OR of a maximum over spikes) is a neuron that forgets everything. Branches and
sums, of spikes or of currents, become channels of the chain (:mod:`snn_deploy.graph.passes.to_chip.levels`).
Spikes that return to their own population, and spikes that wait, become a second matrix and delays of dense
layers (:mod:`snn_deploy.graph.passes.to_chip.loops`); so does the soft reset of a dense layer without bias.
A network that ends in weights, in a sum or in an integrator is read by the membrane of neurons that never
fire. All of it is exact.

What has no such form is refused, all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import nir
import numpy as np

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.dynamics import delay_steps, discretise, parameters
from snn_deploy.graph.passes.protocol import Change, Made, Pass
from snn_deploy.graph.passes.to_chip.keeps import populations_placed, wired_as_before
from snn_deploy.graph.passes.to_chip.layers import NETX, Chain, ChipLayer, ReadoutKind
from snn_deploy.graph.passes.to_chip.levels import Arrangement
from snn_deploy.graph.passes.to_chip.loops import apart, fed_back
from snn_deploy.graph.passes.to_chip.neurons import CubaForm, per_channel
from snn_deploy.graph.passes.to_chip.populations import Population
from snn_deploy.graph.passes.to_chip.terms import RefusalError, Term, Value, apply, delayed
from snn_deploy.graph.passes.to_chip.waits import waits_kept
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, identity, scaled
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import INTEGRATOR_NODES, Plan

_WINDOWS = (nir.Conv2d, nir.AvgPool2d, nir.SumPool2d)
_LEAKY = (nir.IF, nir.LIF, nir.CubaLIF, nir.I, nir.LI, nir.CubaLI)


@dataclass(frozen=True)
class Lower(Pass[nir.NIRGraph, Chain]):
    """The hub graph as a chain of CUBA layers."""

    name: ClassVar[str] = "lower to a chain of CUBA layers"

    def apply(self, before: nir.NIRGraph) -> Made[Chain]:
        """The chain; ``steps`` says what was merged, divided and relayed.

        Raises:
            UnsupportedError: with every node that cannot be said in a ``.net`` file, the rule, and what to
                try.
        """
        plan = make_plan(before)
        lowering = _Lowering(plan)
        for name in plan.order:
            lowering.take(name)
        layers = lowering.layers()
        if lowering.problems:
            count = len(lowering.problems)
            raise UnsupportedError(
                f"{count} part{'s' if count > 1 else ''} of the network cannot be written for Lava.",
                problems=lowering.problems,
            )
        chain = Chain(
            tuple(layers), plan.input, plan.shapes[plan.input], lowering.readout, lowering.semantics
        )
        origins = {layer.name: tuple(n for n in layer.nodes if n in plan.graph.nodes) for layer in layers}
        origins[layers[-1].name] += (plan.output,)
        return Made(chain, origins, {"steps": list(dict.fromkeys(lowering.steps))})

    def ensures(self, change: Change[nir.NIRGraph, Chain]) -> Iterable[Problem]:
        """Every population is in one layer with its neurons, and is fed by the populations that fed it, as
        late as it was."""
        graph, chain = change.before, change.after
        misplaced = [*populations_placed(graph, chain)] or [*wired_as_before(graph, chain)]
        return misplaced or waits_kept(graph, chain)


class _Lowering:
    """Walks the plan, follows what is linear and closes a population at every neuron."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.semantics = read_semantics(plan.graph)
        self.problems: list[Problem] = []
        self.steps: list[str] = []
        self.readout: ReadoutKind | None = None
        self._values: dict[str, Value | None] = {}
        self._populations: list[Population] = []
        self._integrators: set[str] = set()
        self._passed = {plan.input}

    def layers(self) -> list[ChipLayer]:
        """The chain of what was taken; problems are added to those there are."""
        if not self._populations and not self.problems:
            self._problem(self._plan.output, "no layer with weights", "at least one conv or dense layer")
        if self.problems:
            return []
        source, fires_at = self._plan.input, self.semantics.fires_at
        arrangement = Arrangement(self._populations, source, self._plan.shapes[source], fires_at)
        layers = arrangement.layers()
        self.problems += arrangement.problems
        for layer in layers:
            if relayed := dict.fromkeys(member.source for member in layer.members if member.relay):
                self.steps.append(f"relay {', '.join(relayed)} through '{layer.name}'")
        return layers

    def _problem(self, name: str, what: str, rule: str, try_instead: str = "") -> None:
        self.problems.append(Problem(name, what, rule, NETX, try_instead))

    def take(self, name: str) -> None:
        """Follow one node. Behind a refused one nothing linear is known: only the node itself is checked."""
        plan, node = self._plan, self._plan.node(name)
        if name == plan.input:
            self._values[name] = (Term(name, plan.shapes[name]),)
            return
        value = self._sum(name)
        if name == plan.output:
            self._finish(value)
        elif value is not None and any(term.source in self._integrators for term in value):
            self._problem(name, "follows an integrator", "only the last layer may be read by its membrane")
            self._values[name] = None
        elif isinstance(node, (*_LEAKY, nir.Threshold)):
            if isinstance(node, nir.Threshold):
                self._threshold(name, node, value)
            else:
                self._neuron(name, node, value)
            self._passed.add(name)
        elif isinstance(node, nir.Delay):
            self._values[name] = self._delay(name, node, value)
        else:
            self._values[name] = self._linear(name, node, value)

    def _sum(self, name: str) -> Value | None:
        terms: list[Term] = []
        for source in self._plan.sources[name]:
            value = self._values[source]
            if value is None:
                return None
            terms += value
        try:
            return (*terms, *fed_back(self._plan, name))
        except RefusalError as refusal:
            self.problems.append(refusal.problem)
            return None

    def _linear(self, name: str, node: nir.NIRNode, value: Value | None) -> Value | None:
        before = self._plan.shapes[(*self._plan.sources[name], *self._plan.feedback.get(name, ()))[0]]
        after = self._plan.shapes[name]
        known = value if value is not None else (Term(name, before),)
        try:
            found = apply(node, name, known, before, after)
        except RefusalError as refusal:
            self.problems.append(refusal.problem)
            return None
        if value is None:
            return None
        if isinstance(node, _WINDOWS) and any(term.map is not None for term in value):
            self.steps.append(f"merge '{name}' with the weights beside it")
        elif isinstance(node, nir.Affine | nir.Linear) and any(term.pools for term in value):
            self.steps.append(f"merge the pooling before '{name}' into its weights")
        return found

    def _delay(self, name: str, node: nir.Delay, value: Value | None) -> Value | None:
        if value is None:
            return None
        steps = delay_steps(node, self.semantics)
        steps = np.broadcast_to(steps, self._plan.shapes[name]) if steps.ndim else steps
        try:
            found = delayed(value, name, steps)
        except RefusalError as refusal:
            self.problems.append(refusal.problem)
            return None
        self.steps.append(f"let the synapses of '{name}' wait")
        return found

    def _neuron(self, name: str, node: nir.NIRNode, value: Value | None) -> None:
        neuron = discretise(node, self.semantics)
        cuba = CubaForm.of(neuron, self._plan.shapes[name])
        reads = isinstance(node, INTEGRATOR_NODES)
        softly = CubaForm.softly(neuron, self._plan.shapes[name])
        if softly is not None and value is not None and not any(_biased(term) for term in value):
            self._values[name] = (Term(name, self._plan.shapes[name]),)
            self._soft(name, *softly, value)
            return
        if cuba is None:
            self._uneven(name)
            cuba = CubaForm.neutral()
        if neuron.fire is not None and (not neuron.fire.plain or neuron.fire.reset != "zero"):
            soft = neuron.fire.plain
            self._problem(
                name,
                "subtracts the threshold at a spike (soft reset)" if soft else f"reset: {neuron.fire.words}",
                "every Lava neuron resets to 0" if soft else "every Lava neuron fires once and resets to 0",
                "train with a hard reset (v_reset=0.0)",
            )
        if not neuron.starts_at_reset:
            rule = "every Lava neuron starts where it resets to"
            self._problem(name, "starts at 0, away from v_reset", rule, "start at v_reset")
        if cuba.threshold is not None and not (cuba.threshold > 0).all():
            self._problem(name, f"v_threshold - v_reset is {cuba.threshold.min():g}", "positive")
        if reads and cuba.start.any():
            self._problem(name, "starts away from 0 (v_leak)", "membranes start at 0", "set v_leak to 0")
        if reads:
            self._integrators.add(name)
        self._values[name] = (Term(name, self._plan.shapes[name]),)
        self._close(name, cuba, value, self._plan.shapes[name])

    def _soft(self, name: str, cuba: CubaForm, returned: FloatArray, value: Value) -> None:
        """A population that subtracts at a spike: by the spike itself, one step later."""
        shape = self._plan.shapes[name]
        back = Matrix(np.diag(returned / np.broadcast_to(cuba.gain, shape)), np.zeros(shape))
        self.steps.append(f"let the spikes of '{name}' return to subtract")
        self._close(name, cuba, (*value, Term(name, shape, back, late=True)), shape)

    def _threshold(self, name: str, node: nir.Threshold, value: Value | None) -> None:
        threshold = per_channel(parameters(node)["threshold"], self._plan.shapes[name])
        if threshold is None:
            self._uneven(name)
        elif not (threshold > 0).all():
            self._problem(name, f"a threshold of {threshold.min():g}", "positive")
        one = np.ones(())
        forgets = replace(CubaForm.neutral(), voltage_leak=one, threshold=threshold)
        self._values[name] = (Term(name, self._plan.shapes[name]),)
        self._close(name, forgets, value, self._plan.shapes[name])

    def _uneven(self, name: str) -> None:
        self._problem(
            name,
            "parameters differ between neurons of a channel",
            "one set of parameters per layer, or per channel in simulation",
        )

    def _close(self, name: str, cuba: CubaForm, value: Value | None, shape: tuple[int, ...]) -> None:
        """The population ``name`` of ``shape``, fed by ``value``."""
        if value is None:
            return
        if any(term.flat and not isinstance(term.map, Matrix) for term in value):
            self._problem(name, "neurons without weights after a Flatten", "put weights between them")
            return
        terms = [term if term.map is not None else replace(term, map=identity(shape)) for term in value]
        maps = [term.map for term in terms if term.map is not None]
        bias = np.sum([linear.bias for linear in maps], axis=0)
        if bias.any() and (cuba.current_leak < 1).any():
            weights = ", ".join(dict.fromkeys(term.weights for term in terms if term.weights))
            self._problem(
                name,
                f"the bias of '{weights}' enters a current that remembers",
                "biases act on the voltage",
                "train the layer before a CUBA neuron without bias",
            )
        bias = bias * cuba.gain + np.broadcast_to(cuba.offset, bias.shape)
        gained = [
            replace(term, map=scaled(linear, cuba.gain)) for term, linear in zip(terms, maps, strict=True)
        ]
        try:
            sent, own = apart(name, gained, self._passed)
        except RefusalError as refusal:
            self.problems.append(refusal.problem)
            return
        population = Population(
            name, shape, sent, bias, cuba.current_leak, cuba.voltage_leak, cuba.threshold, own
        )
        if cuba.threshold is not None and cuba.threshold.ndim:
            population = population.normalised()
            self.steps.append(f"divide the weights of '{name}' by its thresholds")
        self._populations.append(population)

    def _finish(self, value: Value | None) -> None:
        """Close what is open at the output."""
        if value is None:
            return
        integrates = [term.source for term in value if term.source in self._integrators]
        only = value[0] if len(value) == 1 else None
        if only is None or only.map is not None or only.wait.any() or only.late:
            if integrates:
                self._problem(integrates[0], "is not the output alone", "a membrane is read as it is")
                return
            silent = replace(CubaForm.neutral(), threshold=None)
            self._close(self._readout_name(value), silent, value, self._plan.shapes[self._plan.output])
            self.readout = "current"
        elif only.flat:
            before = self._plan.sources[self._plan.output][0]
            self._problem(before, "flattens the output", "no layer follows it")
        elif only.source in (names := [population.name for population in self._populations]):
            self._populations.append(self._populations.pop(names.index(only.source)))
            self.readout = "membrane" if integrates else None

    def _readout_name(self, value: Value) -> str:
        """The weights before the output, else the node before it, else a name for the sum."""
        names = [term.weights for term in value if term.weights]
        names += [name for name in self._plan.sources[self._plan.output] if name not in self._passed]
        return names[0] if names else f"{self._plan.output}.sum"


def _biased(term: Term) -> bool:
    return term.map is not None and bool(term.map.bias.any())
