"""Loops and delays count in the graph of a ``.net`` file as in the graph it was written from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles.synapses import linear_connections
from support.recurrent_graphs import random_case

from snn_deploy.energy.count import count
from snn_deploy.energy.counts import Counts
from snn_deploy.export.pipelines import lowered
from snn_deploy.graph.passes.quantize.quantize import Quantize
from snn_deploy.graph.passes.to_chip.from_lava import FromLava
from snn_deploy.graph.plan import make_plan
from snn_deploy.simulate.reference import Reference

WITHOUT = {"held", "late"}
"""Relays, which have synapses of their own, and weights of a loop that are read elsewhere too."""


def _seeds(form: str) -> list[int]:
    """Some whose delays have this form."""
    traits = {seed: random_case(seed).traits for seed in range(100)}
    return [seed for seed, found in traits.items() if form in found and not found & WITHOUT][:6]


SEEDS = sorted({seed for form in ("before", "behind", "branches") for seed in _seeds(form)})


def _by_layer(counts: Counts) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for edge in counts.edges:
        found[edge.layer] = found.get(edge.layer, 0) + edge.sites_nonzero.sum(0)
    return found


def test_the_cases_hold_loops_and_every_form_of_delays():
    traits = set().union(*(random_case(seed).traits for seed in SEEDS))
    assert {"recurrent", "before", "behind", "branches", "counts"} <= traits


@pytest.mark.parametrize("seed", SEEDS)
def test_events_of_every_layer_are_those_of_the_hub(seed):
    """But where sums wait behind weights: where spikes wait instead, some of their events come too late."""
    case = random_case(seed)
    reference = Reference(case.graph)
    trace = reference.run(case.x, record="all")
    hub = count(reference.plan, trace)
    net = lowered(case.graph).then(Quantize(case.x, trace.records)).subject.net
    plan = make_plan(FromLava()(net))
    file = count(plan, Reference(plan, dtype=torch.float64).run(case.x.double(), record="all"))
    assert hub.spikes().sum() == file.spikes().sum()
    ours, theirs = _by_layer(hub), _by_layer(file)
    assert ours.keys() == theirs.keys()
    late = {name for name in ours if (f"{name}.fc", f"{name}.late") in case.graph.edges}
    for name in ours.keys() - late:
        assert (ours[name] == theirs[name]).all(), name
    for name, population in zip(net.names, net.populations, strict=True):
        edges = [edge for edge in file.edges if edge.layer == name]
        used = np.count_nonzero(population.weight) + np.count_nonzero(getattr(population, "recurrent", ()))
        assert sum(edge.connections_nonzero for edge in edges) == used


@pytest.mark.parametrize("seed", SEEDS)
def test_what_returns_is_counted_one_step_late(seed):
    case = random_case(seed)
    plan = make_plan(case.graph)
    trace = Reference(plan).run(case.x, record="all")
    for edge in count(plan, trace).edges:
        if not edge.name.endswith(".back"):
            continue
        fan_out = np.zeros(edge.source_size, np.int64)
        for source, _, weight in linear_connections(plan.node(edge.name).weight):
            fan_out[source] += weight != 0
        fired = trace.records[edge.layer].numpy()
        before = np.concatenate([np.zeros_like(fired[:1]), fired[:-1]])
        assert (edge.sites_nonzero == before @ fan_out).all()
        assert edge.edge_class == "binary"
