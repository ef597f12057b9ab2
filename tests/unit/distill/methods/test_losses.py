from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from snn_deploy.distill.methods.losses import cross_entropy, divergence, entropy, stepwise_cross_entropy

seeds = st.integers(0, 2**31 - 1)


def logits(*shape: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def test_cross_entropy_by_hand() -> None:
    # softmax of (ln 1, ln 3) is (1/4, 3/4); of (0, 0) it is (1/2, 1/2)
    z = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    expected = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert cross_entropy(z, torch.tensor([1, 0])).item() == pytest.approx(expected)


def test_cross_entropy_with_probabilities_by_hand() -> None:
    z = torch.tensor([[0.0, math.log(3)]])
    expected = -0.2 * math.log(1 / 4) - 0.8 * math.log(3 / 4)
    assert cross_entropy(z, torch.tensor([[0.2, 0.8]])).item() == pytest.approx(expected)


def test_stepwise_cross_entropy_by_hand() -> None:
    z = torch.tensor([[[0.0, math.log(3)]], [[math.log(4), 0.0]]])
    expected = (-math.log(3 / 4) - math.log(1 / 5)) / 2
    assert stepwise_cross_entropy(z, torch.tensor([1])).item() == pytest.approx(expected)
    soft = stepwise_cross_entropy(z, torch.tensor([[0.0, 1.0]]))
    assert soft.item() == pytest.approx(expected)


def test_every_step_meets_the_label_of_its_own_sample() -> None:
    z, y = logits(3, 4, 5), torch.tensor([0, 3, 2, 4])
    log_p = z - z.exp().sum(-1, keepdim=True).log()
    by_loops = -sum(log_p[t, b, y[b]] for t in range(3) for b in range(4)) / 12
    assert stepwise_cross_entropy(z, y).item() == pytest.approx(by_loops.item())


def test_divergence_by_hand() -> None:
    # tau 2 turns the teacher into (1/4, 3/4); the student is (1/2, 1/2)
    u = torch.tensor([[0.0, 2 * math.log(3)]])
    z = torch.tensor([[5.0, 5.0]])
    expected = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert divergence(u, z, tau=2.0).item() == pytest.approx(expected)


def test_divergence_is_forward() -> None:
    u, z = logits(4, 5), logits(4, 5, seed=1)
    p, q = torch.softmax(u, 1), torch.softmax(z, 1)
    assert divergence(u, z, 1.0).item() == pytest.approx((p * (p / q).log()).sum(1).mean().item())
    assert divergence(u, z, 1.0).item() != pytest.approx(divergence(z, u, 1.0).item())


@given(seeds, st.floats(0.5, 8))
def test_divergence_is_zero_only_between_equals_and_ignores_constants(seed: int, tau: float) -> None:
    u, z = logits(3, 4, seed=seed), logits(3, 4, seed=seed + 1)
    assert divergence(u, u + 7.0, tau).item() == pytest.approx(0, abs=1e-12)
    assert divergence(u, z, tau).item() > 0


def test_the_teacher_is_broadcast_over_time() -> None:
    u, z = logits(4, 5), logits(3, 4, 5, seed=1)
    per_step = torch.stack([divergence(u, z[t], 3.0) for t in range(3)])
    assert divergence(u, z, 3.0).item() == pytest.approx(per_step.mean().item())


def test_entropy_by_hand() -> None:
    z = torch.tensor([[[0.0, 0.0]], [[0.0, 2 * math.log(3)]]])
    second = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert entropy(z, tau=2.0).item() == pytest.approx((math.log(2) + second) / 2)


@given(seeds, st.integers(2, 12), st.floats(0.2, 8), st.floats(0, 200))
def test_entropy_is_between_zero_and_ln_k(seed: int, classes: int, tau: float, scale: float) -> None:
    h = entropy(logits(2, 3, classes, seed=seed, scale=scale), tau).item()
    assert -1e-12 <= h <= math.log(classes) + 1e-12


def test_entropy_of_equal_logits_is_ln_k() -> None:
    assert entropy(torch.full((2, 3, 7), 4.0, dtype=torch.float64)).item() == pytest.approx(math.log(7))


def test_extreme_logits_stay_finite() -> None:
    z = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    u = torch.tensor([[-1e4, 1e4, 0.0]])
    loss = divergence(u, z, 1.0) + entropy(z) + cross_entropy(z, torch.tensor([1]))
    loss.backward()
    assert loss.isfinite() and z.grad is not None and z.grad.isfinite().all()


def test_gradients_agree_with_finite_differences() -> None:
    z = logits(2, 3, 4, scale=1.0).requires_grad_()
    u, y = logits(3, 4, seed=1), torch.tensor([0, 3, 1])
    assert gradcheck(lambda z: stepwise_cross_entropy(z, y, label_smoothing=0.1), (z,))
    assert gradcheck(lambda z: divergence(u, z, 3.0), (z,))
    assert gradcheck(lambda z: entropy(z, 3.0), (z,))


def test_no_gradient_reaches_the_teacher() -> None:
    u, z = logits(3, 4).requires_grad_(), logits(2, 3, 4, seed=1).requires_grad_()
    divergence(u, z, 2.0).backward()
    assert u.grad is None
    assert z.grad is not None and z.grad.abs().sum() > 0
