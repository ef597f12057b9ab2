from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.combined import WeightedSum, build_method
from snn_deploy.distill.methods.kd import kd_terms
from snn_deploy.distill.methods.losses import divergence
from snn_deploy.distill.methods.method import DistillBatch, Setting, StudentPass
from snn_deploy.distill.methods.options import KdOptions, TserOptions
from snn_deploy.distill.methods.tser import tser_terms
from snn_deploy.recipes.recipe import MethodSpec

Y = torch.tensor([0, 2, 1, 2])


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def total(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(terms.values())).sum()


def build(*specs: dict[str, object], teacher: bool = True, label_smoothing: float = 0.0) -> WeightedSum:
    setting = Setting(nn.Identity(), nn.Identity() if teacher else None, (2, 4, 4), 3, 5, label_smoothing)
    return build_method([MethodSpec.model_validate(spec) for spec in specs], setting)


def batch(z: torch.Tensor, u: torch.Tensor | None) -> DistillBatch:
    return DistillBatch({z.shape[0]: StudentPass(z)}, z.shape[0], Y, torch.Generator(), u)


def test_kd_by_hand() -> None:
    # The time-mean is (0, ln 3): probabilities (1/4, 3/4); the teacher at tau 2 is (1/2, 1/2).
    z = torch.tensor([[[0.0, 0.0]], [[0.0, 2 * math.log(3)]]])
    u = torch.tensor([[1.0, 1.0]])
    terms = kd_terms(z, u, torch.tensor([1]), KdOptions(alpha=0.25, tau=2.0))
    root = math.sqrt(3)  # the student at tau 2 is (1, sqrt 3) / (1 + sqrt 3)
    kl = 0.5 * math.log(0.5 * (1 + root)) + 0.5 * math.log(0.5 * (1 + root) / root)
    assert terms["ce"].item() == pytest.approx(0.75 * -math.log(3 / 4))
    assert terms["kl"].item() == pytest.approx(0.25 * 4 * kl)


def test_tser_by_hand() -> None:
    # Steps are (1/2, 1/2) and (1/4, 3/4) at tau 1; with tau 2 the second is (1/2, 1/2) x (1, sqrt 3).
    z = torch.tensor([[[0.0, 0.0]], [[0.0, math.log(3)]]])
    u = torch.tensor([[1.0, 1.0]])
    options = TserOptions(alpha=0.25, lam=0.1, tau=2.0)
    terms = tser_terms(z, u, torch.tensor([1]), options)
    q = [1 / (1 + math.sqrt(3)), math.sqrt(3) / (1 + math.sqrt(3))]
    ce = (-math.log(1 / 2) - math.log(3 / 4)) / 2
    kl = (0 + 0.5 * math.log(0.5 / q[0]) + 0.5 * math.log(0.5 / q[1])) / 2
    h = (math.log(2) - q[0] * math.log(q[0]) - q[1] * math.log(q[1])) / 2
    assert terms["ce"].item() == pytest.approx(0.75 * ce)
    assert terms["kl"].item() == pytest.approx(0.25 * 4 * kl)
    assert terms["entropy"].item() == pytest.approx(-0.1 * h)


def test_tser_options_change_what_they_say() -> None:
    z, u = logits(3, 4, 3), logits(4, 3, seed=1)
    default = tser_terms(z, u, Y, TserOptions(tau=3.0))
    plain = tser_terms(z, u, Y, TserOptions(tau=3.0, tau_squared=False))
    cool = tser_terms(z, u, Y, TserOptions(tau=3.0, entropy_temperature="one"))
    warm = tser_terms(z, u, Y, TserOptions(tau=3.0, ce_temperature="tau"))
    assert default["kl"].item() == pytest.approx(9 * plain["kl"].item())
    assert cool["entropy"].item() == pytest.approx(
        tser_terms(3 * z, u, Y, TserOptions(tau=3.0))["entropy"].item()
    )
    assert warm["ce"].item() == pytest.approx(tser_terms(z / 3, u, Y, TserOptions(tau=3.0))["ce"].item())
    changed = [{k for k in default if v[k] != default[k]} for v in (plain, cool, warm)]
    assert changed == [{"kl"}, {"entropy"}, {"ce"}]


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(1, 6))
def test_tser_of_one_step_without_entropy_is_classic_kd(seed: int, alpha: float, tau: float) -> None:
    z, u = logits(1, 4, 3, seed=seed), logits(4, 3, seed=seed + 1)
    tser = total(tser_terms(z, u, Y, TserOptions(alpha=alpha, lam=0.0, tau=tau)))
    kd = total(kd_terms(z, u, Y, KdOptions(alpha=alpha, tau=tau)))
    assert tser.item() == pytest.approx(kd.item(), abs=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_tser_of_equal_steps_is_time_mean_kd(seed: int, steps: int) -> None:
    z = logits(1, 4, 3, seed=seed).expand(steps, 4, 3)
    u = logits(4, 3, seed=seed + 1)
    tser = total(tser_terms(z, u, Y, TserOptions(lam=0.0)))
    assert tser.item() == pytest.approx(total(kd_terms(z, u, Y, KdOptions())).item(), abs=1e-9)


@given(st.integers(0, 10_000))
def test_separating_the_steps_is_never_milder_than_their_mean(seed: int) -> None:
    """Cross entropy and KL are convex in z, so by Jensen the mean over steps bounds the loss of the mean."""
    z, u = logits(4, 4, 3, seed=seed), logits(4, 3, seed=seed + 1)
    tser, kd = tser_terms(z, u, Y, TserOptions(lam=0.0)), kd_terms(z, u, Y, KdOptions())
    assert all(tser[name] >= kd[name] - 1e-12 for name in ("ce", "kl"))


def test_gradients_agree_with_finite_differences() -> None:
    z, u = logits(2, 4, 3).requires_grad_(), logits(4, 3, seed=1)
    assert gradcheck(lambda z: total(tser_terms(z, u, Y, TserOptions(lam=0.3))), (z,))
    assert gradcheck(lambda z: total(kd_terms(z, u, Y, KdOptions())), (z,))


@pytest.mark.parametrize("name", ["kd", "tser"])
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    z, u = logits(5, 4, 3).requires_grad_(), logits(4, 3, seed=1).requires_grad_()
    total(build({"name": name}).losses(batch(z, u))).backward()
    assert u.grad is None
    assert z.grad is not None and z.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["kd", "tser"])
