"""Populations that branch and join become a chain of layers; skip paths travel along as relays.

A ``.net`` file is a chain: every layer sees the one before it, nothing else. So a population lies in the
layer after the last of those that feed it, populations of the same depth lie side by side in one layer, and
what a population gives to a later layer is passed on by *relay* neurons in every layer between: one strong
synapse, so that each spike in is a spike out. A relay is at rest before every spike, so its leak does not
matter. In zero-delay arithmetic this is exact; in Lava every layer delays both paths alike.

A relay beside a strided layer holds the phases of the source that are still needed, see
:mod:`snn_deploy.graph.passes.to_chip.blocks`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.passes.to_chip.blocks import (
    Layout,
    Rows,
    check_size,
    matrix_of,
    phases,
    relay_window,
    strides_until,
    window_of,
)
from snn_deploy.graph.passes.to_chip.layers import NETX, ChipLayer, Member
from snn_deploy.graph.passes.to_chip.synapses import DelayError, delays_of, recurrent_of
from snn_deploy.graph.passes.to_chip.terms import Shape, Term
from snn_deploy.graph.passes.to_chip.windows import (
    FloatArray,
    Matrix,
    MergeError,
    Pair,
    Window,
    scaled,
    with_groups,
)
from snn_deploy.graph.semantics import Comparison

RELAYED = "skip paths travel in relay channels"
SIGNED_BYTE = 127
"""Lava keeps the geometry of a convolution, groups included, in signed bytes."""


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
            terms=tuple(replace(term, map=scaled(_known(term), rows)) for term in self.terms),
            loops=tuple(replace(term, map=scaled(_known(term), rows)) for term in self.loops),
            bias=self.bias * rows,
            threshold=np.ones(()),
        )


def _known(term: Term) -> Window | Matrix:
    assert term.map is not None
    return term.map


class Arrangement:
    """Layers for populations given in an order in which sources come first; the last one is the output."""

    def __init__(self, populations: Sequence[Population], source: str, shape: Shape, fires_at: Comparison):
        self.problems: list[Problem] = []
        self._fires_at = fires_at
        self._input = source
        self._shapes = {source: shape, **{p.name: p.shape for p in populations}}
        self._level = {source: 0}
        for population in populations:
            self._level[population.name] = 1 + max(self._level[term.source] for term in population.terms)
        self._depth = max(self._level.values())
        self._populations = {
            level: [p for p in populations if self._level[p.name] == level]
            for level in range(1, self._depth + 1)
        }
        self._check_used(populations)
        self._strides: dict[int, Pair] = {}
        for level, beside in self._populations.items():
            self._check_geometry(level, beside)

    def layers(self) -> list[ChipLayer]:
        """The chain; empty when :attr:`problems` are found."""
        if self.problems:
            return []
        needs = self._needs()
        if self.problems:
            return []
        before = Layout(
            self._shapes[self._input],
            (Member(self._input, self._input, 0, self._shapes[self._input][0]),),
        )
        found: list[ChipLayer] = []
        for level, beside in self._populations.items():
            try:
                layer, before = self._layer(level, beside, needs[level], before)
            except DelayError as error:
                self._refuse(beside, str(error), "one delay per synapse", "put neurons into one of them")
                return []
            except MergeError as error:
                self._refuse(beside, str(error), RELAYED, "a projection there")
                return []
            if isinstance(layer.map, Window):
                self._check_bytes(beside, layer.map)
            found.append(layer)
        return found

    def _check_bytes(self, beside: Sequence[Population], window: Window) -> None:
        if max(*window.kernel, *window.stride, *window.padding, *window.dilation) > SIGNED_BYTE:
            what = f"kernel {window.kernel}, stride {window.stride}, padding {window.padding} after merging"
            self._refuse(beside, what, f"sizes up to {SIGNED_BYTE}", "smaller pooling windows")

    def _refuse(self, beside: Sequence[Population], what: str, rule: str, try_instead: str = "") -> None:
        self.problems.append(Problem(", ".join(p.name for p in beside), what, rule, NETX, try_instead))

    def _check_used(self, populations: Sequence[Population]) -> None:
        used = {populations[-1].name}
        for population in reversed(populations):
            if population.name in used:
                used.update(term.source for term in population.terms)
            else:
                self._refuse([population], "reaches no output", "every layer feeds the next", "remove it")

    def _check_geometry(self, level: int, beside: list[Population]) -> None:
        """All populations of a level have the same rows and columns, and step over the one before alike."""
        sizes = {p.shape[1:] for p in beside}
        if len(sizes) > 1:
            listed = ", ".join(f"{p.name} {p.shape}" for p in beside)
            self._refuse(beside, f"lie side by side with other sizes: {listed}", "one size per layer")
            return
        direct = {
            term.map.stride
            for p in beside
            for term in p.terms
            if isinstance(term.map, Window) and self._level[term.source] == level - 1
        }
        if len(direct) > 1:
            self._refuse(beside, f"lie side by side with strides {sorted(direct)}", "one stride per layer")
        self._strides[level] = next(iter(direct), (1, 1))

    def _needs(self) -> dict[int, list[tuple[str, Pair | None]]]:
        """For every layer what it has to relay: sources and phases, in order."""
        needs: dict[int, set[tuple[str, Pair | None]]] = {level: set() for level in range(self._depth + 1)}
        for level in range(self._depth, 0, -1):
            try:
                relays = [self._relay(source, phase, level) for source, phase in needs[level]]
            except MergeError as error:
                self._refuse(self._populations[level], str(error), RELAYED, "a projection there")
                return {}
            for population in self._populations[level]:
                for term in population.terms:
                    needs[level - 1].update(self._wanted(term, level, population))
            for term in relays:
                needs[level - 1].update(self._wanted(term, level, None))
        order = list(self._level)
        return {
            level: sorted(found, key=lambda need: (order.index(need[0]), need[1] or (0, 0)))
            for level, found in needs.items()
        }

    def _wanted(
        self, term: Term, level: int, population: Population | None
    ) -> Iterator[tuple[str, Pair | None]]:
        """What the layer before ``level`` has to relay for ``term``."""
        origin = self._level[term.source]
        found: Collection[Pair | None]
        if isinstance(term.map, Window):
            relayed = strides_until(self._strides, origin + 1, level - 1)
            own = self._strides[level]
            due = (relayed[0] * own[0], relayed[1] * own[1])
            if population is not None and term.map.stride != due:
                what = f"takes '{term.source}' with stride {term.map.stride}, its other inputs with {due}"
                self._refuse([population], what, "the paths of a sum stride alike")
                return
            found = phases(term.map, relayed)
        else:
            found = self._all_phases(term.source, level - 1)
        if origin < level - 1:
            yield from ((term.source, phase) for phase in found)

    def _all_phases(self, source: str, level: int) -> set[Pair | None]:
        if not level or len(self._populations[level][0].shape) == 1:
            return {None}
        rows, columns = strides_until(self._strides, self._level[source] + 1, level)
        return {(y, x) for y in range(rows) for x in range(columns)}

    def _relay(self, source: str, phase: Pair | None, level: int) -> Term:
        """What feeds the relay of ``source`` in layer ``level``."""
        shape = self._shapes[source]
        if phase is None:
            size = int(np.prod(shape))
            check_size((size, size))
            return Term(source, shape, Matrix(np.eye(size), np.zeros(size)), len(shape) > 1)
        stride = strides_until(self._strides, self._level[source] + 1, level)
        return Term(source, shape, relay_window(shape[0], stride, phase, (shape[1], shape[2])))

    def _layer(
        self, level: int, beside: list[Population], needs: list[tuple[str, Pair | None]], before: Layout
    ) -> tuple[ChipLayer, Layout]:
        name = "+".join(p.name for p in beside)
        if len(beside) > 1 and len({_number(p.threshold) for p in beside}) > 1:
            beside = [p.normalised() for p in beside]
        terms = [self._relay(source, phase, level) for source, phase in needs]
        rows, members, first = [], [], 0
        for population in beside:
            rows.append(Rows(first, population.shape[0], population.terms, population.loops))
            members.append(Member(population.name, population.name, first, population.shape[0]))
            first += population.shape[0]
        for (source, phase), term in zip(needs, terms, strict=True):
            count = len(_known(term).weight)
            rows.append(Rows(first, count, (term,)))
            stride = (1, 1) if phase is None else strides_until(self._strides, self._level[source] + 1, level)
            several = sum(other == source for other, _ in needs) > 1
            where = f"[{phase[0]},{phase[1]}]" if several and phase is not None else ""
            members.append(Member(f"{source}{where}@{name}", source, first, count, stride, phase))
            first += count
        relayed = sum(m.count for m in members if m.relay)
        shape = (first, *beside[0].shape[1:])
        linear = self._map(rows, before, shape, level)
        bias = np.concatenate([*(p.bias for p in beside), np.zeros(relayed)])
        threshold = beside[0].threshold
        layer = ChipLayer(
            name=name,
            weights_name="+".join(p.weights_name for p in beside),
            map=replace(linear, bias=bias),
            shape=shape,
            flattens=any(term.flat for p in beside for term in p.terms) and len(before.shape) > 1,
            current_leak=_side_by_side([p.current_leak for p in beside], members),
            voltage_leak=_side_by_side([p.voltage_leak for p in beside], members, relays_leak=False),
            threshold=None if threshold is None else float(threshold),
            fires_at=self._fires_at,
            members=tuple(members) if len(members) > 1 else (),
            nodes=tuple(dict.fromkeys(node for p in beside for node in p.nodes)),
            recurrent=recurrent_of(rows),
            delay=delays_of(rows, before),
        )
        return layer, Layout(shape, tuple(members))

    def _map(self, rows: list[Rows], before: Layout, shape: Shape, level: int) -> Window | Matrix:
        only = rows[0].terms[0]
        if len(rows) == 1 == len(rows[0].terms) and len(before.members) == 1:
            linear = _known(only)
            if isinstance(linear, Window):
                linear = with_groups(linear, SIGNED_BYTE)
        elif len(shape) == 1:
            linear = matrix_of(rows, before)
        else:
            linear = window_of(rows, before, (shape[1], shape[2]), self._strides[level])
        return linear


def _number(threshold: FloatArray | None) -> float | None:
    return None if threshold is None else float(threshold)


def _side_by_side(
    values: Sequence[FloatArray], members: Sequence[Member], *, relays_leak: bool = True
) -> FloatArray:
    """One number where all populations share it, else one per channel. Relays forget their current
    (``relays_leak``); what their voltage does is all the same."""
    relays = any(member.relay for member in members)
    wanted = [*values, np.ones(())] if relays and relays_leak else list(values)
    first = wanted[0]
    if all(not v.ndim and v == first for v in wanted):
        return first
    own = [m for m in members if not m.relay]
    counts = [m.count for m in own]
    rows = [np.broadcast_to(v, (n,)) for v, n in zip(values, counts, strict=True)]
    return np.concatenate([*rows, np.ones(sum(m.count for m in members if m.relay))])
