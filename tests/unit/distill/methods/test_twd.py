from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.methods import make, normal, offered, toy_setting
from torch.autograd import gradcheck

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.options import TserOptions, TwdOptions
from snn_deploy.distill.methods.tser import tser_terms
from snn_deploy.distill.methods.twd import mean_of_right_steps, twd_terms

LN3 = math.log(3)
seeds = st.integers(0, 2**31 - 1)


def test_the_mean_is_that_of_the_right_steps() -> None:
    # Sample 0 is right at steps 0 and 2, sample 1 never.
    z = torch.tensor([[[0.0, 4.0], [5.0, 0.0]], [[7.0, 0.0], [3.0, 0.0]], [[1.0, 2.0], [1.0, 0.0]]])
    right = mean_of_right_steps(z, torch.tensor([1, 1]))
    assert right.tolist() == [[pytest.approx(0.5), pytest.approx(3.0)], [0.0, 0.0]]


def test_terms_by_hand() -> None:
    """One sample of class 1; the first step says (1/2, 1/2), which names class 0, the second (1/10, 9/10)."""
    z = torch.tensor([[[0.0, 0.0]], [[0.0, 2 * LN3]]], dtype=torch.float64)
    u = torch.zeros(1, 2, dtype=torch.float64)
    terms = twd_terms(z, u, torch.tensor([1]), TwdOptions(alpha=0.2, beta=0.5, tau=2.0))
    assert terms["ce"].item() == pytest.approx(-(math.log(1 / 2) + math.log(9 / 10)) / 2)
    # at tau 2 the steps are (1/2, 1/2) and (1/4, 3/4); the teacher is (1/2, 1/2)
    to_teacher = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert terms["kl"].item() == pytest.approx(0.2 * 4 * to_teacher / 2)
    # the right step is the second alone: the first is pulled toward (1/4, 3/4)
    to_right = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert terms["right"].item() == pytest.approx(0.5 * 4 * to_right / 2)


@given(seeds)
def test_without_the_term_of_right_steps_it_is_tser_without_entropy(seed: int) -> None:
    """TSER's alpha a weighs (1 - a) and a; TWD's 1 and alpha: with a = 1/2 the two differ by a factor."""
    z, u = normal(4, 3, 5, seed=seed), normal(3, 5, seed=seed + 1)
    y = torch.tensor([0, 4, 2])
    ours = twd_terms(z, u, y, TwdOptions(alpha=1.0, beta=0.0, tau=3.0))
    tser = tser_terms(z, u, y, TserOptions(alpha=0.5, lam=0.0, tau=3.0))
    assert ours["ce"].item() == pytest.approx(2 * tser["ce"].item())
    assert ours["kl"].item() == pytest.approx(2 * tser["kl"].item())
    assert ours["right"].item() == 0


def test_one_right_step_has_nothing_to_teach_itself() -> None:
    z = torch.tensor([[[0.0, 3.0]]], dtype=torch.float64)
    terms = twd_terms(z, None, torch.tensor([1]), TwdOptions(alpha=0.0))
    assert terms["right"].item() == pytest.approx(0, abs=1e-7)
    assert "kl" not in terms


def test_mixed_labels_count_by_their_likeliest_class() -> None:
    z, u = normal(3, 2, 4), normal(2, 4, seed=1)
    soft = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
    a = twd_terms(z, u, soft, TwdOptions())
    b = twd_terms(z, u, torch.tensor([0, 3]), TwdOptions())
    assert torch.equal(a["right"], b["right"])
    assert not torch.equal(a["ce"], b["ce"])


def test_the_targets_get_no_gradient() -> None:
    z = normal(3, 2, 4).requires_grad_()
    u = normal(2, 4, seed=1).requires_grad_()
    y = torch.tensor([1, 2])
    target = mean_of_right_steps(z, y).detach()
    terms = twd_terms(z, u, y, TwdOptions(ce=0.0, alpha=0.2, beta=0.5))
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert u.grad is None

    def with_constant_target(z: torch.Tensor) -> torch.Tensor:
        log_q = (z / 3).log_softmax(-1)
        pulls = [0.2 * (t / 3).softmax(-1) for t in (u.detach(),)] + [0.5 * (target / 3).softmax(-1)]
        return -9 * sum((p * log_q).sum(-1).mean() for p in pulls)

    expected = torch.autograd.functional.jacobian(with_constant_target, z.detach())
    assert torch.allclose(z.grad, expected)


def test_gradients_agree_with_finite_differences() -> None:
    z, u = normal(3, 2, 4), normal(2, 4, seed=1)
    y = z.mean(0).argmin(-1)  # no step is right, so that the mean of right steps stays 0 nearby

    def loss(z: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(twd_terms(z, u, y, TwdOptions()).values())).sum()

    z = torch.where(z.argmax(-1, keepdim=True) == y[:, None], -z, z)
    assert not bool((z.argmax(-1) == y).any())
    assert gradcheck(loss, (z.requires_grad_(),))


def test_a_teacher_is_needed_unless_its_weight_is_zero() -> None:
    alone = toy_setting(teacher=False)
    with pytest.raises(ConfigError, match="needs a teacher"):
        make("twd", alone)
    method = make("twd", alone, alpha=0)
    assert list(method.losses(offered(method, alone))) == ["ce", "right"]
    both = toy_setting()
    method = make("twd", both)
    assert list(method.losses(offered(method, both))) == ["ce", "kl", "right"]
