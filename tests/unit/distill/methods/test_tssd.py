from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from spikingjelly.activation_based import functional
from support.methods import make, normal, offered, toy_setting
from support.toy import toy_data
from torch import nn
from torch.autograd import gradcheck

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.options import TssdOptions
from snn_deploy.distill.methods.tssd import WeakClassifier, distance, tssd_terms

Y = torch.tensor([0])
SHORT = torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]]], dtype=torch.float64)  # mean (1, 0)
LONG = torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]], [[4.0, 2.0]], [[6.0, 2.0]]], dtype=torch.float64)  # (3, 1)
WEAK = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]], dtype=torch.float64)  # mean (1/2, 0)

seeds = st.integers(0, 2**31 - 1)


def terms_of(**options: Any) -> dict[str, float]:
    terms = tssd_terms(SHORT, LONG, WEAK, Y, TssdOptions.model_validate(options))
    return {name: term.item() for name, term in terms.items()}


def test_all_terms_by_hand() -> None:
    assert terms_of(ce_weak=1.0, distance="mse") == pytest.approx(
        {
            "ce": math.log(1 + math.exp(-1)),
            "ce_long": math.log(1 + math.exp(-2)),
            "tsd": 2.5,  # ((3 - 1)^2 + (1 - 0)^2) / 2
            "ce_weak": math.log(1 + math.exp(-0.5)),
            "ssd": 1.25,  # ((0 - 1)^2 + 0 + (2 - 0)^2 + 0) / 4
        }
    )


def test_kl_by_hand() -> None:
    # At tau 2, the default, the guide is (1/4, 3/4) and the taught side (1/2, 1/2).
    guide, taught = torch.tensor([[0.0, 2 * math.log(3)]]), torch.tensor([[7.0, 7.0]])
    expected = 4 * (0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5))
    assert distance(guide, taught, "kl", 2.0).item() == pytest.approx(expected)


def test_all_distances_by_hand_at_the_defaults() -> None:
    # tau 2: mean logits (1, 0) and (3, 1), steps (0, 0), (2, 0) and weak (1, 0), (0, 0) are halved.
    def kl(a: float, b: float) -> float:
        p, q = 1 / (1 + math.exp(-a)), 1 / (1 + math.exp(-b))
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    terms = terms_of()
    assert terms["tsd"] == pytest.approx(4 * kl(1.0, 0.5))
    assert terms["ssd"] == pytest.approx(4 * (kl(0.0, 0.5) + kl(1.0, 0.0)) / 2)


def test_weights_scale_their_own_terms_and_zero_drops_them() -> None:
    one = terms_of(ce_weak=1.0)
    weights = {"ce": 2.0, "ce_long": 3.0, "ce_weak": 4.0, "alpha": 5.0, "beta": 6.0}
    named = dict(zip(("ce", "ce_long", "ce_weak", "tsd", "ssd"), weights.values(), strict=True))
    assert terms_of(**weights) == pytest.approx({name: named[name] * one[name] for name in one})
    assert terms_of(ce=0, ce_long=0, beta=0).keys() == {"tsd"}
    assert terms_of(alpha=0).keys() == {"ce", "ce_long", "ssd"}


@given(seeds, st.sampled_from(["mse", "kl"]))
def test_distance_is_zero_between_equals_and_positive_else(seed: int, kind: Any) -> None:
    a, b = normal(2, 3, 4, seed=seed), normal(2, 3, 4, seed=seed + 1)
    assert distance(a, a.clone(), kind, 2.0).item() == 0
    assert distance(a, b, kind, 2.0).item() > 0


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_gradients_agree_with_finite_differences(kind: Any) -> None:
    options = TssdOptions(distance=kind, detach=False, ce_weak=0.5)
    inputs = [normal(t, 2, 3, seed=t).requires_grad_() for t in (2, 4)] + [normal(2, 2, 3).requires_grad_()]

    def loss(short: torch.Tensor, long: torch.Tensor, weak: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(tssd_terms(short, long, weak, Y.expand(2), options).values())).sum()

    assert gradcheck(loss, tuple(inputs))


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_gradients_reach_the_taught_side_only(kind: Any) -> None:
    short, long, weak = (x.clone().requires_grad_() for x in (SHORT, LONG, WEAK))
    terms = tssd_terms(short, long, weak, Y, TssdOptions(distance=kind))
    terms["tsd"].backward()
    assert long.grad is None and weak.grad is None
    assert short.grad is not None and short.grad.abs().sum() > 0
    short.grad = None
    terms["ssd"].backward()
    assert short.grad is None and long.grad is None
    assert weak.grad is not None and weak.grad.abs().sum() > 0


