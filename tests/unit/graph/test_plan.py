"""Plans: nesting, order, feedback, shapes, and every fault in one error."""

from __future__ import annotations

import itertools
import json

import nir
import numpy as np
import pytest
import torch
from support.graphs import conv, graph, lif

from snn_deploy.core.errors import DataError, UnsupportedError
from snn_deploy.graph.flatten import MAX_DEPTH
from snn_deploy.graph.plan import loop_groups, make_plan, observed_layers
from snn_deploy.graph.semantics import VERSION, Semantics, write_semantics
from snn_deploy.simulate.reference import Reference


def linear(outputs: int, inputs: int, seed: int = 0) -> nir.Linear:
    rng = np.random.default_rng(seed)
    return nir.Linear(rng.normal(size=(outputs, inputs), scale=2).astype(np.float32))


def nested(nodes, edges, source, target) -> nir.NIRGraph:
    doors = {"i": nir.Input({"input": np.array(source)}), "o": nir.Output({"output": np.array(target)})}
    return nir.NIRGraph({**nodes, **doors}, edges, metadata={}, type_check=False)


def test_a_chain_in_order_with_shapes():
    nodes = {
        "fc": nir.Affine(np.ones((3, 32), np.float32), np.zeros(3, np.float32)),
        "flat": nir.Flatten({"input": None}, 0, -1),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "neuron": lif((2, 8, 8)),
        "conv": conv(2, 1, 8),
        "out": lif((3,)),
    }
    names = ["input", "conv", "neuron", "pool", "flat", "fc", "out", "output"]
    plan = make_plan(graph(nodes, list(itertools.pairwise(names)), (1, 8, 8), (3,)))
    assert plan.order == tuple(names)
    assert (plan.input, plan.output) == ("input", "output")
    assert plan.shapes["neuron"] == (2, 8, 8)
    assert plan.shapes["pool"] == (2, 4, 4)
    assert plan.shapes["flat"] == (32,)
    assert plan.sources["fc"] == ("flat",)
    assert plan.feedback == {}
    assert observed_layers(plan) == ("neuron", "out")


def test_sums_keep_the_order_of_the_edge_list():
    nodes = {"a": linear(3, 3), "b": linear(3, 3), "c": linear(3, 3)}
    edges = [("input", n) for n in "abc"] + [("c", "output"), ("a", "output"), ("b", "output")]
    assert make_plan(graph(nodes, edges, (3,), (3,))).sources["output"] == ("c", "a", "b")


