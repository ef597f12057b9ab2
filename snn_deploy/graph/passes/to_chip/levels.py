"""Populations that branch and join become a chain of layers; skip paths travel along as relays.

A ``.net`` file is a chain: every layer sees the one before it, nothing else. So a population lies in the
layer after the last of those that feed it, populations of the same depth lie side by side in one layer, and
what a population gives to a later layer is passed on by *relay* neurons in every layer between: one strong
synapse, so that each spike in is a spike out. A relay is at rest before every spike, so its leak does not
matter. In zero-delay arithmetic this is exact; in Lava every layer delays both paths alike.

A relay beside a strided layer holds the phases of the source that are still needed, see
:mod:`snn_deploy.graph.passes.to_chip.blocks`. Spikes that wait before a recurrent layer are held by relays
too, in the layer before it, since netx gives both matrices of a recurrent layer the same delays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

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
from snn_deploy.graph.passes.to_chip.populations import Population, known_map, number, side_by_side
from snn_deploy.graph.passes.to_chip.synapses import DelayError, delays_of, recurrent_of
from snn_deploy.graph.passes.to_chip.terms import Shape, Term
from snn_deploy.graph.passes.to_chip.windows import (
    Matrix,
    MergeError,
    Pair,
    Window,
    with_groups,
)
from snn_deploy.graph.semantics import Comparison

RELAYED = "skip paths travel in relay channels"
SIGNED_BYTE = 127
"""Lava keeps the geometry of a convolution, groups included, in signed bytes."""


class Need(NamedTuple):
    """What a layer has to relay: spikes of ``source``, in which ``phase`` of strides, how long ``held``."""

    source: str
    phase: Pair | None
    held: tuple[int, ...] = ()


class Arrangement:
    """Layers for populations given in an order in which sources come first; the last one is the output."""

    def __init__(self, populations: Sequence[Population], source: str, shape: Shape, fires_at: Comparison):
        self.problems: list[Problem] = []
        self._fires_at = fires_at
        self._input = source
        self._shapes = {source: shape, **{p.name: p.shape for p in populations}}
        self._level = {source: 0}
        for population in populations:
            before = (self._level[term.source] + bool(term.held) for term in population.terms)
            self._level[population.name] = 1 + max(before)
        self._depth = max(self._level.values())
        self._populations = {
            level: [p for p in populations if self._level[p.name] == level]
            for level in range(1, self._depth + 1)
        }
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

    def _needs(self) -> dict[int, list[Need]]:
        """For every layer what it has to relay, in order."""
        needs: dict[int, set[Need]] = {level: set() for level in range(self._depth + 1)}
        for level in range(self._depth, 0, -1):
            try:
                relays = [self._relay(need, level) for need in needs[level]]
            except MergeError as error:
                self._refuse(self._served(level), str(error), RELAYED, "a projection there")
                return {}
            for population in self._populations[level]:
                for term in population.terms:
                    needs[level - 1].update(self._wanted(term, level, population))
            for term in relays:
                needs[level - 1].update(self._wanted(term, level, None))
        order = list(self._level)
        return {
            level: sorted(found, key=lambda n: (order.index(n.source), n.held, n.phase or (0, 0)))
            for level, found in needs.items()
        }

    def _served(self, level: int) -> list[Population]:
        """The populations of a layer; of one of relays alone those of the next."""
        return self._populations[level] or self._populations[level + 1]

    def _wanted(self, term: Term, level: int, population: Population | None) -> Iterator[Need]:
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
        if term.held and found != {None} and population is not None:
            what = f"returns to itself, and delayed spikes of '{term.source}' would pass a layer of images"
            self._refuse([population], what, "dense layers have delays", "put neurons behind the Delay")
        elif origin < level - 1:
            yield from (Need(term.source, phase, term.held) for phase in found)

    def _all_phases(self, source: str, level: int) -> set[Pair | None]:
        if not level or not self._populations[level] or len(self._populations[level][0].shape) == 1:
            return {None}
        rows, columns = strides_until(self._strides, self._level[source] + 1, level)
        return {(y, x) for y in range(rows) for x in range(columns)}

    def _relay(self, need: Need, level: int) -> Term:
        """What feeds the relay for ``need`` in layer ``level``."""
        source, phase, held = need
        shape = self._shapes[source]
        if phase is None:
            size = int(np.prod(shape))
            check_size((size, size))
            wait = np.array(held if len(held) > 1 else sum(held), np.int64)
            return Term(source, shape, Matrix(np.eye(size), np.zeros(size)), len(shape) > 1, wait=wait)
        stride = strides_until(self._strides, self._level[source] + 1, level)
        return Term(source, shape, relay_window(shape[0], stride, phase, (shape[1], shape[2])))

    def _layer(
        self, level: int, beside: list[Population], needs: list[Need], before: Layout
    ) -> tuple[ChipLayer, Layout]:
        served = "+".join(p.name for p in self._served(level))
        if len(beside) > 1 and len({number(p.threshold) for p in beside}) > 1:
            beside = [p.normalised() for p in beside]
        rows, members, first = [], [], 0
        for population in beside:
            rows.append(Rows(first, population.shape[0], population.terms, population.loops))
            members.append(Member(population.name, population.name, first, population.shape[0]))
            first += population.shape[0]
        for need in needs:
            term = self._relay(need, level)
            count = len(known_map(term).weight)
            rows.append(Rows(first, count, (term,)))
            members.append(self._relayed(need, needs, level, served, first, count))
            first += count
        relayed = sum(m.count for m in members if m.relay)
        name = "+".join(p.name for p in beside or members)
        shape = (first, *(beside[0].shape[1:] if beside else ()))
        linear = self._map(rows, before, shape, level)
        bias = np.concatenate([*(p.bias for p in beside), np.zeros(relayed)])
        nodes = [node for p in beside for node in p.nodes] or [need.source for need in needs]
        layer = ChipLayer(
            name=name,
            weights_name="+".join(p.weights_name for p in beside) or name,
            map=replace(linear, bias=bias),
            shape=shape,
            flattens=len(shape) == 1 < len(before.shape),
            current_leak=side_by_side([p.current_leak for p in beside], members),
            voltage_leak=side_by_side([p.voltage_leak for p in beside], members, relays_leak=False),
            threshold=number(beside[0].threshold) if beside else 0.5,
            fires_at=self._fires_at,
            members=tuple(members) if len(members) > 1 or not beside else (),
            nodes=tuple(dict.fromkeys(nodes)),
            recurrent=recurrent_of(rows),
            delay=delays_of(rows, before),
        )
        return layer, Layout(shape, tuple(members))

    def _relayed(
        self, need: Need, needs: Sequence[Need], level: int, served: str, first: int, count: int
    ) -> Member:
        """The neurons of the relay for ``need``, beside those for the other ``needs``."""
        alike = [other for other in needs if other.source == need.source]
        late = list(dict.fromkeys(other.held for other in alike if other.held))
        where, stride = "", (1, 1)
        if need.phase is not None:
            stride = strides_until(self._strides, self._level[need.source] + 1, level)
            where = f"[{need.phase[0]},{need.phase[1]}]" if len(alike) > 1 else ""
        elif need.held:
            where = f"[late{1 + late.index(need.held)}]" if len(late) > 1 else "[late]"
        name = f"{need.source}{where}@{served}"
        return Member(name, need.source, first, count, stride, need.phase, need.held)

    def _map(self, rows: list[Rows], before: Layout, shape: Shape, level: int) -> Window | Matrix:
        only = rows[0].terms[0]
        if len(rows) == 1 == len(rows[0].terms) and len(before.members) == 1:
            linear = known_map(only)
            if isinstance(linear, Window):
                linear = with_groups(linear, SIGNED_BYTE)
        elif len(shape) == 1:
            linear = matrix_of(rows, before)
        else:
            linear = window_of(rows, before, (shape[1], shape[2]), self._strides[level])
        return linear
