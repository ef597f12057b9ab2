"""The portable form: same spikes, and the encoding rules one by one."""

from __future__ import annotations

import itertools
import json

import nir
import numpy as np
import torch
from hypothesis import given, settings
from support.graphs import conv, graph, lif
from support.passes import portable
from support.random_graphs import exact_cases
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.graph.passes.for_readers.encoding import FEEDBACK_KEY
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics, read_semantics, write_semantics
from snn_deploy.simulate.reference import Reference


@settings(deadline=None, max_examples=60)
@given(case=exact_cases())
def test_computes_the_same_spikes_in_every_layer(case):
    before = Reference(case.graph).run(case.x, record=True)
    lowered, _ = portable(make_plan(case.graph))
    after = Reference(lowered).run(case.x, record=True)
    assert torch.equal(before.output, after.output)
    assert all(torch.equal(before.records[name], after.records[name]) for name in before.records)


def test_thresholds_move_one_float_down_so_that_both_comparisons_agree():
    net = graph({"n": lif((2,))}, [("input", "n"), ("n", "output")], (2,), (2,))
    write_semantics(net, Semantics(fires_at=">=", timesteps=4))
    lowered, passes = portable(make_plan(net))
    assert lowered.nodes["n"].v_threshold.tolist() == [np.nextafter(np.float32(1), np.float32(0))] * 2
    semantics = read_semantics(lowered)
    assert (semantics.fires_at, semantics.timesteps) == (">", 4)
    assert {"pass": "threshold_below", "layers": ["n"], "made": {"n": ["n"]}} in passes
    assert net.nodes["n"].v_threshold.tolist() == [1, 1]


def test_a_subtracted_threshold_stays_what_it_is():
    net = graph({"n": lif((2,))}, [("input", "n"), ("n", "output")], (2,), (2,))
    write_semantics(net, Semantics(fires_at=">=", reset="subtract"))
    lowered, passes = portable(make_plan(net))
    assert lowered.nodes["n"].v_threshold.tolist() == [1, 1]
    assert read_semantics(lowered).fires_at == ">="
    assert passes == ({"pass": "portable_encoding", "made": {"n": ["n"]}},)


def test_encoding():
    nodes = {
        "conv": conv(2, 1, 8),
        "n": nir.LIF(*(np.float64(v) for v in (2e-4, 1.0, 0.0, 1.0, 0.0))),
        "same": nir.Conv2d(None, np.ones((2, 2, 3, 3)), 1, "same", 1, np.array(1), np.zeros(2)),
        "uneven": nir.Conv2d(None, np.ones((2, 2, 2, 3)), 1, "same", 1, 1, np.zeros(2)),
        "pool": nir.AvgPool2d(np.array(2), np.array(2), np.array(0)),
        "flat": nir.Flatten({"input": None}, 1, 2),
    }
    names = ["source", *nodes, "sink"]
    net = graph(nodes, [], (1, 8, 8), (2, 16))
    net.nodes["source"], net.nodes["sink"] = net.nodes.pop("input"), net.nodes.pop("output")
    net.edges = list(itertools.pairwise(names))
    lowered, _ = portable(make_plan(net))
    assert {"input", "output"} < set(lowered.nodes)
    neuron, pool, flat = (lowered.nodes[n] for n in ("n", "pool", "flat"))
    assert neuron.tau.shape == (2, 8, 8)
    assert (neuron.tau.dtype, neuron.v_threshold.dtype) == (np.float64, np.float32)
    assert (pool.kernel_size.tolist(), pool.stride.tolist(), pool.padding.tolist()) == (
        [2, 2],
        [2, 2],
        [0, 0],
    )
    assert (flat.start_dim, flat.end_dim, flat.input_type["input"].tolist()) == (-2, -1, [2, 4, 4])
    assert lowered.nodes["same"].padding == (1, 1)
    assert lowered.nodes["same"].stride == (1, 1)
    assert lowered.nodes["uneven"].padding == "same"
    assert lowered.nodes["uneven"].weight.dtype == np.float32
    assert tuple(lowered.nodes["conv"].input_shape) == (8, 8)


def test_is_accepted_by_the_type_check_of_nir_itself():
    for name in ("LIF", "IF", "CUBA"):
        lowered, _ = portable(make_plan(from_torch(student(NEURONS[name]), IN_SHAPE, semantics=Semantics())))
        checked = nir.NIRGraph(lowered.nodes, lowered.edges, metadata={}, type_check=True)
        assert checked.check_types()


def test_feedback_is_named_for_readers_that_cannot_plan():
    nodes = {"n": lif((3,)), "back": nir.Linear(np.ones((3, 3)))}
    edges = [("input", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    lowered, _ = portable(make_plan(graph(nodes, edges, (3,), (3,))))
    assert json.loads(lowered.metadata[FEEDBACK_KEY]) == [["n", "back"]]


def test_of_real_networks_in_float32():
    """Window 4 and power-of-two arithmetic aside, a student's spikes survive its portable form."""
    for name, make in NEURONS.items():
        net = from_torch(student(make), IN_SHAPE, semantics=Semantics())
        x = spikes_in()
        before = Reference(net).run(x, record=True)
        after = Reference(portable(make_plan(net))[0]).run(x, record=True)
        assert all(torch.equal(before.records[n], after.records[n]) for n in before.records), name
