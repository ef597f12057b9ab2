"""The two terms of SAMD + NLD and their options: by hand, and beside the released code."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.methods import normal
from torch.autograd import gradcheck

from snn_deploy.distill.methods.losses import divergence
from snn_deploy.distill.methods.options import SamdNldOptions
from snn_deploy.distill.methods.samd_nld import nld, samd, smoothed_log_probabilities

VARIANTS: dict[str, dict[str, Any]] = {
    "ours": {"variant": "ours"},
    "raw": {"variant": "raw-counts", "samd": 1.0},
    "code": {"variant": "official-code"},
}
OURS, RAW, CODE = (SamdNldOptions.model_validate(given) for given in VARIANTS.values())
# One sample, two classes: mean 1, variance 2 (over K - 1), standard deviation sqrt 2; the noise is +1 and -1.
Z, U, XI = (torch.tensor([values], dtype=torch.float64) for values in ([0.0, 2.0], [0.0, 0.0], [1.0, -1.0]))
ROOT = math.sqrt(2)

seeds = st.integers(0, 2**31 - 1)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_variants_differ_where_the_table_says_and_options_beside_them_win() -> None:
    changed = {
        name: {key for key, value in variant if value != getattr(OURS, key)} - {"variant"}
        for name, variant in (("raw", RAW), ("code", CODE))
    }
    assert changed["raw"] == {"norm"}
    assert changed["code"] == {
        "cam", "norm", "map_tau_squared", "map_floor", "mixing", "noise_scale", "noise_gradient",
    }  # fmt: skip
    mixed = SamdNldOptions.model_validate(
        {"variant": "official-code", "norm": "none", "map_tau": 3.0, "samd": 1.0}
    )
    assert (mixed.norm, mixed.map_tau, mixed.mixing) == ("none", 3.0, "probabilities")
    assert SamdNldOptions() == OURS


def test_nld_on_logits_by_hand() -> None:
    # z + 0.1 eps = (0.1 (1 + sqrt 2), 2 + 0.1 (1 - sqrt 2)): at tau 2 they are 1 - 0.1 sqrt 2 apart.
    q = sigmoid(1 - 0.1 * ROOT)
    expected = 4 * kl([0.5, 0.5], [1 - q, q])
    assert expected == pytest.approx(0.3578, abs=1e-4)
    for options in (OURS, RAW):
        assert nld(U, Z, XI, options).item() == pytest.approx(expected)


def test_nld_of_the_official_code_by_hand() -> None:
    # eps = 1 +- 2 = (3, -1). At tau 2 the parts are 1 and -2 apart: q_0 = 0.9 / (1 + e) + 0.1 / (1 + 1/e^2).
    q = 0.9 * sigmoid(-1) + 0.1 * sigmoid(2)
    assert q == pytest.approx(0.330127, abs=1e-6)
    expected = 4 * kl([0.5, 0.5], [q, 1 - q])
    assert nld(U, Z, XI, CODE).item() == pytest.approx(expected)
    unsquared = SamdNldOptions.model_validate({"variant": "official-code", "tau_squared": False})
    assert nld(U, Z, XI, unsquared).item() == pytest.approx(expected / 4)


@pytest.mark.parametrize(
    ("mixing", "scale", "expected"),
    [
        ("logits", "variance", sigmoid(1 - 0.2)),
        ("probabilities", "std", 0.9 * sigmoid(1) + 0.1 * sigmoid(-ROOT)),
    ],
)
def test_noise_options_by_hand(mixing: str, scale: str, expected: float) -> None:
    options = SamdNldOptions.model_validate({"mixing": mixing, "noise_scale": scale})
    q = smoothed_log_probabilities(Z, XI, options).exp()
    assert q.flatten().tolist() == pytest.approx([1 - expected, expected])


def official_samd(teacher: list[list[float]], student: list[list[float]]) -> float:
    """SAMD as the released code computes it, in plain Python; one list of positions per sample."""

    def probabilities(maps: list[list[float]]) -> list[list[float]]:
        low, high = (pick(pick(m) for m in maps) for pick in (min, max))
        rows = [[math.exp((x - low) / (high - low + 1e-3) / 2.0) for x in m] for m in maps]
        return [[x / sum(row) + 1e-10 for x in row] for row in rows]

    pairs = zip(probabilities(teacher), probabilities(student), strict=True)
    return sum(kl(p, q) for p, q in pairs) / len(teacher)


def test_samd_of_the_official_code_by_hand() -> None:
    teacher, student = [[0.0, 4.0], [2.0, 2.0]], [[1.0, 3.0], [2.0, 1.0]]
    # Scaled: (0, 4/4.001), (2/4.001, 2/4.001) and (0, 2/2.001), (1/2.001, 0); only sample 1 disagrees much.
    q = sigmoid(0.5 / 2.001)
    assert official_samd(teacher, student) == pytest.approx(kl([0.5, 0.5], [q, 1 - q]) / 2, abs=1e-6)
    maps = (torch.tensor(m, dtype=torch.float64)[:, None] for m in (teacher, student))
    assert samd(*maps, CODE).item() == pytest.approx(official_samd(teacher, student), rel=1e-12)


@given(seeds)
def test_samd_of_the_official_code_agrees_with_plain_python(seed: int) -> None:
    teacher, student = normal(3, 2, 2, seed=seed).relu(), 5 * normal(3, 2, 2, seed=seed + 1).abs()
    expected = official_samd(teacher.flatten(1).tolist(), student.flatten(1).tolist())
    assert samd(teacher, student, CODE).item() == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_samd_on_raw_counts_and_ours_by_hand() -> None:
    teacher = torch.tensor([[[0.0, 2 * math.log(3)]]], dtype=torch.float64)
    student = torch.tensor([[[3.0, 3.0 + 2 * math.log(2)]]], dtype=torch.float64)
    # Without scaling, at tau 2: P = (1/4, 3/4), Q = (1/3, 2/3).
    assert samd(teacher, student, RAW).item() == pytest.approx(4 * kl([0.25, 0.75], [1 / 3, 2 / 3]))
    # Each scaled to its own range r, the second position is at r / (r + 0.001).
    p, q = (sigmoid(r / (r + 1e-3) / 2) for r in (2 * math.log(3), 2 * math.log(2)))
    assert samd(teacher, student, OURS).item() == pytest.approx(4 * kl([1 - p, p], [1 - q, q]))


@settings(deadline=None)
@given(seeds)
def test_raw_maps_ask_for_equally_many_spikes_everywhere(seed: int) -> None:
    """Why raw counts silence a layer: spikes go where there are most, and silence is a solution."""
    teacher = 0.5 * normal(4, 5, 5, seed=seed).relu().clamp(max=2)
    counts = normal(4, 5, 5, seed=seed + 1, scale=10.0).abs().round().requires_grad_()
    loss = samd(teacher, counts, RAW)
    (gradient,) = torch.autograd.grad(loss, counts)
    target, found = ((m / 2).flatten(1).softmax(1).view_as(m) for m in (teacher, counts))
    torch.testing.assert_close(gradient, 2 * (found - target) / 4)
    most = counts.flatten(1).argmax(1, keepdim=True)
    assert (gradient.flatten(1).gather(1, most) > 0).all()
    silent = samd(teacher, torch.zeros_like(teacher), RAW)
    assert silent < 0.15 and loss > 20 * silent
    assert samd(teacher, counts, OURS) < 0.5


@given(seeds)
def test_without_noise_nld_is_plain_kd(seed: int) -> None:
    z, u, xi = (normal(4, 5, seed=seed + n, scale=3.0) for n in range(3))
    plain = 4 * divergence(u, z, 2.0).item()
    for variant in VARIANTS.values():
        options = SamdNldOptions.model_validate({**variant, "noise": 0.0})
        assert nld(u, z, xi, options).item() == pytest.approx(plain, rel=1e-9)


@given(seeds, st.floats(-100, 100))
def test_a_constant_added_to_the_logits_changes_nothing(seed: int, constant: float) -> None:
    z, u, xi = (normal(4, 5, seed=seed + n, scale=2.0) for n in range(3))
    for options in (OURS, RAW, CODE):
        shifted = nld(u + 1.0, z + constant, xi, options)
        assert shifted.item() == pytest.approx(nld(u, z, xi, options).item(), rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("options", [OURS, CODE])
def test_extreme_and_equal_logits_stay_finite(options: SamdNldOptions) -> None:
    z = torch.tensor([[1e3, -1e3, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    u, xi = torch.tensor([[-1e3, 1e3, 0.0], [1.0, 2.0, 3.0]]), torch.ones(2, 3)
    loss = nld(u, z, xi, options)
    loss.backward()
    assert loss.isfinite() and z.grad is not None and z.grad.isfinite().all()


@pytest.mark.parametrize("mixing", ["logits", "probabilities"])
@pytest.mark.parametrize("scale", ["std", "variance"])
def test_gradients_through_the_noise_agree_with_finite_differences(mixing: str, scale: str) -> None:
    options = SamdNldOptions.model_validate(
        {"mixing": mixing, "noise_scale": scale, "noise_gradient": True, "noise": 0.4}
    )
    u, xi = normal(2, 4, seed=1), normal(2, 4, seed=2)
    assert gradcheck(lambda z: nld(u, z, xi, options), (normal(2, 4).requires_grad_(),))


def test_without_noise_gradient_the_noise_is_a_constant() -> None:
    z, u, xi = (normal(2, 4, seed=n) for n in range(3))
    z.requires_grad_()
    eps = (z.mean(1, keepdim=True) + z.std(1, keepdim=True) * xi).detach()
    (expected,) = torch.autograd.grad(4 * divergence(u, z + 0.1 * eps, 2.0), z)
    (found,) = torch.autograd.grad(nld(u, z, xi, RAW), z)
    torch.testing.assert_close(found, expected)
    through = SamdNldOptions.model_validate({**VARIANTS["raw"], "noise_gradient": True})
    assert not torch.allclose(torch.autograd.grad(nld(u, z, xi, through), z)[0], expected)


@pytest.mark.parametrize("options", [OURS, RAW, CODE])
def test_no_gradient_reaches_the_teacher(options: SamdNldOptions) -> None:
    u, z, teacher, student = (
        normal(*shape, seed=n).requires_grad_() for n, shape in enumerate([(2, 4)] * 2 + [(2, 3, 3)] * 2)
    )
    (nld(u, z, normal(2, 4, seed=9), options) + samd(teacher, student, options)).backward()
    assert u.grad is None and teacher.grad is None
    for reached in (z, student):
        assert reached.grad is not None and reached.grad.abs().sum() > 0


def test_raw_counts_want_a_weight_of_their_own() -> None:
    with pytest.raises(ValidationError, match=r"silences the layer; give one, such as 0\.02"):
        SamdNldOptions.model_validate({"variant": "raw-counts"})
    with pytest.raises(ValidationError, match="'paper' is called 'raw-counts'"):
        SamdNldOptions.model_validate({"variant": "paper", "samd": 0.02})
    assert SamdNldOptions.model_validate({"variant": "raw-counts", "samd": 0.02}).norm == "none"
    assert SamdNldOptions.model_validate({"variant": "raw-counts", "samd": 0}).samd == 0


def test_shares_by_hand() -> None:
    options = SamdNldOptions.model_validate({"norm": "share"})
    teacher = torch.tensor([[[0.0, 3.0]], [[0.0, 0.0]]], dtype=torch.float64)
    student = torch.tensor([[[6.0, 2.0]], [[0.0, 0.0]]], dtype=torch.float64)
    # e is 0.1 * 1.5 + 0.01 and 0.1 * 4 + 0.01; the maps without anything agree.
    p, q = (0.16 / 3.32, 3.16 / 3.32), (6.41 / 8.82, 2.41 / 8.82)
    assert samd(teacher, student, options).item() == pytest.approx(kl(p, q) / 2)
    for wrong in ({"norm": "share", "map_tau": 2.0}, {"norm": "share", "cam_relu": False}):
        with pytest.raises(ValidationError):
            SamdNldOptions.model_validate(wrong)


@settings(deadline=None)
@given(seeds)
def test_only_on_raw_counts_does_the_firing_rate_matter(seed: int) -> None:
    """``dL/d ln r`` of the loss with ``r`` times as many spikes: at r = 1, ``Σ M dL/dM``."""
    teacher = 0.5 * normal(4, 5, 5, seed=seed).relu()
    counts = normal(4, 5, 5, seed=seed + 1, scale=30.0).abs().round().requires_grad_()

    def slope(norm: str) -> float:
        options = SamdNldOptions.model_validate({"norm": norm, "samd": 1.0})
        (gradient,) = torch.autograd.grad(samd(teacher, counts, options), counts)
        return (counts * gradient).sum().item()

    assert slope("none") > 10
    for norm in ("batch_minmax", "sample_minmax", "share"):
        assert abs(slope(norm)) < 1e-3


@given(seeds)
def test_gradients_of_shares_agree_with_finite_differences(seed: int) -> None:
    teacher, counts = normal(2, 2, 3, seed=seed).relu(), normal(2, 2, 3, seed=seed + 1).abs().requires_grad_()
    options = SamdNldOptions.model_validate({"norm": "share"})
    assert gradcheck(lambda maps: samd(teacher, maps, options), (counts,))
