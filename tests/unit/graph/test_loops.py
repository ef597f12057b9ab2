"""Order of execution and the cutting of loops."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.graph.loops import AlgebraicLoopError, components, execution_groups, feedback_edges

pairs = st.integers(0, 9)
graphs = st.sets(st.tuples(pairs, pairs), max_size=25).map(
    lambda edges: [(f"n{a}", f"n{b}") for a, b in sorted(edges)]
)
NAMES = [f"n{i}" for i in range(10)]


def digraph(edges) -> nx.DiGraph:
    found = nx.DiGraph()
    found.add_nodes_from(NAMES)
    found.add_edges_from(edges)
    return found


@settings(max_examples=200)
@given(graphs)
def test_components_are_those_of_networkx(edges):
    ours = {frozenset(c) for c in components(NAMES, edges)}
    assert ours == {frozenset(c) for c in nx.strongly_connected_components(digraph(edges))}


@settings(max_examples=300)
@given(graphs, st.sets(st.sampled_from(NAMES)))
def test_cuts_leave_no_loop_lie_in_loops_and_leave_neurons(edges, neurons):
    whole = digraph(edges)
    try:
        cut = feedback_edges(NAMES, edges, neurons.__contains__)
    except AlgebraicLoopError as error:
        silent = whole.subgraph(set(error.nodes) - neurons)
        assert list(nx.simple_cycles(silent))
        return
    left = whole.copy()
    left.remove_edges_from(cut)
    assert nx.is_directed_acyclic_graph(left)
    for a, b in cut:
        assert a in neurons
        assert nx.has_path(whole, b, a)


@settings(max_examples=200)
@given(graphs)
def test_groups_are_the_loops_in_an_order_that_respects_every_kept_edge(edges):
    cut = feedback_edges(NAMES, edges, lambda name: True)
    groups = execution_groups(NAMES, edges, cut)
    assert {frozenset(g) for g in groups} == {
        frozenset(c) for c in nx.strongly_connected_components(digraph(edges))
    }
    place = {name: position for position, name in enumerate(n for group in groups for n in group)}
    assert sorted(place) == sorted(NAMES)
    assert all(place[a] < place[b] for a, b in edges if (a, b) not in cut)


def test_the_first_neuron_from_outside_sees_the_others_of_the_step_before():
    edges = [("in", "A"), ("A", "w1"), ("w1", "B"), ("B", "w2"), ("w2", "A"), ("B", "out")]
    names = ["in", "A", "w1", "B", "w2", "out"]
    cut = feedback_edges(names, edges, {"A", "B"}.__contains__)
    assert cut == {("B", "w2")}
    assert execution_groups(names, edges, cut) == [("in",), ("w2", "A", "w1", "B"), ("out",)]


def test_a_neuron_that_feeds_itself():
    assert feedback_edges(["a"], [("a", "a")], lambda name: True) == {("a", "a")}


def test_a_loop_of_weights_alone_is_named():
    with pytest.raises(AlgebraicLoopError) as caught:
        feedback_edges(["in", "w", "u"], [("in", "w"), ("w", "u"), ("u", "w")], lambda name: False)
    assert caught.value.nodes == ("w", "u")


def test_long_chains_need_no_recursion():
    names = [f"n{i}" for i in range(9000)]
    edges = list(itertools.pairwise(names))
    assert execution_groups(names, edges, set()) == [(name,) for name in names]
