from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.methods import make, normal, offered, toy_setting
from torch.autograd import gradcheck

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.losses import divergence
from snn_deploy.distill.methods.options import SealOptions, TwdOptions
from snn_deploy.distill.methods.seal import agreeing_steps, seal_terms, without_confusion
from snn_deploy.distill.methods.twd import twd_terms

seeds = st.integers(0, 2**31 - 1)


def test_confused_classes_become_equal_in_both() -> None:
    # Step 0 takes class 2 for class 0; step 1 is right.
    z = torch.tensor([[[1.0, 2.0, 5.0]], [[4.0, 2.0, 3.0]]])
    u = torch.tensor([[9.0, 1.0, 6.0]])
    student, teacher = without_confusion(z, u, torch.tensor([0]))
    assert student.tolist() == [[[1.0, 2.0, 1.0]], [[4.0, 2.0, 3.0]]]
    assert teacher.tolist() == [[[6.0, 1.0, 6.0]], [[9.0, 1.0, 6.0]]]


def test_the_smaller_of_the_teachers_two_counts() -> None:
    z = torch.tensor([[[1.0, 2.0, 5.0]]])
    u = torch.tensor([[3.0, 1.0, 6.0]])  # the teacher errs as well
    assert without_confusion(z, u, torch.tensor([0]))[1].tolist() == [[[3.0, 1.0, 3.0]]]


def loops(z: torch.Tensor) -> list[list[list[float]]]:
    """The target between steps, written out number by number."""
    steps, batch, classes = z.shape
    result = [[[0.0] * classes for _ in range(batch)] for _ in range(steps)]
    for b in range(batch):
        rows = [[float(v) for v in z[t, b]] for t in range(steps)]
        p = [[math.exp(v) / sum(math.exp(w) for w in row) for v in row] for row in rows]
        q = [1 + sum(v * math.log(v) for v in row) / math.log(classes) for row in p]
        norm = [math.sqrt(sum(v * v for v in row)) for row in rows]
        for t in range(steps):
            others = [s for s in range(steps) if s != t]
            cos = {s: sum(a * c for a, c in zip(rows[t], rows[s])) / norm[t] / norm[s] for s in others}  # noqa: B905
            raw = {s: math.exp(q[s] * cos[s]) for s in others}
            for s in others:
                for k in range(classes):
                    result[t][b][k] += raw[s] / sum(raw.values()) * rows[s][k]
    return result


@given(seeds, st.integers(2, 5))
def test_targets_between_steps_are_those_of_plain_loops(seed: int, steps: int) -> None:
    z = normal(steps, 2, 3, seed=seed)
    assert torch.allclose(agreeing_steps(z), torch.tensor(loops(z), dtype=torch.float64))


def test_two_steps_teach_each_other() -> None:
    z = normal(2, 3, 4)
    assert torch.allclose(agreeing_steps(z), z.flip(0))


@given(seeds)
def test_where_every_step_is_right_it_is_plain_distillation(seed: int) -> None:
    z, u = normal(1, 3, 5, seed=seed), normal(3, 5, seed=seed + 1)
    y = z[0].argmax(-1)
    ours = seal_terms(z, u, y, SealOptions(alpha=0.6))
    assert set(ours) == {"ce", "kl"}  # one step has no other to agree with
    assert ours["kl"].item() == pytest.approx(0.6 * 9 * divergence(u, z, 3.0).item())
    assert ours["ce"].item() == pytest.approx(twd_terms(z, u, y, TwdOptions())["ce"].item())


def test_terms_by_hand() -> None:
    """Two classes; one step that errs: both copies are even, so the teacher has nothing to say."""
    z = torch.tensor([[[0.0, 2.0]]], dtype=torch.float64)
    u = torch.tensor([[5.0, -1.0]], dtype=torch.float64)
    terms = seal_terms(z, u, torch.tensor([0]), SealOptions())
    assert terms["kl"].item() == pytest.approx(0, abs=1e-12)
    assert terms["ce"].item() == pytest.approx(math.log(1 + math.exp(2)))


def test_equal_steps_have_nothing_to_teach() -> None:
    z = normal(1, 4, 3).expand(5, 4, 3)
    terms = seal_terms(z, normal(4, 3, seed=1), z[0].argmax(-1), SealOptions())
    assert terms["time"].item() == pytest.approx(0, abs=1e-12)


def test_the_teacher_and_the_targets_get_no_gradient() -> None:
    u = normal(2, 4, seed=1).requires_grad_()
    z = normal(3, 2, 4).requires_grad_()
    assert not agreeing_steps(z).requires_grad
    sum(seal_terms(z, u, torch.tensor([1, 2]), SealOptions()).values()).backward()  # type: ignore[union-attr]
    assert u.grad is None
    assert bool(z.grad.abs().sum() > 0)


def test_gradients_of_the_teachers_term_agree_with_finite_differences() -> None:
    z, u, y = normal(3, 2, 4), normal(2, 4, seed=1), torch.tensor([1, 2])

    def loss(z: torch.Tensor) -> torch.Tensor:
        return seal_terms(z, u, y, SealOptions(beta=0.0))["kl"]

    assert gradcheck(loss, (z.requires_grad_(),))


def test_it_needs_a_teacher_and_gives_its_terms() -> None:
    with pytest.raises(ConfigError, match="needs a teacher"):
        make("seal", toy_setting(teacher=False))
    setting = toy_setting()
    method = make("seal", setting)
    assert list(method.losses(offered(method, setting))) == ["ce", "kl", "time"]
