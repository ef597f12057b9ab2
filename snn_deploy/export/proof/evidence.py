"""Float64 evidence for spikes that differ: each must follow from the neuron's own membrane, or lie where
float32 cannot decide.

The layers of both runs were given the same spikes, those of the reference. Every layer between is recomputed
in float64 from these spikes, with a bound on what rounding does (:mod:`snn_deploy.export.proof.rounding`).
The membrane of a neuron is then moved with the *candidate's* own resets: at every step the candidate must
fire exactly where that membrane fires, unless it is undecided. So a flip is

* a **tie**: undecided at that neuron and step;
* **after a tie**: as its own history demands, and that history parted from the reference's in a tie;
* **unexplained**: anything else. One unexplained flip makes all flips of that neuron in that sample
  unexplained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch

from snn_deploy.export.proof.rounded import Decision, Rounded, exact
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.graph.types import SPIKING_NODES, Plan


@dataclass(frozen=True, slots=True)
class Flips:
    """Classes of the flips of one layer, each ``[T, B, *shape]`` bool."""

    ties: torch.Tensor
    after_ties: torch.Tensor


def classify(decision: Decision, reference: torch.Tensor, candidate: torch.Tensor) -> Flips:
    """Classes of the flips of one layer; see the module text.

    Args:
        decision: membranes moved with the resets of ``candidate``.
        reference, candidate: spikes ``[T, B, *shape]``.
    """
    flips = reference != candidate
    undecided = decision.undecided()
    wrong = (candidate != decision.fires()) & ~undecided
    explained = flips & ~wrong.any(0)
    ties = explained & undecided
    tied_before = (ties.cumsum(0) - ties.long()) > 0
    return Flips(ties, explained & ~undecided & tied_before)


class Recomputed:
    """Float64 values with bounds of everything between given spikes.

    Args:
        rounding: the graph.
        x: input ``[T, B, *shape]``.
        spikes: per spiking layer what the layers behind it were given.
        wanted: nodes to compute for.
    """

    def __init__(
        self, rounding: Rounding, x: torch.Tensor, spikes: Mapping[str, torch.Tensor], wanted: Collection[str]
    ) -> None:
        self._rounding, self._plan = rounding, rounding.plan
        self._known = {self._plan.input: exact(x)}
        self._known |= {name: exact(y) for name, y in spikes.items() if name in self._plan.shapes}
        needed = self._needed(wanted)
        between = [name for name in self._plan.order if name in needed and name not in self._known]
        loops = any(source in between for name in needed for source in self._plan.feedback.get(name, ()))
        for name in between if loops else ():
            self._known[name] = exact(torch.zeros(*x.shape[:2], *self._plan.shapes[name]))
        for _ in range(x.shape[0] if loops else 1):
            for name in between:
                self._known[name] = rounding.output(name, self.input(name))

    def input(self, name: str) -> Rounded:
        """Summed input of a node."""
        terms = [self._known[source] for source in self._plan.sources[name]]
        terms += [self._known[source].previous() for source in self._plan.feedback.get(name, ())]
        return self._rounding.sum(terms)

    def value(self, name: str) -> Rounded:
        """Output of a node that is not spiking."""
        return self._known[name]

    def _needed(self, wanted: Collection[str]) -> set[str]:
        """Nodes that ``wanted`` depend on without passing known ones."""
        needed: set[str] = set()
        open_nodes = [source for name in wanted for source in _feeding(self._plan, name)]
        open_nodes += [name for name in wanted if not isinstance(self._plan.node(name), SPIKING_NODES)]
        while open_nodes:
            name = open_nodes.pop()
            if name in needed or name in self._known:
                continue
            needed.add(name)
            open_nodes += _feeding(self._plan, name)
        return needed


def _feeding(plan: Plan, name: str) -> tuple[str, ...]:
    return (*plan.sources[name], *plan.feedback.get(name, ()))


def upstream_layers(plan: Plan, name: str) -> Iterator[str]:
    """The spiking layers, or the input, whose spikes reach ``name`` through other nodes."""
    seen: set[str] = set()
    open_nodes = list(_feeding(plan, name))
    while open_nodes:
        source = open_nodes.pop()
        if source in seen:
            continue
        seen.add(source)
        if source == plan.input or isinstance(plan.node(source), SPIKING_NODES):
            yield source
        else:
            open_nodes += _feeding(plan, source)
