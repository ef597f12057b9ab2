"""Average pools as sum pools."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.graphs import conv, graph, lif
from support.random_graphs import exact_cases

from snn_deploy.graph.passes.for_readers.pooling import Pooling
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.simulate.reference import Reference


def pool(side: int = 2) -> nir.AvgPool2d:
    return nir.AvgPool2d(np.array([side, side]), np.array([side, side]), np.array([0, 0]))


def rewritten(net: nir.NIRGraph) -> nir.NIRGraph:
    return Stage.of(net).then(Pooling("sum")).subject


def sum_pooling(net: nir.NIRGraph) -> tuple[dict[str, nir.NIRNode], dict[str, int], list[str]]:
    """The nodes, the windows of rewritten pools, and the pools that stayed."""
    made = Pooling("sum").apply(net)
    return made.subject.nodes, made.facts["windows"], made.facts["kept"]


@settings(deadline=None, max_examples=60)
@given(case=exact_cases())
def test_windows_of_four_change_nothing_at_all(case):
    before = Reference(case.graph).run(case.x, record=True)
    after = Reference(rewritten(case.graph)).run(case.x, record=True)
    assert torch.equal(before.output, after.output)
    assert all(torch.equal(before.records[name], after.records[name]) for name in before.records)


@pytest.mark.parametrize("side", [2, 3])
def test_behind_flatten_and_into_several_convolutions(side):
    nodes = {
        "pool": pool(side),
        "a": conv(2, 1, 2, seed=1),
        "b": conv(2, 1, 2, seed=2),
        "flat": nir.Flatten({"input": None}, 0, -1),
        "fc": nir.Affine(np.random.default_rng(0).normal(size=(3, 4)), np.ones(3)),
        "fa": nir.Flatten({"input": None}, 0, -1),
        "head": nir.Linear(np.random.default_rng(1).normal(size=(3, 8))),
    }
    edges = [
        ("input", "pool"), ("pool", "a"), ("pool", "b"), ("pool", "flat"), ("flat", "fc"),
        ("a", "fa"), ("b", "fa"), ("fa", "head"), ("head", "output"), ("fc", "output"),
    ]  # fmt: skip
    net = graph(nodes, edges, (1, 2 * side, 2 * side), (3,))
    done, windows, kept = sum_pooling(net)
    assert (windows, kept) == ({"pool": side * side}, [])
    assert isinstance(done["pool"], nir.SumPool2d)
    x = torch.rand(2, 3, 1, 2 * side, 2 * side, dtype=torch.float64)
    before = Reference(net, dtype=torch.float64).run(x).output
    assert torch.allclose(Reference(rewritten(net), dtype=torch.float64).run(x).output, before, rtol=1e-6)
    assert np.array_equal(net.nodes["fc"].weight, nodes["fc"].weight)


def test_into_the_weights_before_when_a_neuron_follows():
    nodes = {"conv": conv(2, 1, 4), "pool": pool(), "neuron": lif((2, 2, 2))}
    nodes["conv"].bias = np.ones(2, np.float32)
    edges = [("input", "conv"), ("conv", "pool"), ("pool", "neuron"), ("neuron", "output")]
    net = graph(nodes, edges, (1, 4, 4), (2, 2, 2))
    done, windows, kept = sum_pooling(net)
    assert (windows, kept) == ({"pool": 4}, [])
    assert np.array_equal(done["conv"].weight, nodes["conv"].weight / 4)
    assert np.array_equal(done["conv"].bias, nodes["conv"].bias / 4)


def test_a_pool_between_neurons_or_into_a_sum_stays():
    nodes = {"pool": pool(), "n": lif((1, 2, 2)), "other": pool(), "fc": conv(1, 1, 2)}
    edges = [
        ("input", "pool"), ("pool", "n"), ("input", "other"), ("other", "fc"), ("n", "fc"), ("fc", "output"),
    ]  # fmt: skip
    net = graph(nodes, edges, (1, 4, 4), (1, 2, 2))
    assert Pooling("sum").apply(net).subject is net
    net.nodes["last"] = pool()
    net.edges[-1:] = [("fc", "last"), ("last", "output")]
    done, windows, kept = sum_pooling(net)
    assert (windows, kept) == ({"last": 4}, ["pool", "other"])
    assert isinstance(done["pool"], nir.AvgPool2d)
