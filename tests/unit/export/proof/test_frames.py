"""Frames of synthetic inputs."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from snn_deploy.export.proof import frames
from snn_deploy.export.proof.probes import Probes
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import Plan

SIDE = 4


def sum_of(branches: int) -> Plan:
    """Neurons of ``branches`` convolutions, all summed into one more, as blocks with additions sum theirs."""
    rng = np.random.default_rng(0)

    def conv(size: int) -> nir.Conv2d:
        weight = rng.standard_normal((1, 1, size, size)).astype(np.float32)
        return nir.Conv2d((SIDE, SIDE), weight, 1, size // 2, 1, 1, np.zeros(1, np.float32))

    def neurons() -> nir.IF:
        one = np.ones((1, SIDE, SIDE), np.float32)
        return nir.IF(r=one, v_threshold=one, v_reset=0 * one)

    nodes = {"input": nir.Input({"input": np.array([1, SIDE, SIDE])})}
    edges = []
    for branch in range(branches):
        nodes |= {f"conv{branch}": conv(1), f"if{branch}": neurons()}
        edges += [("input", f"conv{branch}"), (f"conv{branch}", f"if{branch}"), (f"if{branch}", "sum")]
    nodes |= {"sum": conv(3), "out": neurons(), "output": nir.Output({"output": np.array([1, SIDE, SIDE])})}
    edges += [("sum", "out"), ("out", "output")]
    return make_plan(nir.NIRGraph(nodes, edges, type_check=False))


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("branches", [1, 5, 9, 20])
def test_each_source_of_a_sum_gives_impulses(
    monkeypatch: pytest.MonkeyPatch, branches: int, held: bool
) -> None:
    """However few frames are affordable."""
    monkeypatch.setattr(frames, "MAC_LIMIT", 1)
    monkeypatch.setattr(frames, "HELD_MAC_LIMIT", 1)
    plan = sum_of(branches)
    fed = Probes(plan, Rounding(plan), held=frozenset({"sum"} if held else ())).frames("sum")
    for branch in range(branches):
        sent = fed.sent(f"if{branch}").transpose(0, 1).flatten(0, 1)
        assert bool(sent[1 + frames.DENSE :].any()), branch
