from __future__ import annotations

import itertools

import nir
import numpy as np
import pytest
from support.graphs import graph, lif

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.grains import Grain, input_grains
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid
from snn_deploy.graph.plan import make_plan

GRID = InputGrid(0.25, (-3, 15), 0.0)


def conv(inputs: int) -> nir.NIRNode:
    return nir.Conv2d(None, np.ones((2, inputs, 1, 1)), 1, 0, 1, 1, np.zeros(2))


def average(side: int) -> nir.NIRNode:
    return nir.AvgPool2d(np.array([side, side]), np.array([side, side]), np.zeros(2, int))


def test_units_follow_pooling_and_sums() -> None:
    nodes = {
        "first": conv(1),
        "n1": lif((2, 4, 4)),
        "pool": average(2),
        "second": conv(2),
        "n2": lif((2, 2, 2)),
        "flat": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        "last": nir.Linear(np.ones((3, 8))),
    }
    edges = list(itertools.pairwise(["input", *nodes, "output"]))
    plan = make_plan(graph(nodes, edges, (1, 4, 4), (3,)))
    assert input_grains(plan, GRID) == {
        "first": Grain(0.25, -3, 15),
        "second": Grain(0.25, 0, 4),
        "last": Grain(1.0, 0, 1),
    }


def residual(shortcut: nir.NIRNode) -> nir.NIRGraph:
    nodes = {
        "input": nir.Input({"input": np.array([1, 4, 4])}),
        "first": conv(1),
        "n1": lif((2, 4, 4)),
        "branch": average(2),
        "inner": conv(2),
        "n2": lif((2, 2, 2)),
        "shortcut": shortcut,
        "joined": conv(2),
        "output": nir.Output({"output": np.array([2, 2, 2])}),
    }
    edges = [
        ("input", "first"), ("first", "n1"), ("n1", "branch"), ("branch", "inner"), ("inner", "n2"),
        ("n2", "joined"), ("n1", "shortcut"), ("shortcut", "joined"), ("joined", "output"),
    ]  # fmt: skip
    return nir.NIRGraph(nodes, edges, type_check=False)


def test_spikes_that_add_count_further() -> None:
    pooled = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.zeros(2, int))
    assert input_grains(make_plan(residual(pooled)), GRID)["joined"] == Grain(1.0, 0, 5)


def test_spikes_and_quarters_do_not_add() -> None:
    with pytest.raises(UnsupportedError) as caught:
        input_grains(make_plan(residual(average(2))), GRID)
    (problem,) = caught.value.problems
    assert problem.where == "joined" and "pooled differently" in problem.what
