"""Counts equal an enumeration of every connection, for every kind of activity."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.synapses import conv_connections, events, linear_connections
from support.geometry import layers
from support.graphs import conv, graph, lif, spike_trace
from support.random_graphs import exact_cases

from snn_deploy.core.errors import DataError
from snn_deploy.energy.count import Counter, count
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import Trace
from snn_deploy.simulate.reference import BLOCK_ELEMENTS, Reference
from snn_deploy.synapses.rows import times

T, B = 3, 2
KINDS = {
    "binary": lambda rng, shape: (rng.random(shape) < 0.3) * 1.0,
    "signed unary": lambda rng, shape: rng.integers(-1, 2, shape) * 1.0,
    "graded": lambda rng, shape: rng.poisson(0.7, shape) * 1.0,
    "analog": lambda rng, shape: rng.random(shape) * (rng.random(shape) < 0.5),
}


def one_layer(layer, x):
    nodes = {"w": layer.node, "n": lif(layer.target)}
    plan = make_plan(graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], layer.source, layer.target))
    return count(plan, spike_trace(plan, x))


@settings(max_examples=120, deadline=None)
@given(layers(), st.sampled_from(sorted(KINDS)), st.integers(0, 2**16))
def test_equals_brute_force(layer, kind, seed):
    values = KINDS[kind](np.random.default_rng(seed), (T, B, *layer.source))
    counts = one_layer(layer, torch.from_numpy(values).float())
    (edge,), (neurons,) = counts.edges, counts.neurons
    for t, b in np.ndindex(T, B):
        every, used, reached = events(layer.connections, values[t, b])
        assert edge.sites[t, b] == every
        assert edge.sites_nonzero[t, b] == used
        assert neurons.touched[t, b] == len(reached)
        assert edge.active[t, b] == np.count_nonzero(values[t, b])
        if edge.units is not None and edge.quantum is not None:
            repeats = np.abs(np.rint(values[t, b] / edge.quantum)).astype(int)
            assert edge.units[t, b] == sum(repeats[s] for s, _, _ in layer.connections)
            assert edge.units_nonzero[t, b] == sum(
                repeats[s] for s, _, nonzero in layer.connections if nonzero
            )
    assert edge.connections == len(layer.connections)


@pytest.mark.parametrize(
    ("values", "edge_class", "quantum"),
    [
        ([0, 1, 1, 0], "binary", 1.0),
        ([0, 0, 0, 0], "binary", 1.0),
        ([0, 1, -1, 0], "signed unary", 1.0),
        ([0, 1, 3, 0], "graded", 1.0),
        ([0, 0.7, 0.7, 0], "binary", pytest.approx(0.7)),
        ([0, 0.7, -0.7, 0], "signed unary", pytest.approx(0.7)),
        ([0, 0.5, 0.7, 0], "analog", None),
        ([0, 1, 1 - 1e-7, 0], "binary", 1.0),  # float rounding
        ([0, 1, 1e-7, 0], "analog", None),
        ([0, 1, 0.99, 0], "analog", None),
    ],
)
def test_edge_classes(values, edge_class, quantum):
    plan = make_plan(
        graph({"w": nir.Linear(np.ones((3, 4), np.float32))}, [("input", "w"), ("w", "output")], (4,), (3,))
    )
    edge = count(plan, spike_trace(plan, torch.tensor(values).float().view(1, 1, 4))).edges[0]
    assert (edge.edge_class, edge.quantum) == (edge_class, quantum)
    assert (edge.units is None) == (edge_class == "analog")
    assert edge.sites.sum() == 3 * np.count_nonzero(values)


def test_class_is_decided_once_for_the_run():
    """One graded step among binary ones makes the edge graded, and its units count in every step."""
    x = torch.tensor([[1.0, 0], [0, 1], [1, 2]]).view(3, 1, 2)
    plan = make_plan(
        graph({"w": nir.Linear(np.ones((5, 2), np.float32))}, [("input", "w"), ("w", "output")], (2,), (5,))
    )
    edge = count(plan, spike_trace(plan, x)).edges[0]
    assert edge.edge_class == "graded"
    assert edge.sites[:, 0].tolist() == [5, 5, 10]
    assert edge.units[:, 0].tolist() == [5, 5, 15]


@pytest.mark.parametrize("pool", ["average", "sum"])
@pytest.mark.parametrize("kernel", [2, 3])
def test_units_after_a_pool_are_the_single_spikes(pool, kernel):
    """Hardware that passes single events through pools sends each spike on; a site is a window with any."""
    size = 2 * kernel
    pair = np.array([kernel, kernel])
    node = (nir.AvgPool2d if pool == "average" else nir.SumPool2d)(pair, pair, np.array([0, 0]))
    nodes = {
        "n": lif((2, size, size)),
        "p": node,
        "f": nir.Flatten({"input": np.array([2, 2, 2])}, 0),
        "w": nir.Linear(np.ones((5, 8), np.float32)),
        "first": conv(2, 1, size),
    }
    edges = [("input", "first"), ("first", "n"), ("n", "p"), ("p", "f"), ("f", "w"), ("w", "output")]
    plan = make_plan(graph(nodes, edges, (1, size, size), (5,)))
    trace = spike_trace(plan, (torch.rand(4, 3, 1, size, size) < 0.3).float(), rate=0.4)
    edge = count(plan, trace).edges[1]
    spikes = trace.records["n"]
    windows = trace.records["p"] != 0
    assert edge.name == "w"
    assert edge.pooled
    assert edge.edge_class == "graded"
    assert edge.quantum == pytest.approx(1 / kernel**2 if pool == "average" else 1.0)
    np.testing.assert_array_equal(edge.units, 5 * spikes.sum((2, 3, 4)).long().numpy())
    np.testing.assert_array_equal(edge.sites, 5 * windows.sum((2, 3, 4)).numpy())


def residual_plan():
    """conv -> a; a and its grouped child b add into one conv; recurrent weights around d; c feeds
    itself directly."""
    nodes = {
        "conv1": conv(4, 2, 6),
        "a": lif((4, 6, 6)),
        "grouped": conv(4, 4, 6, groups=2, seed=1),
        "b": lif((4, 6, 6)),
        "conv2": conv(3, 4, 6, kernel=3, stride=2, seed=2),
        "shortcut": conv(3, 2, 6, kernel=1, stride=2, padding=0, seed=3),
        "c": lif((3, 3, 3)),
        "flat": nir.Flatten({"input": np.array([3, 3, 3])}, 0),
        "recurrent": nir.Linear(np.ones((4, 4), np.float32)),
        "readout": nir.Affine(np.ones((4, 27), np.float32), np.ones(4, np.float32)),
        "d": lif((4,)),
    }
    edges = [
        ("input", "conv1"), ("conv1", "a"), ("a", "grouped"), ("grouped", "b"), ("a", "b"),
        ("a", "conv2"), ("b", "conv2"), ("input", "shortcut"), ("conv2", "c"), ("shortcut", "c"),
        ("c", "flat"), ("flat", "readout"), ("readout", "d"), ("d", "recurrent"), ("recurrent", "d"),
        ("c", "c"), ("d", "output"),
    ]  # fmt: skip
    return make_plan(graph(nodes, edges, (2, 6, 6), (4,)))


def connections_of(plan, name):
    node = plan.node(name)
    if isinstance(node, nir.Conv2d):
        source = plan.shapes[plan.sources[name][0]]
        return list(
            conv_connections(
                node.weight, source, plan.shapes[name], node.stride, node.padding, node.dilation, node.groups
            )
        )
    return list(linear_connections(node.weight))


def test_whole_network_with_residuals_and_recurrence():
    plan = residual_plan()
    trace = spike_trace(plan, (torch.rand(T, B, 2, 6, 6) < 0.05).float(), rate=0.05, seed=4)
    r = {name: record.numpy() for name, record in trace.records.items()}
    before = np.concatenate([np.zeros_like(r["d"][:1]), r["d"][:-1]])
    entering = {
        "conv1": r["input"],
        "grouped": r["a"],
        "conv2": r["a"] + r["b"],
        "shortcut": r["input"],
        "readout": r["c"].reshape(T, B, -1),
        "recurrent": before,
    }
    direct = {"b": r["a"], "c": np.concatenate([np.zeros_like(r["c"][:1]), r["c"][:-1]])}
    into = {"a": ["conv1"], "b": ["grouped"], "c": ["conv2", "shortcut"], "d": ["readout", "recurrent"]}
    counts = count(plan, trace)
    pairs = {name: connections_of(plan, name) for name in entering}
    assert {edge.name for edge in counts.edges} == set(entering)
    for edge in counts.edges:
        for t, b in np.ndindex(T, B):
            assert edge.sites[t, b] == events(pairs[edge.name], entering[edge.name][t, b])[0]
    assert counts.edges[[e.name for e in counts.edges].index("conv2")].edge_class == "graded"
    for neurons in counts.neurons:
        for t, b in np.ndindex(T, B):
            reached = set()
            for name in into[neurons.name]:
                reached |= events(pairs[name], entering[name][t, b])[2]
            if neurons.name in direct:
                reached |= {tuple(map(int, place)) for place in np.argwhere(direct[neurons.name][t, b])}
            assert neurons.touched[t, b] == len(reached)
            assert neurons.spikes[t, b] == r[neurons.name][t, b].sum()
    assert {edge.name: edge.layer for edge in counts.edges} == {
        name: layer for layer, names in into.items() for name in names
    }


def test_pool_between_weights_and_neuron():
    """A neuron behind a pool is touched when any conv output in its window was reached."""
    pair = np.array([2, 2])
    nodes = {
        "w": conv(2, 1, 4, kernel=1, padding=0),
        "p": nir.AvgPool2d(pair, pair, np.array([0, 0])),
        "n": lif((2, 2, 2)),
    }
    plan = make_plan(
        graph(nodes, [("input", "w"), ("w", "p"), ("p", "n"), ("n", "output")], (1, 4, 4), (2, 2, 2))
    )
    x = torch.zeros(1, 1, 1, 4, 4)
    x[..., 0, 1] = x[..., 3, 3] = 1
    counts = count(plan, spike_trace(plan, x))
    assert counts.neurons[0].touched.item() == 2 * 2
    assert counts.edges[0].layer == "n"
    assert counts.uncounted == ("p",)


@pytest.mark.parametrize("precision", ["highest", "medium"])
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([1, 7, 300]), st.integers(1, 2**25))
def test_products_are_exact_beyond_24_bits(precision, seed, columns, largest):
    """Masks in float32 against fan-outs whose sums, or single values, no longer fit a float32."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((20_000 // columns + 1, columns)) < 0.7).astype(np.float32)
    fan = rng.integers(0, largest, columns, endpoint=True)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        product = times(torch.from_numpy(mask), torch.from_numpy(fan))
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(product.numpy().astype(np.int64), mask.astype(np.int64) @ fan)


