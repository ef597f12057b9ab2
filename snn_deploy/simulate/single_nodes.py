"""Single nodes of a graph, fed with given values: what lies between is computed, the rest is not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import torch

from snn_deploy.graph.later import later
from snn_deploy.graph.types import Plan

Given = Callable[[str], torch.Tensor | None]
"""The value of a node that readers see in the place of its own; None where they see its own."""
Compute = Callable[[str, torch.Tensor], torch.Tensor]
"""``compute(name, x)``: output ``[T, B, *shape]`` of the node for its summed input, from zero state."""


def node_outputs(
    plan: Plan, compute: Compute, given: Given, wanted: Collection[str]
) -> dict[str, torch.Tensor] | None:
    """Own outputs ``[T, B, *shape]`` of the nodes ``wanted``, whatever is given in their place; only values
    that are read are asked for. None where no given value cuts a loop."""
    walk = _Walk(plan, compute, given)
    found = {name: y for name in wanted if (y := walk.output(name)) is not None}
    return found if len(found) == len(wanted) else None


@dataclass(frozen=True, slots=True)
class _Walk:
    """What was computed so far; functions that refer to each other would keep it for longer."""

    plan: Plan
    compute: Compute
    given: Given
    own: dict[str, torch.Tensor | None] = field(default_factory=dict)

    def output(self, name: str) -> torch.Tensor | None:
        if name not in self.own:
            self.own[name] = None  # while its sources are looked for: who asks now asks in a loop
            now, before = self.plan.sources[name], self.plan.feedback.get(name, ())
            total = _sum([*map(self.visible, now), *map(self.late, before)])
            self.own[name] = None if total is None else self.compute(name, total)
        return self.own[name]

    def visible(self, name: str) -> torch.Tensor | None:
        value = self.given(name)
        return self.output(name) if value is None else value

    def late(self, name: str) -> torch.Tensor | None:
        y = self.visible(name)
        return None if y is None else later(y)


def _sum(terms: list[torch.Tensor | None]) -> torch.Tensor | None:
    total = terms[0]
    for term in terms[1:]:
        total = None if total is None or term is None else total + term
    return total