def test_a_method_that_needs_a_teacher_says_so(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' needs a teacher"):
        build({"name": name}, teacher=False)


def test_none_is_cross_entropy_on_the_mean_or_on_every_step() -> None:
    z = logits(5, 4, 3)
    mean = build({"name": "none"}, teacher=False).losses(batch(z, None))
    steps = build({"name": "none", "loss_on": "steps"}, teacher=False).losses(batch(z, None))
    log_p = torch.log_softmax(z.mean(0), 1)
    assert mean["none.ce"].item() == pytest.approx(-log_p[range(4), Y].mean().item())
    log_p = torch.log_softmax(z, 2)
    assert steps["none.ce"].item() == pytest.approx(-log_p[:, range(4), Y].mean().item())


def test_label_smoothing_reaches_every_method() -> None:
    z, u = logits(5, 4, 3), logits(4, 3, seed=1)
    for name in ("none", "kd", "tser"):
        plain = build({"name": name}).losses(batch(z, u))
        smooth = build({"name": name}, label_smoothing=0.2).losses(batch(z, u))
        assert {k for k in plain if plain[k] != smooth[k]} == {f"{name}.ce"}


def test_methods_add_with_their_weights_under_their_own_names() -> None:
    z, u = logits(5, 4, 3), logits(4, 3, seed=1)
    both = build(
        {"name": "none", "weight": 0.5},
        {"name": "kd", "alpha": 1.0, "weight": 2.0},
        {"name": "kd", "tau": 1, "ce": 0},
    )
    terms = both.losses(batch(z, u))
    assert list(terms) == ["none.ce", "kd.ce", "kd.kl", "kd#2.ce", "kd#2.kl"]
    assert terms["none.ce"].item() == pytest.approx(
        0.5 * build({"name": "none"}).losses(batch(z, u))["none.ce"].item()
    )
    assert terms["kd.kl"].item() == pytest.approx(2 * 9 * divergence(u, z.mean(0), 3.0).item())
    assert terms["kd.ce"].item() == terms["kd#2.ce"].item() == 0
    assert both.passes == (5,)


@pytest.mark.parametrize("first", ["none", "kd", "tser", "s2w"])
def test_one_method_brings_the_cross_entropy(first: str) -> None:
    with pytest.raises(ConfigError, match="2 methods of the recipe bring a cross entropy") as failure:
        build({"name": first}, {"name": "kd", "alpha": 1.0}, {"name": "tser"})
    assert [p.where for p in failure.value.problems] == ["method.0", "method.2"]
    build({"name": first}, {"name": "kd", "alpha": 1.0}, {"name": "tser", "ce": 0})


@pytest.mark.parametrize("name", ["kd", "tser"])
def test_ce_weighs_the_cross_entropy_and_nothing_else(name: str) -> None:
    z, u = logits(5, 4, 3), logits(4, 3, seed=1)
    one, half = (build({"name": name, "ce": ce}).losses(batch(z, u)) for ce in (1.0, 0.5))
    assert half[f"{name}.ce"].item() == pytest.approx(one[f"{name}.ce"].item() / 2)
    assert {k for k in one if one[k] != half[k]} == {f"{name}.ce"}
