"""A population with the maps that feed it, and parameters of several side by side in one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.graph.passes.to_chip.layers import Member
from snn_deploy.graph.passes.to_chip.terms import Shape, Term
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, Window, scaled


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Neurons, the maps that feed them, and those of their own spikes of the step before (``loops``); leaks,
    threshold and bias are a number or one per channel."""

    name: str
    shape: Shape
    terms: tuple[Term, ...]
    bias: FloatArray
    current_leak: FloatArray
    voltage_leak: FloatArray
    threshold: FloatArray | None
    loops: tuple[Term, ...] = ()

    @property
    def weights_name(self) -> str:
        """Hub name of the weights before it, or its own."""
        return "+".join(dict.fromkeys(term.weights for term in self.terms if term.weights)) or self.name

    @property
    def nodes(self) -> tuple[str, ...]:
        """Hub names of the neurons and of everything merged into the maps before them."""
        merged = dict.fromkeys(node for term in (*self.terms, *self.loops) for node in term.nodes)
        return (*merged, self.name) if self.name not in merged else tuple(merged)

    def normalised(self) -> Population:
        """The same neurons with the threshold 1 in every channel."""
        if self.threshold is None:
            return self
        rows = 1.0 / self.threshold
        return replace(
            self,
            terms=tuple(replace(term, map=scaled(known_map(term), rows)) for term in self.terms),
            loops=tuple(replace(term, map=scaled(known_map(term), rows)) for term in self.loops),
            bias=self.bias * rows,
            threshold=np.ones(()),
        )


def known_map(term: Term) -> Window | Matrix:
    """Its map, which every term has that feeds a population."""
    assert term.map is not None
    return term.map


def number(threshold: FloatArray | None) -> float | None:
    """A threshold as a number."""
    return None if threshold is None else float(threshold)


def side_by_side(
    values: Sequence[FloatArray], members: Sequence[Member], *, relays_leak: bool = True
) -> FloatArray:
    """One number where all populations share it, else one per channel. Relays forget their current
    (``relays_leak``); what their voltage does is all the same."""
    relays = any(member.relay for member in members)
    wanted = [*values, np.ones(())] if not values or (relays and relays_leak) else list(values)
    first = wanted[0]
    if all(not v.ndim and v == first for v in wanted):
        return first
    own = [m for m in members if not m.relay]
    counts = [m.count for m in own]
    rows = [np.broadcast_to(v, (n,)) for v, n in zip(values, counts, strict=True)]
    return np.concatenate([*rows, np.ones(sum(m.count for m in members if m.relay))])
