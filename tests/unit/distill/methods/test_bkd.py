from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.methods import make, normal, offered, toy_setting
from torch import nn
from torch.autograd import gradcheck

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.bkd import (
    Restoration,
    channel_mask,
    clip_scale,
    label_trust,
    squared_error,
    wsld,
)
from snn_deploy.distill.methods.options import BkdOptions

LN3 = math.log(3)
seeds = st.integers(0, 2**31 - 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pass_through(restoration: Restoration) -> None:
    """Make the restoration block the identity for features that are not negative."""
    for module in restoration.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


@given(seeds, st.integers(1, 5), st.integers(1, 7), st.floats(0, 0.99))
def test_a_mask_has_one_value_per_sample_and_channel(seed: int, b: int, d: int, blur: float) -> None:
    mask = channel_mask(torch.Size((b, d, 4, 3)), blur, generator(seed))
    assert mask.shape == (b, d, 1, 1)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("blur", [0.0, 0.15, 0.6])
def test_channels_are_zeroed_at_the_rate_asked_for(blur: float) -> None:
    count = 100_000
    zeros = 1 - channel_mask(torch.Size((100, count // 100, 1, 1)), blur, generator()).mean().item()
    assert abs(zeros - blur) <= 4 * math.sqrt(blur * (1 - blur) / count)


def test_whole_channels_reach_the_restoration_or_nothing_of_them() -> None:
    block = Restoration(6, 6)
    pass_through(block)
    features = 0.5 + torch.rand(8, 6, 3, 3)
    restored, aligned = block(features, 0.5, generator(3))
    assert torch.equal(aligned, features)
    kept = restored.flatten(2).ne(0)
    assert torch.equal(kept.all(2), kept.any(2))
    assert 0 < kept.all(2).sum() < 48
    torch.testing.assert_close(restored, features * kept.all(2)[:, :, None, None])
    assert torch.equal(block(features, 0.5, generator(3))[0], restored)
    assert not torch.equal(block(features, 0.5, generator(4))[0], restored)


def test_restoration_by_hand() -> None:
    # 1x1 maps see the centres of the kernels only: R = 3 relu(2 (0.5 x 4 + 1) - 5) + 0.25 = 3.25.
    block = Restoration(2, 1)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.align.weight[0, 0] = 0.5
        block.align.bias.fill_(1.0)  # type: ignore[union-attr, operator]
        block.restore[0].weight[0, 0, 1, 1] = 2.0
        block.restore[0].bias.fill_(-5.0)
        block.restore[2].weight[0, 0, 1, 1] = 3.0
        block.restore[2].bias.fill_(0.25)
    features = torch.tensor([[4.0, 9.0], [2.0, 9.0]]).reshape(2, 2, 1, 1)
    restored, aligned = block(features, 0.0, generator())
    assert aligned.flatten().tolist() == [3.0, 2.0]
    assert restored.flatten().tolist() == [3.25, 0.25]  # the second is cut off by the ReLU


def test_align_is_there_only_where_widths_differ() -> None:
    assert isinstance(Restoration(4, 4).align, nn.Identity)
    assert Restoration(4, 7).align.weight.shape == (7, 4, 1, 1)


def test_squared_error_by_hand() -> None:
    restored = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(2, 2, 1, 1)
    target = torch.tensor([1.0, 0.0, 0.0, 3.0]).reshape(2, 2, 1, 1)  # squares 0, 4, 9, 1
    assert squared_error(restored, target, "sum").item() == 14 / 2
    assert squared_error(restored, target, "mean").item() == 14 / 4


@given(seeds)
def test_the_sum_is_the_mean_times_the_size_of_a_sample(seed: int) -> None:
    restored, target = normal(3, 4, 2, 5, seed=seed), normal(3, 4, 2, 5, seed=seed + 1)
    mean = squared_error(restored, target, "mean").item()
    assert squared_error(restored, target, "sum").item() == pytest.approx(40 * mean)


def test_clip_by_hand() -> None:
    target, features = torch.tensor([-1.0, 0.0, 4.0]), torch.tensor([0.5, 2.0])
    assert clip_scale(target, features).tolist() == [-0.5, 0.0, 2.0]
    assert clip_scale(torch.zeros(2), features).tolist() == [0.0, 0.0]


def test_label_trust_by_hand() -> None:
    # The student has ln 2 on its label, the teacher ln 4/3: omega = 1 - exp(- ln 2 / ln 4/3).
    z, u = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, LN3]])
    expected = 1 - math.exp(-math.log(2) / (math.log(4 / 3) + 1e-7))
    assert label_trust(z, u, torch.tensor([1])).item() == pytest.approx(expected)
    soft = torch.tensor([[0.25, 0.75]])
    teacher = -0.25 * math.log(1 / 4) - 0.75 * math.log(3 / 4)
    expected = 1 - math.exp(-math.log(2) / (teacher + 1e-7))
    assert label_trust(z, u, soft).item() == pytest.approx(expected)


@given(seeds)
def test_label_trust_is_a_share(seed: int) -> None:
    z, u = normal(6, 4, seed=seed, scale=2.0), normal(6, 4, seed=seed + 1, scale=2.0)
    y = torch.randint(4, (6,), generator=generator(seed))
    trust = label_trust(z, u, y)
    assert trust.shape == (6,) and (trust >= 0).all() and (trust <= 1).all()
    ce = nn.functional.cross_entropy(u, y, reduction="none")
    torch.testing.assert_close(label_trust(u, u, y), 1 - torch.exp(-ce / (ce + 1e-7)))
    assert (label_trust(u, u - 3 * nn.functional.one_hot(y, 4), y) < 1 - math.exp(-1)).all()


def test_wsld_by_hand() -> None:
    # Sample 0: teacher (1/4, 3/4) and student (1/2, 1/2) at tau 2; sample 1: both (1/2, 1/2), omega 1 - 1/e.
    z = torch.tensor([[0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    u = torch.tensor([[0.0, 2 * LN3], [0.0, 0.0]], dtype=torch.float64)
    omega = [1 - math.exp(-math.log(2) / (math.log(10 / 9) + 1e-7)), 1 - math.exp(-1)]
    expected = 4 * math.log(2) * (omega[0] + omega[1]) / 2
    assert wsld(z, u, torch.tensor([1, 0]), 2.0).item() == pytest.approx(expected, rel=1e-6)
    # Student (1/4, 3/4) at tau 2 against a teacher (1/2, 1/2): cross entropy of halves.
    z = torch.tensor([[0.0, 2 * LN3]], dtype=torch.float64)
    omega = [1 - math.exp(-math.log(10 / 9) / (math.log(2) + 1e-7))]
    expected = 4 * omega[0] * -(0.5 * math.log(1 / 4) + 0.5 * math.log(3 / 4))
    assert wsld(z, u[1:], torch.tensor([1]), 2.0).item() == pytest.approx(expected, rel=1e-6)


def test_gradients_of_wsld_hold_the_trust_constant() -> None:
    z, u, y = normal(4, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_(), torch.tensor([0, 2, 1, 2])
    omega, soft = label_trust(z, u, y), (u / 2).softmax(1).detach()
    assert not omega.requires_grad
    wsld(z, u, y, 2.0).backward()
    # d(-Σ p log sigma(z/tau)) / dz = (sigma(z/tau) - p) / tau
    expected = 4 * omega[:, None] * ((z / 2).softmax(1) - soft) / 2 / 4
    assert u.grad is None and z.grad is not None
    torch.testing.assert_close(z.grad, expected.detach())


def test_gradients_of_the_feature_loss_agree_with_finite_differences() -> None:
    block = Restoration(2, 3).double()
    target = normal(2, 3, 2, 2, seed=1)

    def loss(features: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return squared_error(block(features, 0.4, generator(1))[0], target, "sum")

    assert gradcheck(loss, (normal(2, 2, 2, 2).requires_grad_(), *block.parameters()))


@pytest.mark.parametrize("clip", [False, True])
def test_no_gradient_reaches_the_teacher(clip: bool) -> None:
    features, target = normal(2, 3, 2, 2).requires_grad_(), normal(2, 3, 2, 2, seed=1).requires_grad_()
    goal = clip_scale(target, features) if clip else target
    squared_error(features, goal, "mean").backward()
    assert target.grad is None and features.grad is not None
    torch.testing.assert_close(features.grad, (2 * (features - goal) / 24).detach())


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_without_blur_and_with_an_identity_block_it_is_plain_mse(reduction: str, clip: bool) -> None:
    setting = toy_setting()
    method = make("bkd", setting, blur=0.0, feature=2.0, logit=0, reduction=reduction, clip=clip)
    pass_through(method.restoration)
    batch = offered(method, setting)
    spikes = batch.student_feats["block1.neuron"].detach().mean(0)
    target = batch.teacher_feats["block1.relu"]
    if clip:
        target = target * spikes.max() / target.max()
    expected = 2 * nn.functional.mse_loss(spikes, target, reduction=reduction).item()
    terms = method.losses(batch)
    assert list(terms) == ["ce", "bkd"]
    assert terms["bkd"].item() == pytest.approx(expected / (8 if reduction == "sum" else 1), rel=1e-5)


def test_mixed_joins_the_pieces() -> None:
    setting = toy_setting()
    method = make("bkd", setting, ce=0.5, feature=2.0, logit=3.0)
    batch = offered(method, setting, seed=5)
    z, u = batch.student_logits.mean(0), batch.teacher_logits
    features = batch.student_feats["block1.neuron"].mean(0)
    restored, _ = method.restoration(features, 0.15, generator(5))
    terms = method.losses(batch)
    log_p = z.log_softmax(1)[range(8), batch.labels]
    error = nn.functional.mse_loss(restored, batch.teacher_feats["block1.relu"])
    assert list(terms) == ["ce", "bkd", "wsld"]
    assert terms["ce"].item() == pytest.approx(-0.5 * log_p.mean().item())
    assert terms["bkd"].item() == pytest.approx(2 * error.item(), rel=1e-5)
    assert terms["wsld"].item() == pytest.approx(3 * wsld(z, u, batch.labels, 2.0).item())


def test_logit_only_needs_no_helper_and_no_tap() -> None:
    setting = toy_setting()
    method = make("bkd", setting, feature=0)
    assert (method.student_taps, method.teacher_taps) == ((), ())
    assert not list(method.parameters())
    assert list(method.losses(offered(method, setting))) == ["ce", "wsld"]


def test_a_wider_teacher_gets_an_align_convolution() -> None:
    setting = toy_setting("teacher.blocks.0.channels=6")
    method = make("bkd", setting)
    assert method.restoration.align.weight.shape == (6, 4, 1, 1)
    method.losses(offered(method, setting))["bkd"].backward()
    assert all(p.grad is not None for p in method.parameters())
    assert setting.student.get_parameter("block1.conv.weight").grad is not None
    assert setting.student.get_parameter("readout.linear.weight").grad is None


def test_a_pooled_teacher_feature_is_met_by_the_mean_over_positions() -> None:
    setting = toy_setting()
    method = make("bkd", setting, teacher_tap="flatten", blur=0.0, logit=0, ce=0)
    pass_through(method.restoration)
    batch = offered(method, setting)
    rates = batch.student_feats["block1.neuron"].detach().mean((0, 3, 4))
    expected = nn.functional.mse_loss(rates, batch.teacher_feats["flatten"])
    assert method.losses(batch)["bkd"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("larger", ["teacher", "student"])
def test_features_of_different_sizes_are_refused_or_pooled(larger: str) -> None:
    setting = toy_setting(f"{larger}.blocks.0.stride=1")
    with pytest.raises(ConfigError, match="their sizes differ"):
        make("bkd", setting)
    method = make("bkd", setting, resize="pool", blur=0.0, logit=0, ce=0)
    pass_through(method.restoration)
    batch = offered(method, setting)
    spikes = batch.student_feats["block1.neuron"].detach().mean(0)
    target = batch.teacher_feats["block1.relu"]
    small, large = (spikes, target) if larger == "teacher" else (target, spikes)
    assert (small.shape[2:], large.shape[2:]) == ((3, 3), (6, 6))
    pooled = large.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    expected = nn.functional.mse_loss(small, pooled).item()
    assert method.losses(batch)["bkd"].item() == pytest.approx(expected, rel=1e-5)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="'bkd' needs a teacher"):
        make("bkd", toy_setting(teacher=False))
    with pytest.raises(ConfigError, match="needs feature maps") as failure:
        make("bkd", toy_setting(), student_tap="flatten")
    assert [p.what for p in failure.value.problems] == ["gives [36] per sample"]
    with pytest.raises(ConfigError, match="Cannot tap 1 module"):
        make("bkd", toy_setting(), teacher_tap="layer4")
    for wrong in ({"feature": 0, "logit": 0}, {"reduction": "sum"}, {"blur": 1.0}, {"tau": 0}):
        with pytest.raises(ValidationError):
            BkdOptions.model_validate(wrong)
    assert BkdOptions.model_validate({"reduction": "sum", "feature": 7e-5}).feature == 7e-5


def test_building_looks_at_the_networks_and_leaves_no_trace() -> None:
    setting = toy_setting()
    networks: list[Any] = [setting.student, setting.teacher]
    setting.student.train()
    setting.teacher.train()  # type: ignore[union-attr]
    setting.student.block1.norm.eval()
    modes = [[m.training for m in network.modules()] for network in networks]
    before = [{k: v.clone() for k, v in network.state_dict().items()} for network in networks]
    make("bkd", setting)
    for network, mode, state in zip(networks, modes, before, strict=True):
        assert [m.training for m in network.modules()] == mode
        assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
        assert not any(m._forward_hooks for m in network.modules())
    assert setting.student.block1.neuron.v == 0.0  # a number, not the state of some batch