def test_without_detach_gradients_reach_the_guides_too() -> None:
    short, long, weak = (x.clone().requires_grad_() for x in (SHORT, LONG, WEAK))
    terms = tssd_terms(short, long, weak, Y, TssdOptions(detach=False))
    terms["tsd"].backward()
    assert long.grad is not None and long.grad.abs().sum() > 0
    short.grad = None
    terms["ssd"].backward()
    assert short.grad is not None and short.grad.abs().sum() > 0


def test_the_weak_classifier_averages_positions() -> None:
    weak = WeakClassifier(2, 1)
    nn.init.constant_(weak.linear.weight, 1.0)
    nn.init.constant_(weak.linear.bias, 0.5)
    features = torch.zeros(1, 1, 2, 2, 2)
    features[0, 0, 0] = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # mean 1/2
    features[0, 0, 1] = 1.0
    assert weak(features).flatten().tolist() == [2.0]
    assert weak(torch.tensor([[[0.5, 1.0]]])).flatten().tolist() == [2.0]


def test_two_passes_take_each_run_from_its_own_data() -> None:
    setting = toy_setting(teacher=False)
    method = make("tssd", setting, ce=0, beta=0, ce_long=0, distance="mse")
    assert method.passes == (3, 6)
    batch = offered(method, setting)
    short, long = (batch.passes[steps].logits for steps in (3, 6))
    expected = (long.mean(0) - short.mean(0)).square().mean()
    assert expected > 0
    assert method.losses(batch)["tsd"].item() == pytest.approx(expected.item())


def test_one_pass_takes_the_first_steps_as_the_short_run() -> None:
    setting = toy_setting(teacher=False, steady=True)
    method = make("tssd", setting, passes=1, long_timesteps=5)
    assert method.passes == (5,)
    batch = offered(method, setting)
    long = batch.passes[5]
    weak = method.weak(long.feats["block1.neuron"][:3])
    expected = tssd_terms(long.logits[:3], long.logits, weak, batch.labels, TssdOptions())
    assert method.losses(batch) == expected
    # In eval mode the first steps are exactly a run of their own: neurons do not look ahead.
    x = toy_data(5).train.batch(torch.arange(8))[:3]
    functional.reset_net(setting.student)
    with torch.no_grad():
        alone = setting.student(x) * setting.student.logit_scale
    functional.reset_net(setting.student)
    assert torch.equal(long.logits[:3], alone)


@pytest.mark.parametrize("passes", [1, 2])
def test_as_long_as_short_leaves_nothing_to_learn_from_time(passes: int) -> None:
    setting = toy_setting(teacher=False, steady=True)
    method = make("tssd", setting, long_timesteps=3, ce_long=0, passes=passes)
    assert set(method.passes) == {3}
    assert method.losses(offered(method, setting))["tsd"].item() == 0


def test_the_weak_classifier_trains_the_tapped_stage_and_not_the_output() -> None:
    setting = toy_setting(teacher=False)
    method = make("tssd", setting, ce=0, ce_long=0, alpha=0)
    method.losses(offered(method, setting))["ssd"].backward()
    student = setting.student
    assert all(p.grad is not None for p in method.parameters())
    assert student.get_parameter("block1.conv.weight").grad.abs().sum() > 0
    assert student.get_parameter("readout.linear.weight").grad is None


def test_dropping_the_weak_classifier_leaves_the_logits_bit_identical() -> None:
    setting = toy_setting(teacher=False)
    x = toy_data().train.batch(torch.arange(8))
    student = setting.student.eval()
    method = make("tssd", setting)
    with_head = offered(method, setting).student_logits
    del method
    functional.reset_net(student)
    assert torch.equal(student(x) * student.logit_scale, with_head)


def test_without_beta_there_is_no_weak_classifier() -> None:
    method = make("tssd", toy_setting(teacher=False), beta=0)
    assert method.student_taps == () and not list(method.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"long_timesteps": 2}, "must be longer"),
        ({"long_timesteps": 3}, "must be longer"),
        ({"alpha": 0, "beta": 0}, "distils nothing"),
        ({"passes": 1}, "only the beginning of recordings"),
        ({"weak_tap": "block2.neuron"}, "Cannot tap 1 module"),
    ],
)
def test_what_cannot_work_is_refused_when_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make("tssd", toy_setting(teacher=False), **options)


def test_a_flat_tap_can_carry_the_weak_classifier() -> None:
    setting = toy_setting(teacher=False)
    method = make("tssd", setting, weak_tap="flatten")
    assert method.weak.linear.in_features == 36
    assert method.losses(offered(method, setting))["ssd"].item() > 0


def test_options_are_checked() -> None:
    for wrong in ({"passes": 3}, {"distance": "l1"}, {"tau": 0}, {"alpha": -1}):
        with pytest.raises(ValidationError):
            TssdOptions.model_validate(wrong)
