"""What a reader of NIR files would drop, change or run in another order is refused, with place and rule."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from support.graphs import chain, conv, graph, lif, pool, replace_fields
from support.passes import flavour

from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, write_semantics

NARROW = nir.Conv2d((8, 8), np.ones((2, 2, 2, 3), np.float32), 1, 1, 1, 1, np.zeros(2, np.float32))
FIRE = nir.IF(np.full((2, 8, 8), 1e4), np.ones((2, 8, 8)))
UNEVEN = np.linspace(1, 2, 128).reshape(2, 8, 8)


@pytest.mark.parametrize(
    ("reader", "net", "says"),
    [
        ("norse", chain(lif((2, 8, 8)), pool(nir.AvgPool2d), target=(2, 6, 6)), "n1: AvgPool2d"),
        ("norse", chain(conv(2, 2, 8), lif((2, 8, 8)), pool(nir.SumPool2d, 1), conv(2, 2, 8)), "padding"),
        ("spikingjelly", chain(lif((2, 8, 8)), pool(nir.SumPool2d), target=(2, 6, 6)), "average pooling"),
        ("snntorch", chain(nir.LI(np.full((2, 8, 8), 2e-4), np.ones((2, 8, 8)), np.zeros((2, 8, 8)))), "LI"),
        ("snntorch", chain(nir.Scale(np.ones((2, 8, 8)))), "Scale"),
        ("spikingjelly", chain(nir.Threshold(np.ones((2, 8, 8)))), "Threshold"),
        ("norse", chain(nir.Delay(np.full((2, 8, 8), 1e-4))), "Delay"),
        ("norse", chain(NARROW, target=(2, 9, 8)), "a kernel of 2 x 3"),
        ("snntorch", chain(lif((2, 8, 8)), conv(2, 2, 8), more=[("n0", "output")]), "sum of n1, n0"),
        ("spyx", chain(FIRE, conv(2, 2, 8), FIRE, more=[("n0", "n2")]), "no edges"),
        ("snntorch", chain(conv(2, 2, 8), lif((2, 8, 8)), more=[("n1", "n0")]), "recurrent edge"),
        ("norse", chain(*2 * [conv(2, 2, 8), lif((2, 8, 8))], more=[("n3", "n0")]), "2 neurons"),
        ("spinnaker2", chain(conv(2, 2, 8), conv(2, 2, 8), lif((2, 8, 8))), "two weight layers"),
        ("spyx", chain(conv(2, 2, 8), lif((2, 8, 8))), "behind dense weights only"),
    ],
)  # fmt: skip
def test_what_a_reader_would_drop_or_change_is_refused(reader, net, says):
    write_semantics(net, Semantics(reset=CONSUMERS[reader].resets[0]))
    made = flavour(make_plan(net), reader)
    assert made.graph is None
    assert any(says in str(problem) for problem in made.problems), made.problems


@pytest.mark.parametrize(
    ("reader", "fields", "says"),
    [
        ("norse", {"v_leak": np.full((2, 8, 8), 0.5)}, "rests 0.5 away"),
        ("spikingjelly", {"v_leak": np.full((2, 8, 8), 0.5)}, "rests 0.5 away"),
        ("snntorch", {"v_threshold": UNEVEN}, "one value per layer"),
        ("sinabs", {"v_threshold": UNEVEN}, "one value per layer"),
        ("norse", {"r": np.full((2, 8, 8), -1.0)}, "gain of -0.5"),
    ],
)
def test_neurons_that_a_reader_cannot_be(reader, fields, says):
    made = flavour(make_plan(chain(conv(2, 2, 8), replace_fields(lif((2, 8, 8)), **fields))), reader)
    assert made.graph is None
    assert says in str(made.problems[0])


def test_names_that_readers_take_for_one():
    nodes = {"a.b": lif((2,)), "a_b": lif((2,))}
    net = graph(nodes, [("input", "a.b"), ("a.b", "a_b"), ("a_b", "output")], (2,), (2,))
    (problem,) = flavour(make_plan(net), "norse").problems
    assert "'.' and '_'" in problem.what


def test_spyx_finds_the_input_by_its_name():
    nodes = {
        "x": nir.Input({"input": np.array([2])}),
        "input": lif((2,)),
        "y": nir.Output({"output": np.array([2])}),
    }
    net = nir.NIRGraph(nodes, [("x", "input"), ("input", "y")], metadata={}, type_check=False)
    write_semantics(net, Semantics(reset="subtract"))
    (problem,) = flavour(make_plan(net), "spyx").problems
    assert (problem.where, problem.what) == ("input", "LIF")
    assert flavour(make_plan(net), "sinabs").problems == []


def test_a_recurrent_bias_is_refused_and_without_it_the_loop_is_written():
    rng = np.random.default_rng(0)
    for bias, refused in ((np.ones(4, np.float32), True), (np.zeros(4, np.float32), False)):
        back = nir.Affine(rng.normal(size=(4, 4)).astype(np.float32), bias)
        nodes = {"in": nir.Linear(rng.normal(size=(4, 3)).astype(np.float32)), "n": lif((4,)), "back": back}
        edges = [("input", "in"), ("in", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
        made = flavour(make_plan(graph(nodes, edges, (3,), (4,))), "spikingjelly")
        assert (made.graph is None) == refused
        assert not refused or "bias on recurrent weights" in made.problems[0].what


@pytest.mark.parametrize("reader", ["norse", "sinabs"])
def test_what_a_depth_first_walk_would_run_too_early_is_refused(reader):
    """A shortcut beside one layer is walked after it; of two layers side by side, one comes too late."""
    rng = np.random.default_rng(0)
    layers = {name: nir.Linear(rng.normal(size=(3, 3)).astype(np.float32)) for name in ("a", "b", "end")}
    nodes = {"n": lif((3,)), **layers, "m": lif((3,))}
    shortcut = [("input", "n"), ("n", "end"), ("n", "a"), ("a", "end"), ("n", "b"), ("b", "m")]
    nodes_of_shortcut = {name: node for name, node in nodes.items() if name != "b"}
    one = graph(nodes_of_shortcut, [*shortcut[:4], ("end", "m"), ("m", "output")], (3,), (3,))
    made = flavour(make_plan(one), reader)
    assert made.problems == []
    assert [b for a, b in made.graph.edges if a == "n"] == ["a", "end"]
    both = graph(nodes, [*shortcut[:1], *shortcut[2:], ("end", "m"), ("m", "output")], (3,), (3,))
    refused = flavour(make_plan(both), reader).problems
    assert any((p.where, p.what) == ("m", "a sum of parallel branches") for p in refused)
