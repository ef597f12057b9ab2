"""Single faults planted in exported files: what changes a spike or an output is caught, what is right
passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.campaign import Outcome, campaign, intended, network, proved, written_file

from snn_deploy.export.verify import Samples
from snn_deploy.graph.plan import make_plan


def plant(seeds: range, most: int, folder: Path) -> Outcome:
    outcome = Outcome()
    for seed in seeds:
        campaign(seed, folder, outcome, formats=("nir", "onnx"), most=most)
    print(outcome.planted, "planted,", outcome.caught, "caught;", outcome.harmless, outcome.undecided)
    return outcome


def test_no_fault_escapes(tmp_path: Path) -> None:
    outcome = plant(range(2, 5), 8, tmp_path)
    assert outcome.escaped == []
    assert outcome.planted == 48
    assert outcome.caught > 40


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_none_of_a_thousand_faults_escapes(tmp_path: Path) -> None:
    outcome = plant(range(20), 30, tmp_path)
    assert outcome.escaped == []
    assert outcome.planted >= 1000
    assert outcome.caught > 0.95 * outcome.planted


def passes(seed: int, folder: Path) -> None:
    graph, x = network(seed, rounding=seed % 3 != 0)
    plan = make_plan(graph)
    for kind in ("nir", "onnx", "onnx step"):
        held = intended(plan, kind.split()[0], folder)
        result = proved(plan, held, kind, Samples(x), written_file(held.graph, kind, folder, x))
        assert result.verdict in {"equal", "ties only", "not shown"}, (seed, kind, result.reason)
        assert result.probes is not None
        assert (result.probes.differing, result.probes.nodes) == (0, len(plan.order) - 1)
        assert result.probes.weights_held == result.probes.weights


@pytest.mark.parametrize("seed", range(100, 104))
def test_right_files_pass(seed: int, tmp_path: Path) -> None:
    passes(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_right_files_pass(tmp_path: Path) -> None:
    for seed in range(200, 267):
        passes(seed, tmp_path)
