"""The method that joins SAMD and NLD, on a toy student and teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support.methods import make, offered, toy_setting

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.options import SamdNldOptions
from snn_deploy.distill.methods.samd_nld import nld, samd


@pytest.mark.parametrize("variant", ["ours", "raw-counts", "official-code"])
def test_the_method_joins_the_pieces(variant: str) -> None:
    setting = toy_setting()
    method = make("samd_nld", setting, variant=variant, ce=0.5, samd=2.0, nld=3.0)
    options = SamdNldOptions.model_validate({"variant": variant, "samd": 2.0})
    batch = offered(method, setting, seed=4)
    terms = method.losses(batch)
    assert list(terms) == ["ce", "samd", "nld"]

    u, z = batch.teacher_logits, batch.student_logits.mean(0)
    features = batch.teacher_feats["block1.relu"].detach()
    weight = setting.teacher.get_parameter("linear.weight")  # type: ignore[union-attr]
    cam = torch.einsum("bc,bchw->bhw", weight[u.argmax(1)], features).relu()
    if options.cam == "grad-cam":
        cam = cam / 9  # 3x3 positions behind global average pooling
    spikes = batch.student_feats["block1.neuron"].sum((0, 2))
    xi = torch.randn(8, 3, generator=torch.Generator().manual_seed(4))
    log_p = z.log_softmax(1)[range(8), batch.labels]
    assert terms["ce"].item() == pytest.approx(-0.5 * log_p.mean().item())
    assert terms["samd"].item() == pytest.approx(2 * samd(cam, spikes, options).item(), rel=1e-4)
    assert terms["nld"].item() == pytest.approx(3 * nld(u, z, xi, options).item(), rel=1e-5)


def test_noise_is_drawn_from_the_given_generator() -> None:
    setting = toy_setting()
    method = make("samd_nld", setting)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, same, other = (method.losses(offered(method, setting, seed))["nld"].item() for seed in (1, 1, 2))
    assert first == same != other
    assert torch.equal(torch.get_rng_state(), before)


def test_the_class_explained_is_the_predicted_or_the_true_one() -> None:
    setting = toy_setting()
    predicted, true = (
        make("samd_nld", setting, cam="classifier", cam_class=which, cam_relu=False)
        for which in ("predicted", "label")
    )
    batch = offered(predicted, setting)
    weight = setting.teacher.get_parameter("linear.weight")  # type: ignore[union-attr]
    assert batch.teacher_logits is not None
    chosen = batch.teacher_logits.argmax(1)
    assert not torch.equal(chosen, batch.labels)
    for method, classes in ((predicted, chosen), (true, batch.labels)):
        expected = torch.einsum("bc,bchw->bhw", weight[classes], batch.teacher_feats["block1.relu"])
        torch.testing.assert_close(method.teacher_map(batch), expected)


def test_soft_labels_explain_their_likeliest_class() -> None:
    setting = toy_setting()
    method = make("samd_nld", setting, cam_class="label")
    batch = offered(method, setting)
    hard = method.teacher_map(batch)
    soft = torch.nn.functional.one_hot(batch.labels, 3) * 0.8 + 0.1
    assert torch.equal(method.teacher_map(replace(batch, labels=soft)), hard)


def test_maps_of_different_sizes_are_refused_or_pooled() -> None:
    setting = toy_setting("teacher.blocks.0.stride=1")
    with pytest.raises(ConfigError, match="their sizes differ") as failure:
        make("samd_nld", setting)
    assert [str(p) for p in failure.value.problems] == [
        "student tap 'block1.neuron': has 3x3 positions; rule: as many as the teacher's 'block1.relu', 6x6"
    ]
    method = make("samd_nld", setting, resize="pool", nld=0, ce=0)
    batch = offered(method, setting)
    whole = method.teacher_map(batch)
    pooled = whole.unfold(1, 2, 2).unfold(2, 2, 2).mean((3, 4))
    expected = samd(pooled, batch.student_feats["block1.neuron"].sum((0, 2)), SamdNldOptions())
    assert method.losses(batch)["samd"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_cannot_work_is_refused_when_built() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"student_tap": "readout.linear", "teacher_tap": "linear"}, "needs feature maps"),
        ({"teacher_tap": "block9.relu"}, "Cannot tap 1 module"),
        ({"teacher_tap": "pool", "resize": "pool"}, "its maps have one"),
        ({"cam": "classifier", "teacher_head": "classifier"}, "no such module"),
        ({"cam": "classifier", "teacher_head": "block1.conv"}, "a linear layer from 4 channels to 3 classes"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError, match=message):
            make("samd_nld", toy_setting(), **options)
    with pytest.raises(ConfigError, match="'samd_nld' needs a teacher"):
        make("samd_nld", toy_setting(teacher=False))
    for wrong in (
        {"samd": 0, "nld": 0},
        {"variant": "raw-counts"},
        {"norm": "none"},
        {"mixing": "probabilities", "noise": 1.5},
        {"variant": "code"},
    ):
        with pytest.raises(ValidationError):
            SamdNldOptions.model_validate(wrong)


def test_it_wants_only_what_it_uses() -> None:
    setting = toy_setting()
    logits_only = make("samd_nld", setting, samd=0)
    assert (logits_only.student_taps, logits_only.teacher_taps) == ((), ())
    assert not logits_only.teacher_gradients
    assert make("samd_nld", setting).teacher_gradients
    classifier = make("samd_nld", setting, cam="classifier")
    assert not classifier.teacher_gradients
    assert not list(classifier.parameters()) and not list(classifier.children())
