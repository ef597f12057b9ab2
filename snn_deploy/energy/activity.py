"""What enters a weighted node, and what its values mean by the structure of the graph.

The activity of an edge is the tensor that enters the weight node: the sum of its sources' outputs of the same
step, plus its feedback sources' outputs of the step before. The quantum of a spike or of an input event count
is 1; summing pools keep it, average pools of k x k divide it by k². So the units after a pool are the single
spikes that entered its windows: what hardware pays that passes single events through pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import nir
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import SPIKING_NODES, STATEFUL_NODES, Plan
from snn_deploy.simulate.layers import Stateless, stateless


class Shaping:
    """The functions of nodes without state, made when first needed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._semantics = read_semantics(plan.graph)
        self._functions: dict[tuple[str, torch.dtype, torch.device], Stateless] = {}

    def __call__(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Output of the node ``name`` for ``x [T, B, *shape]``."""
        key = (name, x.dtype, x.device)
        if key not in self._functions:
            function = stateless(self._plan.node(name), self._semantics, x.dtype, x.device)
            assert function is not None  # every node without state has one
            self._functions[key] = function
        y = self._functions[key](x.flatten(0, 1))
        return y.view(*x.shape[:2], *y.shape[1:])


class Block:
    """Recorded activity of one block of time: what leaves and what enters every node, ``[T, B, *shape]``.

    Nodes without state that were not recorded are computed from those that were.

    Args:
        plan: the graph.
        records: of the input and of every node that holds state, at least.
        shaping: of the plan.
        before: ``last`` of the block before this one; none at the start, where nothing has been fed back.

    Raises:
        DataError: no record of the input.
    """

    def __init__(
        self,
        plan: Plan,
        records: Mapping[str, torch.Tensor],
        shaping: Shaping,
        before: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        if plan.input not in records:
            raise DataError("The trace holds no record of the input.", hint=_HINT)
        self.plan = plan
        self.timesteps, self.samples = (int(n) for n in records[plan.input].shape[:2])
        self._known = dict(records)
        self._shaping = shaping
        self._before = before or {}

    @property
    def last(self) -> dict[str, torch.Tensor]:
        """Outputs of the last step that the next block feeds back."""
        found = dict.fromkeys(source for sources in self.plan.feedback.values() for source in sources)
        return {name: self.leaving(name)[-1:].clone() for name in found}

    def entering(self, name: str) -> torch.Tensor:
        """The sum that enters the node ``name``."""
        parts = [self.leaving(source) for source in self.plan.sources[name]]
        parts += [self.delayed(source) for source in self.plan.feedback.get(name, ())]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def leaving(self, name: str) -> torch.Tensor:
        """The output of the node ``name``.

        Raises:
            DataError: it was not recorded and holds state, or its record has another shape.
        """
        if name not in self._known:
            self._known[name] = self._computed(name)
        record = self._known[name]
        if tuple(record.shape[2:]) != self.plan.shapes[name]:
            found, wanted = tuple(record.shape), f"[T, B, *{self.plan.shapes[name]}]"
            raise DataError(f"The record of '{name}' has shape {found}; expected {wanted}.")
        return record

    def delayed(self, name: str) -> torch.Tensor:
        """The output of ``name`` one step before: zero at the very first."""
        record = self.leaving(name)
        first = self._before.get(name)
        return torch.cat([torch.zeros_like(record[:1]) if first is None else first, record[:-1]])

    def _computed(self, name: str) -> torch.Tensor:
        if isinstance(self.plan.node(name), STATEFUL_NODES):
            raise DataError(
                f"The trace holds no record of '{name}', so its events cannot be counted.", hint=_HINT
            )
        return self._shaping(name, self.entering(name))


_HINT = 'Run the network with record=True; with delays in it, with record="all".'


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a value means by the graph's structure: the value of one event, and whether it was pooled."""

    quantum: Fraction | None
    pooled: bool


def meanings(plan: Plan) -> dict[str, Meaning]:
    """Meaning of the values that *enter* each node. Sources that disagree on the quantum have none."""
    after: dict[str, Meaning] = {}
    before: dict[str, Meaning] = {}
    for name in plan.order:
        sources = [after[source] for source in plan.sources[name]]
        sources += [_after(plan.node(source), Meaning(None, False)) for source in plan.feedback.get(name, ())]
        quanta = {source.quantum for source in sources}
        quantum = quanta.pop() if len(quanta) == 1 else None
        before[name] = Meaning(quantum, any(source.pooled for source in sources))
        after[name] = _after(plan.node(name), before[name])
    return before


def _after(node: nir.NIRNode, entering: Meaning) -> Meaning:
    if isinstance(node, (nir.Input, *SPIKING_NODES)):
        return Meaning(Fraction(1), False)
    if isinstance(node, nir.Flatten | nir.Delay):
        return entering
    if isinstance(node, nir.SumPool2d):
        return Meaning(entering.quantum, True)
    if isinstance(node, nir.AvgPool2d):
        height, width = axes(node.kernel_size, 2)
        return Meaning(entering.quantum / (height * width) if entering.quantum else None, True)
    return Meaning(None, entering.pooled and isinstance(node, nir.Scale))
