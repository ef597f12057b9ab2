"""Fan-in and fan-out equal an enumeration of every connection."""

from __future__ import annotations

import itertools
from collections import Counter

import nir
import numpy as np
from hypothesis import given, settings
from support.geometry import layers
from support.graphs import conv, graph, lif

from snn_deploy.graph.plan import make_plan
from snn_deploy.hardware.fans import fans


def chain(nodes, source, target):
    names = ["input", *nodes, "output"]
    return make_plan(graph(nodes, list(itertools.pairwise(names)), source, target))


@settings(max_examples=100, deadline=None)
@given(layers())
def test_one_layer_equals_brute_force(layer):
    found = fans(chain({"w": layer.node, "n": lif(layer.target)}, layer.source, layer.target))
    used = [(source, target) for source, target, nonzero in layer.connections if nonzero]
    assert found.fan_in["n"] == max(Counter(t for _, t in used).values(), default=0)
    assert found.fan_out["input"] == max(Counter(s for s, _ in used).values(), default=0)
    assert found.sent == {"input": len(used), "n": 0}
    assert found.total == len(used)


def test_pooling_reaches_every_source_of_its_window():
    """4 x 4 spikes, windows of 2 x 2, then 8 weights per neuron: 2 channels x 4 windows x 4 spikes."""
    nodes = {
        "n": lif((2, 4, 4)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": None}, 0, -1),
        "w": nir.Linear(np.ones((3, 8), np.float32)),
        "m": lif((3,)),
    }
    found = fans(chain(nodes, (2, 4, 4), (3,)))
    assert found.fan_in == {"m": 32}
    assert found.fan_out == {"input": 0, "n": 3, "m": 0}
    assert found.total == 96


def test_only_synapses_into_the_asked_populations():
    nodes = {
        "a": nir.Linear(np.ones((5, 4), np.float32)),
        "n": lif((5,)),
        "b": nir.Linear(np.ones((3, 5), np.float32)),
        "m": lif((3,)),
    }
    plan = chain(nodes, (4,), (3,))
    assert fans(plan).sent == {"input": 20, "n": 15, "m": 0}
    assert fans(plan, targets=["m"]).sent == {"input": 0, "n": 15, "m": 0}


def test_recurrence_and_branches_add():
    """A neuron hears the input, its own population, and a second path."""
    nodes = {
        "a": nir.Linear(np.ones((3, 2), np.float32)),
        "b": nir.Linear(np.ones((3, 2), np.float32)),
        "n": lif((3,)),
        "back": nir.Linear(np.eye(3, dtype=np.float32)),
    }
    edges = [("input", "a"), ("input", "b"), ("a", "n"), ("b", "n"), ("n", "back"), ("back", "n")]
    plan = make_plan(graph(nodes, [*edges, ("n", "output")], (2,), (3,)))
    found = fans(plan)
    assert found.fan_in["n"] == 2 + 2 + 1
    assert found.fan_out == {"input": 6, "n": 1}


def test_a_linear_readout_counts():
    nodes = {"c": conv(2, 1, 4), "n": lif((2, 4, 4)), "f": nir.Flatten({"input": None}, 0, -1)}
    nodes["w"] = nir.Linear(np.ones((3, 32), np.float32))
    assert fans(chain(nodes, (1, 4, 4), (3,))).sent["n"] == 96
