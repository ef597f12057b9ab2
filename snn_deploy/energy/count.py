"""Count synaptic events, neuron updates and spikes from recorded activity of a graph.

Events are the products of :mod:`snn_deploy.synapses.rows`. A run may be counted whole, or block by block of
time while each block is still in the cache: blocks join to the same counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
from snn_deploy.graph.types import INTEGRATOR_NODES, SPIKING_NODES, WEIGHT_NODES, Plan, Trace
from snn_deploy.simulate.reference import Record, Reference, State
from snn_deploy.synapses.events import Activity, classify
from snn_deploy.synapses.rows import count_rows

BLOCK_ELEMENTS = 2**19
"""Elements of the largest activation in one block of time: what the cache holds (our choice)."""


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
        self._spiking = frozenset(plan.of_type(*SPIKING_NODES))
        self._uncounted = plan.of_type(nir.Scale, nir.AvgPool2d, nir.SumPool2d)
        self._masks = _masks(plan)
        self._record: Record = "all" if plan.of_type(nir.Delay) else True
        self._inputs = {name: (*plan.sources[name], *plan.feedback.get(name, ())) for name in plan.order}
        self._fans = {
            name: fan_out(plan.node(name), plan.shapes[self._inputs[name][0]], plan.shapes[name])
            for name in plan.of_type(*WEIGHT_NODES)
        }

    def run(self, reference: Reference, x: torch.Tensor) -> Counts:
        """Run ``x [T, B, *shape]`` in ``reference``, a simulator of this plan, and count it on the way.

        Memory holds one block of time, whatever the number of steps.
        """
        largest = max(prod(shape) for shape in self._plan.shapes.values())
        length = max(1, BLOCK_ELEMENTS // (largest * max(x.shape[1], 1)))
        parts: list[Counts] = []
        before: dict[str, torch.Tensor] = {}
        state: State | None = None
        for begin in range(0, x.shape[0], length):
            trace = reference.run(x[begin : begin + length], record=self._record, state=state)
            block, state = Block(self._plan, trace.records, self._shaping, before), trace.state
            del trace
            parts.append(self._count(block, spikes_are_01=True))
            before = block.last
            del block  # so that the next block finds this one's memory
        return concatenate(parts, axis="time")

    def count(self, trace: Trace) -> Counts:
        """Counts of one run; see :func:`count`."""
        return self._count(Block(self._plan, trace.records, self._shaping))

    def _count(self, block: Block, *, spikes_are_01: bool = False) -> Counts:
        run = _Run(block, self._masks if spikes_are_01 else frozenset())
        edges = tuple(self._edge(run, name) for name in self._fans)
        return Counts(
            timesteps=block.timesteps,
            samples=block.samples,
            edges=edges,
            neurons=tuple(self._neurons(run, name) for name in self._observed),
            uncounted=self._uncounted,
        )

    def _edge(self, run: _Run, name: str) -> EdgeCounts:
        fan, meaning = self._fans[name], self._meaning[name]
        activity = run.entering(name, meaning.quantum)
        shape = self._plan.shapes[self._inputs[name][0]]
        rows = count_rows(activity, fan, shape)
        grouped = activity.sites_by_group(fan.groups, shape)
        run.grouped[name] = grouped.reshape(run.block.timesteps, -1, *grouped.shape[1:])
        sites = run.by_step(rows.sites)
        sites_nonzero = run.by_step(rows.sites_nonzero) if fan.pruned else sites
        units, units_nonzero = sites, sites_nonzero
        if activity.edge_class == "graded" and rows.units is not None and rows.units_nonzero is not None:
            units, units_nonzero = run.by_step(rows.units), run.by_step(rows.units_nonzero)
        analog = activity.edge_class == "analog"
        return EdgeCounts(
            name=name,
            layer=self._layers[name],
            sources=self._inputs[name],
            edge_class=activity.edge_class,
            pooled=meaning.pooled,
            quantum=activity.quantum,
            source_size=prod(shape),
            connections=fan.dense,
            connections_nonzero=fan.dense_nonzero,
            active=run.by_step(rows.active),
            sites=sites,
            sites_nonzero=sites_nonzero,
            units=None if analog else units,
            units_nonzero=None if analog else units_nonzero,
        )

    def _neurons(self, run: _Run, name: str) -> NeuronCounts:
        spiking = name in self._spiking
        received = self._touched.count(run.block, name, run.grouped).cpu().numpy()
        return NeuronCounts(
            name=name,
            size=prod(self._plan.shapes[name]),
            spiking=spiking,
            spikes=run.by_step(run.leaving(name).active) if spiking else np.zeros_like(received),
            touched=received,
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
            if isinstance(plan.node(here), (*SPIKING_NODES, *INTEGRATOR_NODES)):
                found = here
                break
            if here not in seen and not isinstance(plan.node(here), WEIGHT_NODES):
                seen.add(here)
                queue += follow[here]
        result[name] = found
    return result


@dataclass(frozen=True)
class _Run:
    """One block while it is counted; a record that enters several nodes is classified and summed once.

    ``masks`` names nodes whose output is 0 or 1 without a look at it.
    """

    block: Block
    masks: frozenset[str]
    grouped: dict[str, torch.Tensor] = field(default_factory=dict)
    _known: dict[tuple[int, torch.Size, Fraction | None], Activity] = field(default_factory=dict)

    def entering(self, name: str, quantum: Fraction | None) -> Activity:
        """Activity that enters the node ``name``."""
        sources = (*self.block.plan.sources[name], *self.block.plan.feedback.get(name, ()))
        mask = len(sources) == 1 and sources[0] in self.masks
        return self._classified(self.block.entering(name), quantum, mask)

    def leaving(self, name: str) -> Activity:
        """Activity at the output of the spiking node ``name``."""
        return self._classified(self.block.leaving(name), Fraction(1), name in self.masks)

    def by_step(self, rows: torch.Tensor) -> IntArray:
        """Whole numbers ``[T * B]`` as int64 ``[T, B]``."""
        result: IntArray = rows.reshape(self.block.timesteps, -1).long().cpu().numpy()
        return result

    def _classified(self, values: torch.Tensor, quantum: Fraction | None, mask: bool) -> Activity:
        rows = values.flatten(0, 1).flatten(1)
        key = (rows.data_ptr(), rows.shape, quantum)
        if key not in self._known:
            # The activity keeps its rows alive, so that no other tensor can take their place in memory.
            self._known[key] = (
                Activity(rows, "binary", 1.0, is_mask=True) if mask else classify(rows, quantum)
            )
        return self._known[key]


def _masks(plan: Plan) -> frozenset[str]:
    """Spiking nodes, and flattening and delays behind one of them: our simulators give 0 or 1 there."""
    found: set[str] = set()
    for name in plan.order:
        sources = plan.sources[name]
        passes = isinstance(plan.node(name), nir.Flatten | nir.Delay) and not plan.feedback.get(name)
        if isinstance(plan.node(name), SPIKING_NODES) or (
            passes and len(sources) == 1 and sources[0] in found
        ):
            found.add(name)
    return frozenset(found)
