"""Every node kind and every way of joining nodes, from a file, against brute force."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from oracles.nir_loops import simulate
from support.node_cases import DT, NodeCase, node_cases

from snn_deploy.graph.plan import NODES
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.simulate.reference import Reference

CASES = {case.name: case for case in node_cases()}


def read(case: NodeCase, tmp_path) -> nir.NIRGraph:
    """The case as NIR's own library wrote it, read by us."""
    nir.write(tmp_path / "model.nir", case.graph)
    return read_nir(tmp_path / "model.nir")


@pytest.mark.parametrize("name", CASES)
def test_equals_brute_force(name, tmp_path):
    case = CASES[name]
    graph = read(case, tmp_path)
    reset = read_semantics(graph).reset
    expected = simulate(case.graph, case.x.numpy(), dt=DT, reset=reset, feedback=case.feedback)
    assert 0.02 < np.abs(expected).mean() < 5
    single = Reference(graph).run(case.x).output.numpy()
    double = Reference(graph, dtype=torch.float64).run(case.x).output.numpy()
    np.testing.assert_allclose(double, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-5)


def test_every_kind_of_node_is_there():
    found = set()
    for case in CASES.values():
        for node in case.graph.nodes.values():
            inner = node.nodes.values() if isinstance(node, nir.NIRGraph) else [node]
            found |= {type(n) for n in inner}
    assert found == set(NODES)
