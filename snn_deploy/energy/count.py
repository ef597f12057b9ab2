"""Count synaptic events, neuron updates and spikes from recorded activity of a graph.

Events are the products of :mod:`snn_deploy.synapses.rows`. A run may be counted whole, or block by block of
time while each block is still in the cache: blocks join to the same counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import nir
import numpy as np
import torch

from snn_deploy.energy.activity import Block, Shaping, meanings
from snn_deploy.energy.counts import Counts, EdgeCounts, IntArray, NeuronCounts, concatenate
from snn_deploy.energy.fanout import fan_out
from snn_deploy.energy.touched import Touched
from snn_deploy.graph.plan import observed_layers
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import NEURON_NODES, SPIKING_NODES, WEIGHT_NODES, Plan, Trace
from snn_deploy.simulate.reference import Record, Reference
from snn_deploy.synapses.events import Activity, classify, flat_rows, mask
from snn_deploy.synapses.rows import Reduced, count_rows, join, reduce

WAITING_ELEMENTS = 2**20
"""Sums over channels wait until there are so many of them, and are then multiplied at once (our choice)."""


def count(plan: Plan, trace: Trace) -> Counts:
    """Count everything that happened in ``trace``, a run of ``plan`` with ``record=True`` or ``"all"``.

    Raises:
        DataError: a neuron or the input was not recorded, or a record does not fit the plan.
    """
    return Counter(plan).count(trace)


class Counter:
    """Counts run after run of one plan; the fan-out maps are computed once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._meaning = meanings(plan)
        self._shaping = Shaping(plan)
        self._touched = Touched(plan)
        self._layers = layer_of(plan)
        self._observed = observed_layers(plan)
        self._spiking = plan.of_type(*SPIKING_NODES)
        self._uncounted = plan.of_type(nir.Scale, nir.AvgPool2d, nir.SumPool2d)
        self._masks = _masks(plan)
        self._record: Record = "all" if plan.of_type(nir.Delay) else True
        self._inputs = {name: (*plan.sources[name], *plan.feedback.get(name, ())) for name in plan.order}
        self._fans = {
            name: fan_out(plan.node(name), plan.shapes[self._inputs[name][0]], plan.shapes[name])
            for name in plan.of_type(*WEIGHT_NODES)
        }
        self._unordered = {
            name: source
            for name, fan in self._fans.items()
            if not fan.pruned and (source := _before_flattening(plan, name))
        }

    def run(
        self,
        reference: Reference,
        x: torch.Tensor,
        watch: Callable[[torch.Tensor], None] = lambda output: None,
    ) -> Counts:
        """Run ``x [T, B, *shape]`` in ``reference``, a simulator of this plan, and count it on the way.

        Memory holds one block of time, whatever the number of steps. ``watch`` is shown the network's output,
        block by block.
        """
        parts: list[Counts] = []
        waiting: list[_Reading] = []
        before: dict[str, torch.Tensor] = {}
        for records in reference.blocks(x, record=self._record, also=(self._plan.output,)):
            watch(records[self._plan.output])
            block = Block(self._plan, records, self._shaping, before)
            waiting.append(self._read(block, self._masks))
            before = block.last
            del block, records  # so that the next block finds this one's memory
            if sum(reading.elements for reading in waiting) >= WAITING_ELEMENTS:
                parts.append(self._counted(_join(waiting)))
                waiting = []
        if waiting:
            parts.append(self._counted(_join(waiting)))
        return concatenate(parts, axis="time")

    def count(self, trace: Trace) -> Counts:
        """Counts of one run; see :func:`count`."""
        return self._counted(self._read(Block(self._plan, trace.records, self._shaping), frozenset()))

    def _read(self, block: Block, masks: frozenset[str]) -> _Reading:
        """Read every record once; ``masks`` names nodes whose output is 0 or 1 without a look at it."""
        known: dict[tuple[int, torch.Size, Fraction | None], Activity] = {}

        def activity(values: torch.Tensor, quantum: Fraction | None, is_mask: bool) -> Activity:
            rows = values.flatten(0, 1)
            key = (rows.data_ptr(), rows.shape, quantum)
            if key not in known:
                # It keeps its rows alive, so that no other tensor can take their place in memory.
                known[key] = mask(rows) if is_mask else classify(rows, quantum)
            return known[key]

        edges = {}
        for name, fan in self._fans.items():
            sources, quantum = self._inputs[name], self._meaning[name].quantum
            is_mask = len(sources) == 1 and sources[0] in masks
            if name in self._unordered:
                values = block.leaving(self._unordered[name]).flatten(0, 1)
                found = mask(flat_rows(values)) if is_mask else classify(flat_rows(values), quantum)
            else:
                found = activity(block.entering(name), quantum, is_mask)
            edges[name] = reduce(found, fan)
        return _Reading(
            block.timesteps,
            block.samples,
            edges,
            {n: activity(block.leaving(n), Fraction(1), n in masks).active for n in self._spiking},
            {n: y.flatten(0, 1) for n, y in self._touched.direct(block).items()},
        )

    def _counted(self, reading: _Reading) -> Counts:
        return Counts(
            timesteps=reading.timesteps,
            samples=reading.samples,
            edges=tuple(self._edge(reading, name) for name in self._fans),
            neurons=tuple(self._neurons(reading, name) for name in self._observed),
            uncounted=self._uncounted,
        )

    def _edge(self, reading: _Reading, name: str) -> EdgeCounts:
        fan, reduced = self._fans[name], reading.edges[name]
        rows = count_rows(reduced, fan)
        sites = reading.by_step(rows.sites)
        sites_nonzero = reading.by_step(rows.sites_nonzero) if fan.pruned else sites
        units, units_nonzero = sites, sites_nonzero
        if rows.units is not rows.sites and rows.units is not None and rows.units_nonzero is not None:
            units, units_nonzero = reading.by_step(rows.units), reading.by_step(rows.units_nonzero)
        analog = reduced.edge_class == "analog"
        return EdgeCounts(
            name=name,
            layer=self._layers[name],
            sources=self._inputs[name],
            edge_class=reduced.edge_class,
            pooled=self._meaning[name].pooled,
            quantum=reduced.quantum,
            source_size=prod(self._plan.shapes[self._inputs[name][0]]),
            connections=fan.dense,
            connections_nonzero=fan.dense_nonzero,
            active=reading.by_step(rows.active),
            sites=sites,
            sites_nonzero=sites_nonzero,
            units=None if analog else units,
            units_nonzero=None if analog else units_nonzero,
        )

    def _neurons(self, reading: _Reading, name: str) -> NeuronCounts:
        sites = {edge: reduced.sites for edge, reduced in reading.edges.items()}
        received = reading.by_step(self._touched.count(name, sites, reading.direct))
        spiking = name in reading.spikes
        return NeuronCounts(
            name=name,
            size=prod(self._plan.shapes[name]),
            spiking=spiking,
            spikes=reading.by_step(reading.spikes[name]) if spiking else np.zeros_like(received),
            touched=received,
        )


