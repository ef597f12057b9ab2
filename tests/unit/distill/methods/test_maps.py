from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.methods import normal
from torch import nn
from torch.autograd import gradcheck

from snn_deploy.distill.methods.maps import classifier_cam, grad_cam, map_divergence, scale_map, spike_map
from snn_deploy.distill.methods.options import MapNorm

LN3 = math.log(3)
NORMS: tuple[MapNorm, ...] = ("none", "batch_minmax", "sample_minmax")

seeds = st.integers(0, 2**31 - 1)


def test_classifier_cam_by_hand() -> None:
    # Sample 0 is class 1 with weights (2, -1), sample 1 class 0 with (1, 1).
    weight = torch.tensor([[1.0, 1.0], [2.0, -1.0]])
    features = torch.tensor([[[[1.0, 0.0]], [[3.0, 4.0]]], [[[1.0, 2.0]], [[0.0, 5.0]]]])
    maps = classifier_cam(weight, features, torch.tensor([1, 0]))
    assert maps.tolist() == [[[-1.0, -4.0]], [[1.0, 7.0]]]


def test_grad_cam_by_hand() -> None:
    # u[b, 0] = Σ_hw of F[b, 0] squared: gradients 2 F, their mean is the weight of the channel.
    features = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]], requires_grad=True)
    u = torch.stack([features[:, 0].square().sum((1, 2)), features[:, 1].sum((1, 2))], 1)
    assert grad_cam(u, features, torch.tensor([0])).tolist() == [[[4.0, 12.0]]]
    assert grad_cam(u, features, torch.tensor([1])).tolist() == [[[5.0, 5.0]]]


def test_grad_cam_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(16, 5)).double()
    features = normal(2, 3, 2, 2).requires_grad_()
    classes = torch.tensor([4, 1])
    maps = grad_cam(head(features), features, classes)
    step = 1e-6
    for b, k in enumerate(classes.tolist()):
        expected = torch.zeros(2, 2, dtype=torch.float64)
        for c in range(3):
            slopes = []
            for h, w in [(0, 0), (0, 1), (1, 0), (1, 1)]:
                nudge = torch.zeros_like(features)
                nudge[b, c, h, w] = step
                with torch.no_grad():
                    slopes.append((head(features + nudge) - head(features - nudge))[b, k] / (2 * step))
            expected += torch.stack(slopes).mean() * features.detach()[b, c]
        torch.testing.assert_close(maps[b], expected, rtol=1e-6, atol=1e-9)


@given(seeds, st.integers(1, 4), st.integers(1, 5))
def test_both_maps_agree_behind_global_average_pooling(seed: int, height: int, width: int) -> None:
    features = normal(3, 4, height, width, seed=seed).requires_grad_()
    weight, classes = normal(5, 4, seed=seed + 1), torch.tensor([0, 4, 2])
    u = features.mean((2, 3)) @ weight.T
    by_gradient = grad_cam(u, features, classes) * height * width
    torch.testing.assert_close(by_gradient, classifier_cam(weight, features, classes))


def test_the_teachers_maps_are_constant_and_can_be_made_again() -> None:
    features, weight = normal(1, 2, 2, 2).requires_grad_(), normal(3, 2).requires_grad_()
    u = features.mean((2, 3)) @ weight.T
    first = grad_cam(u, features, torch.tensor([0]))
    assert torch.equal(first, grad_cam(u, features, torch.tensor([0])))
    assert not first.requires_grad
    assert not classifier_cam(weight, features, torch.tensor([0])).requires_grad
    assert features.grad is None and weight.grad is None


def test_spike_map_counts_spikes() -> None:
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand((3, 2, 4, 2, 5), generator=generator) < 0.3).float()
    counted = torch.zeros(2, 2, 5)
    for _, b, _, h, w in spikes.nonzero().tolist():
        counted[b, h, w] += 1
    assert torch.equal(spike_map(spikes), counted)


