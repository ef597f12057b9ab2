"""Passes are checked around: broken ones are caught, networks that cannot pass are refused by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import pytest
from support.graphs import conv, graph, lif, pool
from support.students import IN_SHAPE, NEURONS, student

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.export.pipelines import PORTABLE
from snn_deploy.graph.passes.for_readers.encoding import PortableEncoding
from snn_deploy.graph.passes.for_readers.pooling import Pooling
from snn_deploy.graph.passes.journal import read_journal, write_journal
from snn_deploy.graph.passes.keeps import GraphPass
from snn_deploy.graph.passes.protocol import BrokenPassError, Made, Pass, Stage
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import RESET_KEY, Semantics, write_semantics


def two_branches() -> nir.NIRGraph:
    """a and b lie side by side between the neurons n and m; m feeds itself through back."""
    nodes = {
        "n": lif((2,)),
        "a": nir.Linear(np.eye(2, dtype=np.float32)),
        "b": nir.Linear(np.eye(2, dtype=np.float32)),
        "m": lif((2,)),
        "back": nir.Linear(np.eye(2, dtype=np.float32)),
    }
    edges = [("input", "n"), ("n", "a"), ("n", "b"), ("a", "m"), ("b", "m"), ("m", "back"), ("back", "m")]
    made = graph(nodes, [*edges, ("m", "output")], (2,), (2,))
    write_semantics(made, Semantics())
    return made


Fault = Callable[[nir.NIRGraph], Any]


@dataclass(frozen=True)
class Broken(GraphPass):
    """A pass with a fault: it spoils a copy of the graph."""

    name = "broken"
    fault: Fault = field(metadata={"journal": False})

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        nodes = {name: copy.copy(node) for name, node in before.nodes.items()}
        after = nir.NIRGraph(nodes, list(before.edges), metadata=dict(before.metadata), type_check=False)
        origins = self.fault(after)
        return Made(after, origins if isinstance(origins, dict) else {})


def rename(net: nir.NIRGraph, old: str, new: str) -> None:
    net.nodes[new] = net.nodes.pop(old)
    net.edges[:] = [(new if a == old else a, new if b == old else b) for a, b in net.edges]


def drop(name: str) -> Fault:
    def fault(net: nir.NIRGraph) -> dict[str, tuple[str, ...]]:
        del net.nodes[name]
        net.edges[:] = [edge for edge in net.edges if name not in edge]
        return {"a": ("a", name)}

    return fault


def set_field(name: str, field: str, value: Any) -> Fault:
    return lambda net: setattr(net.nodes[name], field, value)


def replace_node(name: str, node: nir.NIRNode) -> Fault:
    return lambda net: net.nodes.update({name: node})


ONE = np.ones(2, np.float32)
FAULTS: dict[str, tuple[Fault, str]] = {
    "an edge dropped": (lambda net: net.edges.remove(("b", "m")), "n -> m: 1 ways, before 2"),
    "a recurrent edge dropped": (lambda net: net.edges.remove(("back", "m")), "m -> m: 0 ways, before 1"),
    "an edge added": (lambda net: net.edges.append(("n", "m")), "n -> m: 3 ways, before 2"),
    "an edge moved": (
        lambda net: net.edges.__setitem__(net.edges.index(("a", "m")), ("a", "output")),
        "n -> output: 1 ways, before 0",
    ),
    "a loop without neurons": (lambda net: net.edges.append(("a", "a")), "a loop without neurons"),
    "a threshold changed": (
        set_field("m", "v_threshold", ONE * 1.5),
        "m: v_threshold 1.5, before 1.0",
    ),
    "one threshold of many changed": (
        set_field("m", "v_threshold", np.array([1, 1.0001], np.float32)),
        "m: v_threshold 1.0..1.000",
    ),
    "a reset changed": (set_field("n", "v_reset", -ONE), "n: v_reset -1.0, before 0.0"),
    "a time constant changed": (set_field("n", "tau", 3e-4 * ONE), "n: tau"),
    "another kind of neuron": (replace_node("n", nir.IF(ONE, ONE, 0 * ONE)), "n: is IF, before LIF"),
    "neurons that do not fire": (replace_node("n", nir.LI(2e-4 * ONE, ONE, 0 * ONE)), "n: was LIF, is LI"),
    "neurons replaced by weights": (replace_node("n", nir.Linear(np.eye(2))), "n: was LIF, is gone"),
    "neurons where weights were": (replace_node("a", lif((2,))), "neurons that were not there"),
    "a node renamed away": (lambda net: rename(net, "a", "c"), "c: comes from 'c'"),
    "a node dropped in silence": (lambda net: net.nodes.pop("a") and None, "a: is lost"),
    "a branch dropped": (drop("b"), "n -> m: 1 ways, before 2"),
    "a shape changed": (
        replace_node("a", nir.Linear(np.ones((3, 2), np.float32))),
        "a: gives (3,), before (2,)",
    ),
    "the output declared otherwise": (
        replace_node("output", nir.Output({"output": np.array([3])})),
        "Output: was output (2,), is output (3,)",
    ),
    "a second input": (
        replace_node("n", nir.Input({"input": np.array([2])})),
        "Input: was input (2,), is input (2,), n (2,)",
    ),
    "semantics changed": (
        lambda net: write_semantics(net, Semantics(fires_at=">=")),
        "step, integrator, comparison, reset and decoding stay what they are",
    ),
    "one layer resets otherwise": (
        set_field("n", "metadata", {RESET_KEY: "subtract"}),
        "n: reset subtract, before zero",
    ),
    "semantics lost": (lambda net: net.metadata.clear(), "assumed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_pass_is_caught(fault):
    spoil, says = FAULTS[fault]
    with pytest.raises(BrokenPassError, match="The pass 'broken' broke the network") as caught:
        Stage.of(two_branches()).then(Broken(spoil))
    assert says in str(caught.value)
    assert "not of your network" in str(caught.value)


def test_a_pass_that_only_copies_is_not():
    made = Stage.of(two_branches()).then(Broken(lambda net: None))
    assert made.passes == ({"pass": "broken"},)


def test_a_weight_changed_is_for_the_golden_texts():
    """The relations look at structure; what weights compute is in the texts before and after."""
    from snn_deploy.graph.text import graph_text

    net = two_branches()
    made = Stage.of(net).then(Broken(set_field("a", "weight", 2 * np.eye(2, dtype=np.float32))))
    assert graph_text(made.subject) != graph_text(net)
    assert made.passes == ({"pass": "broken", "made": {"a": ["a"]}},)


@dataclass(frozen=True)
class Rename(GraphPass):
    name = "rename"
    old: str
    new: str

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        after = nir.NIRGraph(
            dict(before.nodes), list(before.edges), metadata=dict(before.metadata), type_check=False
        )
        rename(after, self.old, self.new)
        return Made(after, {self.new: (self.old,)})


@dataclass(frozen=True)
class Refuse(GraphPass):
    name = "refuse"
    node: str
    late: bool = False

    def requires(self, before: nir.NIRGraph):
        return [] if self.late else [Problem(self.node, "is not wanted", "our choice")]

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        raise UnsupportedError("No.", hint="another", problems=[Problem(self.node, "cannot be said")])


def test_the_journal_follows_names_back_to_the_author():
    made = Stage.of(two_branches()).through(Rename("a", "x"), Rename("x", "y"))
    assert made.authors["y"] == ("a",)
    assert made.passes == (
        {"pass": "rename", "options": {"old": "a", "new": "x"}, "made": {"x": ["a"]}},
        {"pass": "rename", "options": {"old": "x", "new": "y"}, "made": {"y": ["a"]}},
    )


@pytest.mark.parametrize(("late", "what"), [(False, "is not wanted"), (True, "cannot be said")])
def test_refusals_name_nodes_as_their_author_called_them(late, what):
    with pytest.raises(UnsupportedError) as caught:
        Stage.of(two_branches()).through(Rename("a", "x"), Refuse("x", late))
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == ("a", what)


def test_what_a_pass_merged_comes_from_all_of_it():
    nodes = {"conv": conv(2, 1, 4), "pool": pool(nir.AvgPool2d), "n": lif((2, 2, 2))}
    edges = [("input", "conv"), ("conv", "pool"), ("pool", "n"), ("n", "output")]
    made = Stage.of(graph(nodes, edges, (1, 4, 4), (2, 2, 2))).then(Pooling("sum"))
    assert made.authors["conv"] == ("conv", "pool")
    assert made.passes == (
        {
            "pass": "sum_pooling",
            "windows": {"pool": 9},
            "kept": [],
            "options": {"kind": "sum"},
            "made": {"conv": ["conv", "pool"], "pool": ["pool"]},
        },
    )


def test_a_graph_carries_its_journal_but_no_file_does():
    net = two_branches()
    made = Stage.of(net).then(Rename("a", "x"))
    write_journal(made.subject, made.journal)
    again = Stage.of(made.subject)
    assert again.journal == made.journal
    assert again.authors == made.authors
    encoded = again.then(PortableEncoding())
    assert encoded.passes[0] == made.passes[0]
    assert read_journal(encoded.subject) == ()


def test_what_a_traced_module_folds_is_remembered():
    net = from_torch(student(NEURONS["LIF"], norm=True), IN_SHAPE, semantics=Semantics())
    made = Stage.of(net).through(*PORTABLE)
    assert made.authors["block1.conv"] == ("block1.conv", "block1.norm")
    assert made.passes[0]["pass"] == "fold_batchnorm"
    assert made.passes[0]["made"]["block2.conv"] == ["block2.conv", "block2.norm"]


def test_options_are_the_fields_of_a_frozen_dataclass():
    assert Pooling("sum") == Pooling("sum")
    assert issubclass(Pooling, Pass)
    with pytest.raises(AttributeError):
        Pooling("sum").kind = "average"  # type: ignore[misc]
