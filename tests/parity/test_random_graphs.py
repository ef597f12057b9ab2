"""Random graphs through NIR files and all ONNX models: every value and every spike stays what it is.

Their weights lie on a binary grid, so that sums are exact in any order and no tie can excuse a difference.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from support.random_graphs import Case, exact_case

from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import RESET_RULE, NirWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import NirOptions, OnnxOptions
from snn_deploy.graph.plan import NODES, make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

GRAPHS = 200
IN_A_TEST = 20
MODELS = ("step", "scan", "unrolled")


def assert_nothing_changes(case: Case, folder: Path) -> None:
    """Write, read again and run ``case`` in every form; T and B vary beyond those it was written with."""
    reference = Reference(case.graph)
    expected = reference.run(case.x, record="all").records
    NirWriter(NirOptions(allow=(RESET_RULE,))).write(case.graph, folder, Calibration(case.x))
    again = read_nir(folder / "model.nir")
    found = Reference(again).run(case.x, record="all")
    assert torch.equal(found.output, expected[reference.plan.output])
    for name in reference.layers:
        assert torch.equal(found.records[name], expected[name]), name

    files = OnnxWriter(OnnxOptions(models=MODELS)).write(again, folder, Calibration(case.x)).files
    own = tuple(case.x.shape[:2])
    for kind, file in files.items():
        model = OnnxRuntime(folder / file)
        sizes = {own, (own[0], 5)} if kind == "unrolled" else {own, (1, 1), (7, 2)}
        for number, (steps, batch) in enumerate(sizes):
            x = case.x if (steps, batch) == own else case.input(steps, batch, number)
            wanted = reference.run(x, record=True)
            free, recorded = model.run(x), model.run(x, record=True)
            assert torch.equal(free.output, wanted.output), (kind, steps, batch)
            assert torch.equal(recorded.output, wanted.output), (kind, steps, batch)
            for name in reference.layers:
                assert torch.equal(recorded.records[name], wanted.records[name]), (kind, steps, batch, name)


@pytest.mark.parametrize("seed", range(0, GRAPHS, IN_A_TEST))
def test_some_random_graphs(seed: int, tmp_path: Path) -> None:
    assert_nothing_changes(exact_case(seed, scalar_start=True), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, GRAPHS, IN_A_TEST))
def test_all_random_graphs(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + IN_A_TEST):
        (tmp_path / str(seed)).mkdir()
        assert_nothing_changes(exact_case(seed, scalar_start=True), tmp_path / str(seed))


def test_the_graphs_vary() -> None:
    """They hold every node type, loops, sums, and layers that spike; no two are the same."""
    kinds: Counter[str] = Counter()
    sizes, shapes, rates, loops, sums = set(), set(), [], 0, 0
    for seed in range(GRAPHS):
        case = exact_case(seed, scalar_start=True)
        plan = make_plan(case.graph)
        kinds.update({type(node).__name__ for node in plan.graph.nodes.values()})
        sizes.add(tuple(case.x.shape[:2]))
        shapes.add(tuple(case.x.shape[2:]))
        loops += bool(plan.feedback)
        sums += any(len(found) > 1 for found in plan.sources.values())
        if seed % IN_A_TEST == 0:
            trace = Reference(plan).run(case.x, record=True)
            rates += [float(trace.records[name].mean()) for name in Reference(plan).layers]
    assert set(kinds) == {node.__name__ for node in NODES}
    assert min(kinds.values()) >= 5
    assert loops >= 40
    assert sums >= 40
    assert len(sizes) == 9
    assert len(shapes) > 60
    assert 0.05 < sum(rates) / len(rates) < 0.9