def test_recurrence_reads_the_previous_step():
    edges = [("input", "w"), ("w", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    plan = make_plan(graph({"w": linear(4, 3), "n": lif((4,)), "back": linear(4, 4)}, edges, (3,), (4,)))
    assert plan.feedback == {"back": ("n",)}
    assert plan.sources["back"] == ()
    assert loop_groups(plan) == (("input",), ("w",), ("back", "n"), ("output",))


def test_shapes_inside_a_loop_that_starts_with_open_nodes():
    """The pool behind the feedback edge is reached before the neuron that feeds it."""
    nodes = {
        "neuron": lif((2, 4, 4)),
        "pool": nir.SumPool2d(np.array([3, 3]), np.array([1, 1]), np.array([1, 1])),
    }
    edges = [("input", "neuron"), ("neuron", "pool"), ("pool", "neuron"), ("neuron", "output")]
    plan = make_plan(graph(nodes, edges, (2, 4, 4), (2, 4, 4)))
    assert plan.order == ("input", "pool", "neuron", "output")
    assert plan.shapes["pool"] == (2, 4, 4)


def test_nested_graphs_dissolve_and_compute_the_same():
    inner = nested(
        {"n": lif((4,)), "back": linear(4, 4, 1)},
        [("i", "n"), ("n", "back"), ("back", "n"), ("n", "o")],
        (4,),
        (4,),
    )
    middle = nested({"w": linear(4, 3), "rnn": inner}, [("i", "w"), ("w", "rnn"), ("rnn", "o")], (3,), (4,))
    plan = make_plan(graph({"block": middle}, [("input", "block"), ("block", "output")], (3,), (4,)))
    assert set(plan.order) == {"input", "block.w", "block.rnn.n", "block.rnn.back", "output"}
    flat_edges = [("input", "w"), ("w", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    flat = graph({"w": linear(4, 3), "n": lif((4,)), "back": linear(4, 4, 1)}, flat_edges, (3,), (4,))
    x = torch.rand(6, 2, 3)
    assert torch.equal(Reference(plan).run(x).output, Reference(flat).run(x).output)


def test_a_nested_graph_may_pass_its_input_through():
    inner = nested({"w": linear(3, 3)}, [("i", "w"), ("w", "o"), ("i", "o")], (3,), (3,))
    plan = make_plan(graph({"res": inner}, [("input", "res"), ("res", "output")], (3,), (3,)))
    assert plan.sources["output"] == ("res.w", "input")


def test_all_faults_come_at_once():
    nodes = {
        "w": linear(4, 3),
        "lost": lif((4,)),
        "n": lif((5,)),
        "fast": nir.LIF(*(np.full(4, v) for v in (2e-5, 1.0, 0.0, 1.0, 0.0))),
    }
    edges = [("input", "w"), ("w", "n"), ("w", "fast"), ("fast", "output"), ("n", "ghost"), ("w", "n")]
    with pytest.raises(DataError) as caught:
        make_plan(graph(nodes, edges, (3,), (4,)))
    text = str(caught.value)
    assert "n -> ghost: names a node that does not exist: ghost" in text
    assert "w -> n: occurs 2 times" in text
    assert "lost: nothing feeds this node" in text

    edges = [
        ("input", "w"),
        ("input", "lost"),
        ("w", "n"),
        ("w", "fast"),
        ("fast", "output"),
        ("n", "output"),
    ]
    with pytest.raises(DataError) as caught:
        make_plan(graph(nodes, edges, (3,), (4,)))
    text = str(caught.value)
    assert "lost: LIF: 'tau' has shape (4,); it does not broadcast to the input (3,)" in text
    assert "n: LIF: 'tau' has shape (5,); it does not broadcast to the input (4,)" in text
    assert "'tau' = 2e-05 s is shorter than the step dt = 0.0001 s" in text


def test_shapes_that_do_not_add_up():
    edges = [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")]
    with pytest.raises(DataError, match=r"output: adds inputs of different shapes: a \(4,\), b \(2,\)"):
        make_plan(graph({"a": linear(4, 3), "b": linear(2, 3)}, edges, (3,), (4,)))
    with pytest.raises(DataError, match=r"output: Output: declares the shape \(9,\), its input has \(4,\)"):
        make_plan(graph({"a": linear(4, 3)}, [("input", "a"), ("a", "output")], (3,), (9,)))


def test_several_inputs_unknown_nodes_and_wide_nesting_are_unsupported():
    class Strange(nir.Threshold):
        pass

    nodes = {
        "second": nir.Input({"input": np.array([3])}),
        "odd": Strange(np.ones(3)),
    }
    edges = [("input", "odd"), ("second", "odd"), ("odd", "output")]
    with pytest.raises(UnsupportedError) as caught:
        make_plan(graph(nodes, edges, (3,), (3,)))
    text = str(caught.value)
    assert "input, second: 2 Input nodes" in text
    assert "odd: node type 'Strange'" in text
    two = nested({"extra": nir.Output({"output": np.array([3])})}, [("i", "o"), ("i", "extra")], (3,), (3,))
    with pytest.raises(UnsupportedError, match="two: nested graph with 1 inputs and 2 outputs"):
        make_plan(graph({"two": two}, [("input", "two"), ("two", "output")], (3,), (3,)))


def test_no_input_and_no_output():
    with pytest.raises(DataError, match="no Input node") as caught:
        make_plan(nir.NIRGraph({}, [], metadata={}, type_check=False))
    assert "no Output node" in str(caught.value)


def test_edges_into_inputs_and_out_of_outputs():
    edges = [("input", "a"), ("a", "output"), ("output", "a"), ("a", "input")]
    with pytest.raises(DataError, match="output -> a: leaves an Output") as caught:
        make_plan(graph({"a": linear(3, 3)}, edges, (3,), (3,)))
    assert "a -> input: leaves an Output or enters an Input" in str(caught.value)


def test_a_loop_of_weights_has_no_meaning():
    edges = [("input", "a"), ("a", "b"), ("b", "a"), ("a", "output")]
    with pytest.raises(DataError, match="a, b: loop without a neuron or delay"):
        make_plan(graph({"a": linear(3, 3), "b": linear(3, 3)}, edges, (3,), (3,)))


def test_nesting_that_never_ends_is_refused():
    inside = nested({}, [("i", "o")], (3,), (3,))
    for _ in range(MAX_DEPTH + 2):
        inside = nested({"g": inside}, [("i", "g"), ("g", "o")], (3,), (3,))
    with pytest.raises(UnsupportedError, match=f"at most {MAX_DEPTH} levels"):
        make_plan(graph({"g": inside}, [("input", "g"), ("g", "output")], (3,), (3,)))


def test_edges_doubled_by_dissolving_are_refused():
    inner = nested({}, [("i", "o")], (3,), (3,))
    edges = [("input", "same"), ("same", "a"), ("input", "a"), ("a", "output")]
    with pytest.raises(UnsupportedError, match="input -> a: doubled by dissolving a nested graph"):
        make_plan(graph({"same": inner, "a": linear(3, 3)}, edges, (3,), (3,)))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("integrator", "magic", "'integrator' is 'magic'"),
        ("dt", -1e-4, "'dt' is -0.0001"),
        ("dt", "fast", "'dt' is 'fast'"),
        ("timesteps", 0, "'timesteps' is 0"),
        ("timesteps", "8", "'timesteps' is '8'"),
        ("timesteps", 10**9, "must be 1 to 1000000"),
        ("classes", [1, 2], "must be a list of names"),
        ("classes", 3, "damaged"),
        ("assumed", 0.5, "list of some of"),
        ("assumed", ["colour"], "list of some of"),
        ("version", VERSION + 1, f"version {VERSION + 1}"),
    ],
)
def test_damaged_semantics_are_reported(field, value, says):
    net = graph({"a": linear(3, 3)}, [("input", "a"), ("a", "output")], (3,), (3,))
    write_semantics(net, Semantics())
    stored = json.loads(net.metadata["snn_deploy"])
    net.metadata["snn_deploy"] = json.dumps({**stored, field: value})
    with pytest.raises(DataError, match=says):
        make_plan(net)


def test_the_given_graph_is_left_alone():
    net = graph({"a": linear(3, 3)}, [("input", "a"), ("a", "output")], (3,), (3,))
    nodes, edges = dict(net.nodes), list(net.edges)
    make_plan(net)
    assert net.nodes == nodes
    assert net.edges == edges
