"""Bounds on rounding against brute force: other orders of sums and other forms of the equations."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.graphs import chain, conv, pool
from support.node_cases import node_cases
from support.random_graphs import exact_cases

from snn_deploy.export.proof.evidence import Recomputed
from snn_deploy.export.proof.membranes import NeuronStep
from snn_deploy.export.proof.nodes import probe
from snn_deploy.export.proof.rounded import add, exact, lowest_bit
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import read_semantics, write_semantics
from snn_deploy.graph.types import SPIKING_NODES
from snn_deploy.simulate.reference import Reference

F = np.float32


def shuffled_sum(terms: np.ndarray, rng: np.random.Generator) -> np.float32:
    """Sum in float32 in a random order, of random subtotals."""
    parts = [F(term) for term in rng.permutation(terms)]
    while len(parts) > 1:
        at = rng.integers(len(parts) - 1)
        parts[at : at + 2] = [F(parts[at] + parts[at + 1])]
    return parts[0]


@pytest.mark.parametrize("spikes", [True, False])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_no_order_of_a_sum_leaves_the_bound(spikes: bool, scale: float) -> None:
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=(4, 30)) * scale).astype(F)
    bias = (rng.normal(size=4) * scale).astype(F)
    x = (rng.random(30) < 0.6).astype(F) if spikes else rng.normal(size=30).astype(F)
    plan = make_plan(chain(nir.Affine(weight, bias), source=(30,), target=(4,)))
    found = Rounding(plan).output("n0", exact(torch.from_numpy(x)[None, None]))
    value, error = found.value[0, 0].numpy(), found.error[0, 0].numpy()
    worst = np.zeros(4)
    for row in range(4):
        terms = np.append(weight[row] * x, bias[row])
        for _ in range(300):
            worst[row] = max(worst[row], abs(float(shuffled_sum(terms, rng)) - value[row]))
    assert (worst <= error).all()
    assert (worst > 0.01 * error).all(), "the bound is not idle"
    np.testing.assert_allclose(value, weight.astype(float) @ x + bias, rtol=1e-12)


def test_integers_and_single_spikes_do_not_round() -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(-7, 8, (4, 30)).astype(F) / 8
    plan = make_plan(chain(nir.Linear(weight), source=(30,), target=(4,)))
    x = torch.from_numpy(rng.integers(0, 3, (2, 3, 30)))
    assert not Rounding(plan).output("n0", exact(x)).error.any()
    plan = make_plan(chain(nir.Linear(rng.normal(size=(4, 30)).astype(F)), source=(30,), target=(4,)))
    assert not Rounding(plan).output("n0", exact(torch.eye(30)[None])).error.any()
    assert Rounding(plan).output("n0", exact(torch.ones(1, 1, 30))).error.all()


def test_the_lowest_bit_is_that_of_the_binary_fraction() -> None:
    found = lowest_bit(torch.tensor([0.0, 1.0, 0.75, -12.0, 2.0**-140, 1 / 3]))
    assert found.tolist() == [np.inf, 1.0, 0.25, 4.0, 2.0**-140, 2.0**-25]


def test_sums_of_sources_are_bounded_and_exact_where_they_can_be() -> None:
    big, small = exact(torch.full((1, 1, 2), 2.0**24)), exact(torch.tensor([[[1.0, 2.0]]]))
    assert add([big, small]).error.tolist() == [[[pytest.approx(2.0**-24 * (2**24 + 1)), 0.0]]]
    assert add([small]) is small


@pytest.mark.parametrize("case", node_cases(), ids=lambda case: case.name)
def test_the_reference_in_float32_stays_within_the_bounds(case) -> None:
    plan = make_plan(case.graph)
    trace = Reference(plan).run(case.x, record="all")
    spikes = {name: trace.records[name] for name in plan.of_type(*SPIKING_NODES)}
    others = [name for name in plan.order if name not in spikes]
    rounding = Rounding(plan)
    found = Recomputed(rounding, case.x, spikes, plan.order)
    for name in others:
        bounded = found.value(name)
        off = (trace.records[name].double() - bounded.value).abs()
        assert (off <= bounded.error).all(), name
    for name, own in spikes.items():
        decision = rounding.decision(name, found.input(name), own)
        assert ((own == decision.fires()) | decision.undecided()).all(), name
        assert decision.undecided().float().mean() < 0.01


@settings(deadline=None, max_examples=30)
@given(case=exact_cases(scalar_start=False))
def test_graphs_with_exact_arithmetic_leave_nothing_undecided(case) -> None:
    plan = make_plan(case.graph)
    trace = Reference(plan).run(case.x, record="all")
    spikes = {name: trace.records[name] for name in plan.of_type(*SPIKING_NODES)}
    rounding = Rounding(plan)
    found = Recomputed(rounding, case.x, spikes, plan.order)
    for name, own in spikes.items():
        decision = rounding.decision(name, found.input(name), own)
        assert not decision.membrane.error.any(), name
        assert torch.equal(decision.fires(), own.double()), name


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("kind", ["IF", "LIF", "LIF, another r", "LIF, v_leak elsewhere", "CubaLIF"])
def test_other_forms_of_a_neuron_stay_within_the_bounds(kind: str, reset: str) -> None:
    """h = (1 - k) v + k r x + k v_leak, all in float32, for 60 steps of random currents."""
    case = next(case for case in node_cases() if case.name == kind)
    plan = make_plan(case.graph)
    neuron = Rounding(plan).neuron("n")
    fire = replace(neuron.fire, reset=reset)  # type: ignore[type-var]
    rng = np.random.default_rng(2)
    x = rng.normal(0.5, 1.0, (60, 50, 6)).astype(F)
    state = NeuronStep(replace(neuron, fire=fire), torch.zeros(50, 6).double())
    v = np.broadcast_to(neuron.start, (50, 6)).astype(F)
    i = np.zeros_like(v)
    for t in range(60):
        h64, error = state.charge(torch.from_numpy(x[t]).double(), torch.zeros(50, 6).double())
        v, i = other_form(neuron.charge, x[t], v, i)
        off = np.abs(v - h64.numpy())
        assert (off <= error.numpy())[error.numpy() > 0].all(), t  # 0: exact in our order of operations
        spikes = h64.numpy() >= fire.threshold
        state.reset(torch.from_numpy(spikes).double())
        drop = (fire.threshold - fire.v_reset).astype(F)
        after = F(v - drop) if reset == "subtract" else np.broadcast_to(fire.v_reset.astype(F), v.shape)
        v = np.where(spikes, after, v)


def other_form(charge, x: np.ndarray, v: np.ndarray, i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def f(value, default: float) -> np.ndarray:
        return np.asarray(default if value is None else value, F)

    if hasattr(charge, "i_decay"):
        i = f(charge.i_gain, 1) * x + i * f(charge.i_decay, 0)
        return f(charge.v_offset, 0) + (f(charge.v_gain, 1) * i + f(charge.v_decay, 0) * v), i
    if charge.leak is None:
        return F(1) * v + f(charge.gain, 1) * x, i
    rate = f(charge.leak.value, 0)
    k = F(1) / rate if charge.leak.divides else rate
    drive = k * (f(charge.gain, 1) * x) if charge.input_decays else f(charge.gain, 1) * x
    return (F(1) - k) * v + drive + k * f(charge.v_leak, 0), i


def test_pools_and_convolutions_are_bounded() -> None:
    plan = make_plan(chain(conv(3, 2, 8), pool(nir.AvgPool2d, 1), target=(3, 8, 8)))
    x = torch.randn(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    trace = Reference(plan).run(x, record="all")
    found = Recomputed(Rounding(plan), x, {}, plan.order)
    for name in ("n0", "n1"):
        off = (trace.records[name].double() - found.value(name).value).abs()
        assert (off <= found.value(name).error).all()
        assert off.max() > 0


RESETS = ["zero", "subtract", "none", "zero-next", "subtract-next", "subtract-raised"]
RULES = [{"reset": reset} for reset in RESETS] + [
    {"reset": "subtract", "spikes": "many"},
    {"reset": "zero", "spikes": "many"},
    {"reset": "subtract", "spikes": "rounded", "levels": 3},
    {"reset": "subtract", "v_min": -0.3},
    {"reset": "zero-next", "v_min": -0.3},
]


@pytest.mark.parametrize("fires_at", [">=", ">"])
@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("kind", ["IF", "LIF", "LIF, another r", "CubaLIF"])
def test_every_spike_rule_follows_from_its_membrane(kind: str, rules: dict, fires_at: str) -> None:
    case = next(case for case in node_cases() if case.name == kind)
    semantics = read_semantics(case.graph).stating(fires_at=fires_at, **rules)
    write_semantics(case.graph, semantics)
    plan = make_plan(case.graph)
    x = 3 * torch.randn(40, 30, 5, generator=torch.Generator().manual_seed(3))
    own = Reference(plan).run(x, record=True).records["n"]
    rounding = Rounding(plan)
    decision = rounding.decision("n", Recomputed(rounding, x, {"n": own}, {"n"}).input("n"), own)
    undecided = decision.undecided()
    assert ((own == decision.fires()) | undecided).all()
    assert undecided.float().mean() < 0.01
    assert own.max() > 1 if "spikes" in rules else own.max() == 1
    for result in probe(plan, [Reference(plan)]):
        assert (result.differing, result.where) == (0, ())
        assert result.undecided < 0.1 * result.compared