def test_whole_layers_are_exact_beyond_24_bits():
    """12,000 x 6,001 connections, all active: 72,012,000 events per row; half of the weights pruned."""
    inputs, outputs = 12_000, 6_001
    row = (np.arange(inputs) % 2).astype(np.float32)
    weight = np.broadcast_to(row, (outputs, inputs))
    plan = make_plan(
        graph({"w": nir.Linear(weight)}, [("input", "w"), ("w", "output")], (inputs,), (outputs,))
    )
    x = torch.ones(2, 1, inputs)
    x[1, 0, 7] = 0
    edge = count(plan, Trace(x, {"input": x, "w": torch.zeros(2, 1, outputs)})).edges[0]
    assert edge.sites[:, 0].tolist() == [inputs * outputs, (inputs - 1) * outputs]
    assert edge.sites_nonzero[:, 0].tolist() == [inputs // 2 * outputs, (inputs // 2 - 1) * outputs]


def test_float64_and_half_traces_count_alike():
    plan = residual_plan()
    trace = spike_trace(plan, (torch.rand(T, B, 2, 6, 6) < 0.2).float())
    expected = count(plan, trace)
    for dtype in (torch.float64, torch.bfloat16):
        cast = {name: record.to(dtype) for name, record in trace.records.items()}
        found = count(plan, Trace(trace.output, cast))
        for a, b in zip(expected.edges, found.edges, strict=True):
            np.testing.assert_array_equal(a.sites, b.sites)
            np.testing.assert_array_equal(a.units, b.units)


def same(found, expected):
    assert (found.timesteps, found.samples) == (expected.timesteps, expected.samples)
    for a, b in zip((*found.edges, *found.neurons), (*expected.edges, *expected.neurons), strict=True):
        for name in a.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=f"{a.name}.{name}")


