"""Count synaptic events, neuron updates and spikes from recorded activity.

For source activity ``x [T, B, n]`` and fan-out map ``f [n]`` (see :mod:`snn_deploy.energy.fanout`):

    sites[t, b] = Σ_i [x[t, b, i] ≠ 0] f[i]          units[t, b] = Σ_i |x[t, b, i]| / q · f[i]

A site is what a core that reads a weight once per active source pays; a unit is what hardware pays that sends
one message per unit of value. Both are integers and both are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import nir
import numpy as np
import torch

from snn_deploy.energy.activity import (
    EXACT_FLOAT32,
    Activity,
    classify,
    entering,
    meanings,
    sum_by_group,
)
from snn_deploy.energy.counts import Counts, EdgeCounts, IntArray, NeuronCounts
from snn_deploy.energy.fanout import FanOut, fan_out
from snn_deploy.energy.touched import touched
from snn_deploy.errors import DataError
from snn_deploy.graph.types import INTEGRATOR_NODES, SPIKING_NODES, WEIGHT_NODES, Plan, Trace


def count(plan: Plan, trace: Trace) -> Counts:
    """Count everything that happened in ``trace``, a run of ``plan`` with ``record="all"``.

    Raises:
        DataError: a node was not recorded, or its record does not fit the plan.
    """
    return Counter(plan).count(trace)


class Counter:
    """Counts run after run of one plan; the fan-out maps are computed once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._meaning = meanings(plan)
        self._layers = layer_of(plan)
        self._inputs = {name: (*plan.sources[name], *plan.feedback.get(name, ())) for name in plan.order}
        self._fans = {
            name: fan_out(plan.node(name), plan.shapes[self._inputs[name][0]], plan.shapes[name])
            for name in plan.of_type(*WEIGHT_NODES)
        }

    def count(self, trace: Trace) -> Counts:
        """Counts of one run; see :func:`count`."""
        plan = self._plan
        if plan.input not in trace.records:
            raise DataError(
                "The trace holds no record of the input.", hint='Run the network with record="all".'
            )
        T, B = trace.records[plan.input].shape[:2]
        run = _Run(plan, trace, int(T))
        edges = tuple(self._edge(run, name) for name in self._fans)
        neurons = plan.of_type(*SPIKING_NODES, *INTEGRATOR_NODES)
        return Counts(
            timesteps=int(T),
            samples=int(B),
            edges=edges,
            neurons=tuple(self._neurons(run, name) for name in neurons),
            uncounted=plan.of_type(nir.Scale, nir.AvgPool2d, nir.SumPool2d),
        )

    def _edge(self, run: _Run, name: str) -> EdgeCounts:
        fan, meaning = self._fans[name], self._meaning[name]
        activity = run.entering(name, self._inputs[name], meaning.quantum)
        shape = self._plan.shapes[self._inputs[name][0]]
        grouped = activity.sites_by_group(fan.groups, shape)
        run.grouped[name] = grouped.reshape(run.timesteps, -1, *grouped.shape[1:])
        sites = run.by_step(times(grouped, fan.by_group))
        pruned = fan.dense_nonzero < fan.dense
        sites_nonzero = run.by_step(times(activity.sites, fan.nonzero)) if pruned else sites
        units, units_nonzero = self._units(run, activity, fan, shape, (sites, sites_nonzero))
        return EdgeCounts(
            name=name,
            layer=self._layers[name],
            sources=self._inputs[name],
            edge_class=activity.edge_class,
            pooled=meaning.pooled,
            quantum=activity.quantum,
            source_size=int(np.prod(shape)),
            connections=fan.dense,
            connections_nonzero=fan.dense_nonzero,
            active=run.by_step(activity.active),
            sites=sites,
            sites_nonzero=sites_nonzero,
            units=units,
            units_nonzero=units_nonzero,
        )

    def _units(
        self,
        run: _Run,
        activity: Activity,
        fan: FanOut,
        shape: tuple[int, ...],
        sites: tuple[IntArray, IntArray],
    ) -> tuple[IntArray | None, IntArray | None]:
        if activity.edge_class == "analog":
            return None, None
        if activity.edge_class != "graded":
            return sites
        grouped = sum_by_group(activity.units, fan.groups, shape)
        units = run.by_step(times(grouped, fan.by_group))
        pruned = fan.dense_nonzero < fan.dense
        return units, run.by_step(times(activity.units, fan.nonzero)) if pruned else units

    def _neurons(self, run: _Run, name: str) -> NeuronCounts:
        spiking = isinstance(self._plan.node(name), SPIKING_NODES)
        received = touched(self._plan, run.trace, name, run.grouped).cpu().numpy()
        return NeuronCounts(
            name=name,
            size=int(np.prod(self._plan.shapes[name])),
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
    """One trace while it is counted; a record that enters several nodes is classified and summed once."""

    plan: Plan
    trace: Trace
    timesteps: int
    grouped: dict[str, torch.Tensor] = field(default_factory=dict)
    _known: dict[tuple[int, torch.Size, Fraction | None], Activity] = field(default_factory=dict)

    def entering(self, name: str, inputs: tuple[str, ...], quantum: Fraction | None) -> Activity:
        """Activity that enters the node ``name``."""
        rows = entering(self.plan, self.trace, name).flatten(0, 1).flatten(1)
        if len(inputs) > 1 or self.plan.feedback.get(name):
            return classify(rows, quantum)
        return self._classified(rows, quantum)

    def leaving(self, name: str) -> Activity:
        """Activity at the output of the spiking node ``name``."""
        return self._classified(self.trace.records[name].flatten(0, 1).flatten(1), Fraction(1))

    def by_step(self, rows: torch.Tensor) -> IntArray:
        """Whole numbers ``[T * B]`` as int64 ``[T, B]``."""
        result: IntArray = rows.reshape(self.timesteps, -1).round().long().cpu().numpy()
        return result

    def _classified(self, rows: torch.Tensor, quantum: Fraction | None) -> Activity:
        key = (rows.data_ptr(), rows.shape, quantum)
        if key not in self._known:
            self._known[key] = classify(rows, quantum)
        return self._known[key]


def times(amount: torch.Tensor, fan: torch.Tensor) -> torch.Tensor:
    """Exact ``amount [rows, *shape] · fan [*shape]``, float64 whole numbers; both hold whole numbers >= 0.

    float64 is exact below 2^53. Large 0/1 masks in float32 are multiplied in slices whose total stays below
    2^24, where float32 is exact and twice as fast; NumPy does that, because torch may be set to round the
    factors to bfloat16 first (``torch.set_float32_matmul_precision``).
    """
    flat, weights = amount.detach().flatten(1), fan.flatten().to(amount.device)
    mask = flat.dtype == torch.float32 and not flat.is_cuda and flat.numel() > _LARGE
    if not mask or float(flat.max()) > 1 or int(weights.max()) >= EXACT_FLOAT32:
        return flat.double() @ weights.double()
    rows, factors = flat.numpy(), weights.numpy().astype(np.float32)
    total = np.zeros(rows.shape[0])
    for start, stop in _slices(weights):
        total += rows[:, start:stop] @ factors[start:stop]
    return torch.from_numpy(total)


_LARGE = 1 << 14


def _slices(fan: torch.Tensor) -> list[tuple[int, int]]:
    """Cut ``fan`` into runs whose sum stays below 2^24."""
    cumulative = fan.cumsum(0).numpy()
    slices, start, base = [], 0, 0
    while start < cumulative.size:
        stop = int(np.searchsorted(cumulative, base + EXACT_FLOAT32, side="left"))
        slices.append((start, stop))
        start, base = stop, int(cumulative[stop - 1])
    return slices
