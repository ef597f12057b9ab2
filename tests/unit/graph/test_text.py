"""Graphs as text: what is written in full, what is cut short, and that it stays the same."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from support.graphs import graph, lif
from support.random_graphs import exact_cases

from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.text import graph_text, value_text

GRID = np.arange(25, dtype=np.float32).reshape(5, 5)


@pytest.mark.parametrize(
    ("value", "each", "says"),
    [
        (3, None, "3"),
        (0.5, None, "0.5"),
        (np.float32(0.1), None, "0.1"),
        (np.float64(0.1), None, "0.1 f64"),
        (np.array([1, 2]), None, "[1 2]"),
        ((1, 2), None, "[1 2]"),
        (np.ones((2, 3), np.float32), (2, 3), "1 each"),
        (np.ones((2, 3)), (2, 3), "1 each f64"),
        (np.ones(3, np.float32), (2, 3), "[1 1 1]"),
        (np.array([[1.5], [-2]], np.float32), (2, 3), "[[1.5] [-2]]"),
        (GRID, (5, 5), "(5, 5) f32 0..24 #"),
        (GRID.astype(np.int64), None, "(5, 5) i64 0..24 #"),
        ("same", None, "same"),
        (b"valid", None, "valid"),
    ],
)
def test_values(value, each, says):
    found = value_text(value, each)
    assert found.startswith(says) if says.endswith("#") else found == says


def test_one_changed_number_changes_the_digest():
    other = GRID.copy()
    other[2, 2] += 1e-6 * other[2, 2]
    assert value_text(other).startswith("(5, 5) f32 0..24 #")
    assert value_text(other) != value_text(GRID)


def test_a_loop_by_hand():
    nodes = {"n": lif((2,)), "back": nir.Linear(np.array([[0, 1], [1, 0]], np.float32))}
    edges = [("back", "n"), ("input", "n"), ("n", "back"), ("n", "output")]
    net = graph(nodes, edges, (2,), (2,))
    write_semantics(net, Semantics(timesteps=5, classes=("cat", "dog")))
    assert graph_text(net) == (
        "semantics: dt 0.0001 s, euler, fires at >, reset zero, decode mean, 5 steps, 2 classes\n"
        "input: Input (2)\n"
        "back: Linear (2) <- n of the step before\n"
        "    weight [[0 1] [1 0]]\n"
        "n: LIF (2) <- back, input\n"
        "    tau 0.0002 each, r 1 each, v_leak 0 each, v_threshold 1 each\n"
        "    v_reset 0 each\n"
        "output: Output (2) <- n\n"
    )


def test_what_does_not_fit_is_printed_without_shapes():
    net = graph({"fc": nir.Linear(np.ones((2, 3)))}, [("input", "fc"), ("fc", "output")], (2,), (2,))
    assert "fc: Linear of unknown shape <- input" in graph_text(net)


def test_texts_in_metadata_stay_on_their_line_and_short():
    net = graph({"n": lif((2,))}, [("input", "n"), ("n", "output")], (2,), (2,))
    net.nodes["n"].metadata = {"note": "first\nsecond\x1b[31m" + 100 * "x"}
    (line,) = [line for line in graph_text(net).splitlines() if "note" in line]
    assert line.strip().startswith("metadata note first\\nsecond\\x1b[31mxxx")
    assert len(line) < 110


@settings(deadline=None, max_examples=25)
@given(case=exact_cases())
def test_the_order_in_which_nodes_are_listed_does_not_matter(case):
    net = make_plan(case.graph).graph
    backwards = nir.NIRGraph(
        dict(reversed(net.nodes.items())), list(net.edges), metadata=dict(net.metadata), type_check=False
    )
    assert graph_text(backwards) == graph_text(net)


def test_a_file_reads_back_to_the_same_text(tmp_path):
    from support.passes import portable

    net = graph({"n": lif((2,))}, [("input", "n"), ("n", "output")], (2,), (2,))
    write_semantics(net, Semantics())
    made, _ = portable(make_plan(net))
    write_nir(made, tmp_path / "net.nir")
    assert graph_text(read_nir(tmp_path / "net.nir")) == graph_text(made)