def test_shaping_nodes_need_no_record():
    """What a pool, a scale or a flattening gives follows from the neurons before it."""
    plan = residual_plan()
    trace = spike_trace(plan, (torch.rand(T, B, 2, 6, 6) < 0.2).float())
    neurons = {name: trace.records[name] for name in ("input", "a", "b", "c", "d")}
    same(count(plan, Trace(trace.output, neurons)), count(plan, trace))


@settings(max_examples=40, deadline=None)
@given(exact_cases(), st.sampled_from([1, 2, 3]))
def test_blocks_of_time_join_to_the_same_counts(case, steps):
    """Counting on the way, block by block, equals counting the whole recorded run: with loops and delays."""
    reference = Reference(case.graph)
    counter = Counter(reference.plan)
    expected = counter.count(reference.run(case.x, record="all"))
    largest = max(int(np.prod(shape)) for shape in reference.plan.shapes.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCK_ELEMENTS, "cpu", steps * largest * case.x.shape[1])
        same(counter.run(reference, case.x), expected)


def test_missing_and_wrong_records_are_named():
    plan = residual_plan()
    trace = spike_trace(plan, torch.zeros(T, B, 2, 6, 6))
    without = Trace(trace.output, {k: v for k, v in trace.records.items() if k != "c"})
    with pytest.raises(DataError, match=r"no record of 'c'[\s\S]*record=True"):
        count(plan, without)
    wrong = Trace(trace.output, trace.records | {"a": torch.zeros(T, B, 3)})
    with pytest.raises(DataError, match="'a' has shape"):
        count(plan, wrong)
    with pytest.raises(DataError, match="no record of the input"):
        count(plan, Trace(trace.output, {}))
    broken = Trace(trace.output, trace.records | {"a": torch.full((T, B, 4, 6, 6), float("nan"))})
    with pytest.raises(DataError, match="not finite"):
        count(plan, broken)