def test_spike_counts_are_exact_in_low_precision() -> None:
    spikes = torch.ones(3, 1, 683, 1, 1, dtype=torch.bfloat16)
    assert spike_map(spikes, torch.float32).item() == 2049  # not a bfloat16 number


def test_scaling_by_hand() -> None:
    maps = torch.tensor([[[0.0, 1.0]], [[2.0, 4.0]]], dtype=torch.float64)
    assert scale_map(maps, "none") is maps
    batch, sample = scale_map(maps, "batch_minmax"), scale_map(maps, "sample_minmax")
    assert batch.flatten().tolist() == pytest.approx([0, 1 / 4.001, 2 / 4.001, 4 / 4.001])
    assert sample.flatten().tolist() == pytest.approx([0, 1 / 1.001, 0, 2 / 2.001])


@pytest.mark.parametrize("norm", NORMS)
def test_flat_maps_stay_finite(norm: MapNorm) -> None:
    maps = torch.zeros(2, 3, 3, requires_grad=True)
    loss = map_divergence(normal(2, 3, 3).float(), scale_map(maps, norm), 2.0)
    loss.backward()
    assert loss.isfinite() and maps.grad is not None and maps.grad.isfinite().all()


def test_divergence_by_hand() -> None:
    # At tau 2: P = (1/4, 3/4) and Q = (1/2, 1/2); the second sample agrees, so the mean halves it.
    target = torch.tensor([[[0.0, 2 * LN3]], [[1.0, 1.0]]])
    maps = torch.tensor([[[5.0, 5.0]], [[0.0, 0.0]]])
    kl = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert map_divergence(target, maps, 2.0).item() == pytest.approx(kl / 2)
    p, q, f = (0.25, 0.75), 0.5, 0.125
    floored = sum((x + f) * math.log((x + f) / (q + f)) for x in p)
    assert map_divergence(target[:1], maps[:1], 2.0, floor=f).item() == pytest.approx(floored)


@given(seeds, st.floats(-50, 50), st.sampled_from(NORMS))
def test_equal_maps_and_shifted_maps_are_alike(seed: int, shift: float, norm: MapNorm) -> None:
    a, b = (scale_map(normal(2, 3, 4, seed=s), norm) for s in (seed, seed + 1))
    shifted = scale_map(normal(2, 3, 4, seed=seed + 1) + shift, norm)
    assert map_divergence(a, a, 2.0).item() == pytest.approx(0, abs=1e-12)
    difference = map_divergence(a, b, 2.0)
    assert difference.item() > 0
    assert map_divergence(a, shifted, 2.0).item() == pytest.approx(difference.item(), rel=1e-6)


@given(seeds)
def test_scaled_maps_differ_unless_normalised(seed: int) -> None:
    target, counts = normal(2, 3, 3, seed=seed), 10 * normal(2, 3, 3, seed=seed + 1)
    raw, doubled = (map_divergence(target, m, 2.0).item() for m in (counts, 2 * counts))
    assert doubled > 1.1 * raw
    for norm in ("batch_minmax", "sample_minmax"):
        once, twice = (map_divergence(target, scale_map(m, norm), 2.0).item() for m in (counts, 2 * counts))
        assert twice == pytest.approx(once, abs=1e-3)


def test_no_gradient_reaches_the_target() -> None:
    target, maps = normal(2, 2, 2).requires_grad_(), normal(2, 2, 2, seed=1).requires_grad_()
    map_divergence(target, maps, 2.0).backward()
    assert target.grad is None
    assert maps.grad is not None and maps.grad.abs().sum() > 0


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("floor", [0.0, 1e-10])
def test_gradients_agree_with_finite_differences(norm: MapNorm, floor: float) -> None:
    target, features = normal(2, 2, 3), normal(3, 2, 2, 2, 3, seed=1).requires_grad_()

    def loss(features: torch.Tensor) -> torch.Tensor:
        return map_divergence(target, scale_map(spike_map(features), norm), 2.0, floor=floor)

    assert gradcheck(loss, (features,))
