"""Damaged exports of others: cut-off nodes, batch axes, old and empty roots."""

from __future__ import annotations

import h5py
import nir
import numpy as np
import pytest
import torch
from support.graphs import lif

from snn_deploy.cli.main import exit_code
from snn_deploy.core.errors import DataError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference

EYE = 2 * np.eye(3, dtype=np.float32)
EXTRA = {
    "a neuron that feeds itself": ({"1": lif((3,))}, [("1", "1")], {"1": "no input reaches"}),
    "a cycle of its own": (
        {"1": lif((3,)), "2": nir.Linear(EYE)},
        [("1", "2"), ("2", "1")],
        {"1": "no input reaches", "2": "no input reaches"},
    ),
    "a dead end": ({"1": lif((3,))}, [("0", "1")], {"1": "no output is reached"}),
    "a dead cycle": (
        {"1": lif((3,)), "2": nir.Linear(EYE)},
        [("0", "1"), ("1", "2"), ("2", "1")],
        {"1": "no output is reached", "2": "no output is reached"},
    ),
    "a cycle that flows in": (
        {"1": lif((3,)), "2": nir.Linear(EYE)},
        [("1", "2"), ("2", "1"), ("1", "output")],
        {"1": "no input reaches", "2": "no input reaches"},
    ),
}


def file(path, nodes, edges, source=(3,), target=(3,)):
    graph = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array(source)}),
            **nodes,
            "output": nir.Output({"output": np.array(target)}),
        },
        edges,
        type_check=False,
    )
    nir.write(path, graph)
    return path


@pytest.mark.parametrize("case", EXTRA)
def test_nodes_that_are_cut_off_are_refused_by_name_or_left_out(case, tmp_path):
    nodes, edges, said = EXTRA[case]
    base = [("input", "0"), ("0", "output")]
    path = file(tmp_path / "n.nir", {"0": nir.Linear(EYE), **nodes}, [*base, *edges])
    with pytest.raises(DataError) as caught:
        read_plan(path)
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert found.keys() == said.keys()
    assert all(text in found[name] for name, text in said.items())
    assert all("--allow unreachable" in problem.try_instead for problem in caught.value.problems)
    plan, notes = read_plan(path, Reading(leave_out=True))
    assert set(plan.order) == {"input", "0", "output"}
    assert all(any(f"Left out, as allowed: '{name}'" in note for note in notes) for name in said)
    x = torch.rand(2, 1, 3)
    assert torch.equal(Reference(plan).run(x).output, 2 * x)


def test_the_commands_take_the_rule(tmp_path, capsys):
    nodes, edges, _ = EXTRA["a neuron that feeds itself"]
    base = [("input", "0"), ("0", "output")]
    path = str(file(tmp_path / "n.nir", {"0": nir.Linear(EYE), **nodes}, [*base, *edges]))
    np.savez(tmp_path / "x.npz", x=np.ones((2, 1, 3), np.float32))
    data = ["--data", str(tmp_path / "x.npz")]
    assert exit_code(["simulate", path, *data]) == 7
    assert "--allow unreachable" in " ".join(capsys.readouterr().err.split())
    assert exit_code(["simulate", path, *data, "--allow", "unreachable"]) == 0
    assert exit_code(["simulate", path, *data, "--allow", "unreachible"]) == 2
    export = ["export", path, *data, "--to", "nir", "--out", str(tmp_path / "b"), "--allow", "unreachable"]
    assert exit_code(export) == 0
    assert "Left out, as allowed: '1'" in (tmp_path / "b" / "manifest.json").read_text()


def batched(count, shape):
    return lif((count, *shape))


def test_batch_axes_in_neurons_and_output_are_taken_away(tmp_path):
    path = file(
        tmp_path / "n.nir",
        {"0": nir.Linear(EYE), "1": batched(4, (3,))},
        [("input", "0"), ("0", "1"), ("1", "output")],
        source=(4, 3),
        target=(1, 4, 3),
    )
    plan, notes = read_plan(path)
    assert plan.shapes[plan.output] == plan.shapes["1"] == (3,)
    assert np.shape(plan.node("1").tau) == (3,)
    assert any("Input and Output and neurons (input, output, 1) count a batch" in note for note in notes)


def test_neurons_that_differ_within_the_batch_are_no_batch(tmp_path):
    node = batched(2, (3,))
    node.tau[1] *= 2
    path = file(
        tmp_path / "n.nir", {"0": nir.Linear(EYE), "1": node}, [("input", "0"), ("0", "1"), ("1", "output")]
    )
    with pytest.raises(DataError, match=r"'tau' has shape \(2, 3\)"):
        read_plan(path)


def test_other_problems_are_named_without_those_of_the_batch(tmp_path):
    node = lif((3,))
    node.tau[:] = -1.0
    path = file(
        tmp_path / "n.nir",
        {"0": nir.Linear(EYE), "1": node},
        [("input", "0"), ("0", "1"), ("1", "output")],
        source=(1, 3),
    )
    with pytest.raises(DataError) as caught:
        read_plan(path)
    assert [problem.where for problem in caught.value.problems] == ["1"]
    assert "'tau' must be positive" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({}, "has no 'node', where NIR 1.0 keeps a graph; it holds nothing"),
        (
            {"nodes": 1, "edges": 1},
            "it holds edges, nodes; rule: write it again",
        ),
        ({"node/nodes": 1, "node/edges": 1}, "says no type, as in files of NIR before 1.0"),
    ],
)
def test_old_roots_are_explained(content, text, tmp_path):
    with h5py.File(tmp_path / "n.nir", "w") as old:
        for name, value in content.items():
            old[name] = value
    with pytest.raises(DataError) as caught:
        read_plan(tmp_path / "n.nir")
    assert text in str(caught.value)


def test_a_graph_without_nodes_is_said_to_be_one(tmp_path):
    nir.write(tmp_path / "n.nir", nir.NIRGraph({}, [], type_check=False))
    with pytest.raises(DataError, match="holds a graph without nodes"):
        read_plan(tmp_path / "n.nir")