@dataclass(frozen=True)
class _Reading:
    """What was read from one or several blocks of time; first axis: rows, step by step."""

    timesteps: int
    samples: int
    edges: Mapping[str, Reduced]
    spikes: Mapping[str, torch.Tensor]
    direct: Mapping[str, torch.Tensor]

    @property
    def elements(self) -> int:
        """Size of what waits in memory."""
        return sum(r.sites.numel() for r in self.edges.values()) + sum(
            y.numel() for y in self.direct.values()
        )

    def by_step(self, rows: torch.Tensor) -> IntArray:
        """Whole numbers ``[T * B]`` as int64 ``[T, B]``."""
        result: IntArray = rows.reshape(self.timesteps, self.samples).long().cpu().numpy()
        return result


def _join(readings: Sequence[_Reading]) -> _Reading:
    """Successive blocks as one."""
    first = readings[0]
    if len(readings) == 1:
        return first
    return _Reading(
        sum(reading.timesteps for reading in readings),
        first.samples,
        {name: join([reading.edges[name] for reading in readings]) for name in first.edges},
        {name: torch.cat([reading.spikes[name] for reading in readings]) for name in first.spikes},
        {name: torch.cat([reading.direct[name] for reading in readings]) for name in first.direct},
    )


def layer_of(plan: Plan) -> dict[str, str]:
    """For each weight node the first neuron node behind it, or itself where no neuron follows."""
    follow: dict[str, list[str]] = {name: [] for name in plan.order}
    for name in plan.order:
        for source in (*plan.sources[name], *plan.feedback.get(name, ())):
            follow[source].append(name)
    result = {}
    for name in plan.of_type(*WEIGHT_NODES):
        seen, queue, found = {name}, list(follow[name]), name
        while queue:
            here = queue.pop(0)
            if isinstance(plan.node(here), NEURON_NODES):
                found = here
                break
            if here not in seen and not isinstance(plan.node(here), WEIGHT_NODES):
                seen.add(here)
                queue += follow[here]
        result[name] = found
    return result


def _masks(plan: Plan) -> frozenset[str]:
    """Spiking nodes, and flattening and delays behind one of them: our simulators give 0 or 1 there. None
    where neurons may spike several times in a step."""
    if read_semantics(plan.graph).spikes != "one":
        return frozenset()
    found: set[str] = set()
    for name in plan.order:
        sources = plan.sources[name]
        passes = isinstance(plan.node(name), nir.Flatten | nir.Delay) and not plan.feedback.get(name)
        if isinstance(plan.node(name), SPIKING_NODES) or (
            passes and len(sources) == 1 and sources[0] in found
        ):
            found.add(name)
    return frozenset(found)


def _before_flattening(plan: Plan, name: str) -> str | None:
    """The node whose flattened output alone enters the dense node ``name``: order does not matter to it."""
    if not isinstance(plan.node(name), nir.Linear | nir.Affine) or plan.feedback.get(name):
        return None
    sources = plan.sources[name]
    while len(sources) == 1 and isinstance(plan.node(sources[0]), nir.Flatten):
        here = sources[0]
        sources = () if plan.feedback.get(here) else plan.sources[here]
        if len(sources) == 1 and not isinstance(plan.node(sources[0]), nir.Flatten):
            return sources[0]
    return None
