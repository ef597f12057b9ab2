"""Verification of real networks: a tie is found where it was planted, and only there."""

from __future__ import annotations

import nir
import numpy as np
import torch

from snn_deploy.export.parity import Parity
from snn_deploy.export.proof.evidence import Recomputed
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.export.verify import Samples, verify
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.reference import Reference

STEPS, SAMPLES = 6, 5


def network(threshold: float = 1.0, *, loop: bool = False) -> Plan:
    """Input -> Affine -> LIF (tau of two steps, no input decay) -> Output, optionally with a loop."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-2, 4, (4, 3)).astype(np.float32) / 4

    def full(value: float) -> np.ndarray:
        return np.full(4, value)

    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "fc": nir.Affine(weight, np.zeros(4, np.float32)),
        "lif": nir.LIF(full(2e-4), full(2.0), full(0), full(threshold), full(0)),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
    if loop:
        nodes["back"] = nir.Linear(np.eye(4, dtype=np.float32) / 4)
        edges += [("lif", "back"), ("back", "lif")]
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    write_semantics(graph, Semantics(fires_at=">="))
    return make_plan(graph)


def samples() -> Samples:
    x = (torch.rand(STEPS, SAMPLES, 3) < 0.5).float()
    return Samples(x, torch.zeros(SAMPLES, dtype=torch.long))


def check(candidate: Plan, reference: Plan, data: Samples) -> Parity:
    blank = Parity("nir", "reference", "network", exact=True, samples=len(data))
    return verify(
        blank,
        Reference(reference),
        lambda: Reference(candidate),
        data,
        plan=reference,
        max_accuracy_drop=0.0,
    )


def test_the_same_network_is_equal() -> None:
    result = check(network(), network(), samples())
    assert (result.verdict, result.differing, result.ties) == ("equal", 0, 0)
    assert result.compared == STEPS * SAMPLES * 4


def test_a_threshold_one_ulp_higher_is_found_where_sums_are_exact() -> None:
    # weights are quarters, so membranes meet the threshold exactly, and nothing rounds
    result = check(network(float(np.nextafter(np.float32(1), np.float32(2)))), network(), samples())
    assert result.verdict == "failed"
    assert result.ties == 0
    assert result.differing > 0


def test_a_threshold_one_ulp_higher_gives_ties_and_nothing_else_where_sums_round() -> None:
    # three weights of a third meet the threshold of 1 up to rounding
    def thirds(threshold: float) -> Plan:
        plan = network(threshold)
        plan.node("fc").weight = np.full((4, 3), np.float32(1 / 3))
        return plan

    data = Samples(torch.ones(STEPS, SAMPLES, 3))
    result = check(thirds(float(np.nextafter(np.float32(1), np.float32(2)))), thirds(1.0), data)
    assert result.ties > 0
    assert result.differing == 0


def test_a_threshold_that_is_wrong_fails_at_the_layer() -> None:
    result = check(network(1.3), network(), samples())
    assert result.verdict == "failed"
    assert "'lif'" in result.reason


def test_distances_follow_a_hand_written_recursion_through_a_loop() -> None:
    plan, data = network(loop=True), samples()
    spikes = Reference(plan).run(data.x, record=True).records["lif"]
    rounding = Rounding(plan)
    found = rounding.decision(
        "lif", Recomputed(rounding, data.x, {"lif": spikes}, {"lif"}).input("lif"), spikes
    )
    weight = torch.from_numpy(plan.node("fc").weight).double()
    v = torch.zeros(SAMPLES, 4, dtype=torch.float64)
    back = torch.zeros(SAMPLES, 4, dtype=torch.float64)
    for t in range(STEPS):
        v = v + 0.5 * (-v + 2 * (data.x[t].double() @ weight.T + back))
        torch.testing.assert_close(found.membrane.value[t], v, rtol=0, atol=1e-12)
        back = spikes[t].double() / 4
        v = torch.where(spikes[t] > 0, 0.0, v)
