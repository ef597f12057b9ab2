from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.methods import make, normal, offered, toy_setting
from torch.autograd import gradcheck

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.options import S2wOptions
from snn_deploy.distill.methods.s2w import extreme_steps, s2w_terms
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions

LN3 = math.log(3)
# Probabilities at step 0: (1/2, 1/2), the weakest; at 1: (1/10, 9/10), the strongest; at 2: (1/4, 3/4).
Z = torch.tensor([[[0.0, 0.0]], [[0.0, 2 * LN3]], [[0.0, LN3]]], dtype=torch.float64)
STRONG_TO_WEAK = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)  # at tau 2: (1/4, 3/4), (1/2, 1/2)
WEAK_TO_STRONG = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)

seeds = st.integers(0, 2**31 - 1)
BOTH = S2wOptions(direction="both")


def test_both_directions_by_hand() -> None:
    terms = s2w_terms(Z, S2wOptions(direction="both", alpha=0.5, tau_squared=True))
    assert terms["s2w"].item() == pytest.approx(0.5 * 4 * STRONG_TO_WEAK)
    assert terms["w2s"].item() == pytest.approx(0.5 * 4 * WEAK_TO_STRONG)
    plain = s2w_terms(Z, BOTH)
    assert plain["s2w"].item() == pytest.approx(STRONG_TO_WEAK)
    assert plain["w2s"].item() == pytest.approx(WEAK_TO_STRONG)


@pytest.mark.parametrize("direction", ["s2w", "w2s"])
def test_one_direction_is_one_of_both(direction: str) -> None:
    terms = s2w_terms(Z, S2wOptions.model_validate({"direction": direction}))
    assert list(terms) == [direction]
    assert terms[direction] == s2w_terms(Z, BOTH)[direction]


def test_confidence_is_the_mean_over_the_batch() -> None:
    # Maxima of the steps: sample 0 has 0.9, 0.75, 0.5; sample 1 has 0.5, 0.75, 0.5; means 0.7, 0.75, 0.5.
    z = torch.tensor([[[0.0, 2 * LN3], [0.0, 0.0]], [[0.0, LN3], [LN3, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    strong, weak = extreme_steps(z)
    assert torch.equal(strong, z[1]) and torch.equal(weak, z[2])


def test_of_equally_confident_steps_the_earliest_counts() -> None:
    z = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]], [[0.0, 0.0]], [[2.0, 2.0]]])
    strong, weak = extreme_steps(z)
    assert torch.equal(strong, z[0]) and torch.equal(weak, z[2])


@pytest.mark.parametrize(("direction", "taught"), [("s2w", 0), ("w2s", 1)])
def test_gradients_reach_the_taught_step_only(direction: str, taught: int) -> None:
    z = Z.clone().requires_grad_()
    s2w_terms(z, S2wOptions.model_validate({"direction": direction}))[direction].backward()
    assert z.grad is not None
    assert [bool(step.abs().sum() > 0) for step in z.grad] == [step == taught for step in range(3)]


@pytest.mark.parametrize("direction", ["s2w", "w2s"])
def test_gradients_agree_with_finite_differences(direction: str) -> None:
    strong, weak = Z[1], Z[0]
    guide, taught = (strong, weak) if direction == "s2w" else (weak, strong)

    def loss(step: torch.Tensor) -> torch.Tensor:
        z = torch.stack([step, guide] if direction == "s2w" else [guide, step])
        return s2w_terms(z, S2wOptions.model_validate({"direction": direction}))[direction]

    assert gradcheck(loss, (taught.clone().requires_grad_(),))


@given(seeds, st.integers(2, 6))
def test_order_of_steps_and_constants_do_not_matter(seed: int, steps: int) -> None:
    z = normal(steps, 4, 3, seed=seed, scale=2.0)
    order = torch.randperm(steps, generator=torch.Generator().manual_seed(seed))
    first, second = s2w_terms(z, BOTH), s2w_terms(z[order] + 5.0, BOTH)
    for name in ("s2w", "w2s"):
        assert first[name].item() >= 0
        assert second[name].item() == pytest.approx(first[name].item(), abs=1e-12)


def test_a_spike_against_none_costs_a_constant() -> None:
    # One spike of ten neurons, logit scale 8: at tau 2 its share is e^4 / (e^4 + 9), the silent step's 1/10.
    z = torch.zeros(2, 1, 10)
    z[0, 0, 3] = 8.0
    share = math.exp(4) / (math.exp(4) + 9)
    other = (1 - share) / 9
    floor = share * math.log(10 * share) + 9 * other * math.log(10 * other)
    assert s2w_terms(z, S2wOptions())["s2w"].item() == pytest.approx(floor) == pytest.approx(1.58, abs=0.005)


@given(st.floats(1.0, 1.999))
def test_a_spiking_readout_rests_after_a_spike(current: float) -> None:
    lif = make_neuron(NeuronOptions(kind="lif", tau=2.0, v_threshold=1.0, v_reset=0.0))
    spikes = lif(torch.full((12, 1), current))
    assert not (spikes[1:] * spikes[:-1]).any()
    assert lif(torch.full((3, 1), 2.0)).sum() == 3


@given(seeds)
def test_equal_steps_have_nothing_to_teach(seed: int) -> None:
    z = normal(1, 4, 3, seed=seed).expand(5, 4, 3)
    assert all(term.item() == 0 for term in s2w_terms(z, BOTH).values())


def test_the_method_adds_the_cross_entropy_of_the_mean() -> None:
    setting = toy_setting(teacher=False)
    method = make("s2w", setting, direction="both", ce=0.5)
    batch = offered(method, setting)
    terms = method.losses(batch)
    log_p = batch.student_logits.mean(0).log_softmax(1)
    assert list(terms) == ["ce", "s2w", "w2s"]
    assert terms["ce"].item() == pytest.approx(-0.5 * log_p[range(8), batch.labels].mean().item())
    assert list(make("s2w", setting, ce=0).losses(batch)) == ["s2w"]


def test_one_timestep_is_refused() -> None:
    with pytest.raises(ConfigError, match="compares timesteps, and the recipe has one"):
        make("s2w", toy_setting("timesteps=1", teacher=False))
