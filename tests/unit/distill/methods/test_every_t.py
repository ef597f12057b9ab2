from __future__ import annotations

import math

import pytest
import torch
from support.methods import normal, offered, toy_setting
from support.toy import toy_data, toy_recipe
from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.combined import WeightedSum, build_method
from snn_deploy.distill.methods.every_t import EveryT, prefix
from snn_deploy.distill.methods.method import DistillBatch, Setting, StudentPass
from snn_deploy.distill.taps import tap
from snn_deploy.recipes.recipe import MethodSpec

Y = torch.tensor([1, 0])
LOGITS_ONLY = ["none", "kd", "tser", "s2w", "twd", "seal"]
TAPS = {"student_tap": "block1.neuron", "teacher_tap": "block1.relu"}


def build(setting: Setting, **spec: object) -> WeightedSum:
    return build_method([MethodSpec.model_validate(spec)], setting)


def plain(steps: int) -> Setting:
    return Setting(nn.Identity(), nn.Identity(), (2, 4, 4), 2, steps)


def batch(z: torch.Tensor) -> DistillBatch:
    u = torch.tensor([[1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    return DistillBatch({len(z): StudentPass(z)}, len(z), Y, torch.Generator(), u)


def test_cross_entropy_of_two_prefixes_by_hand() -> None:
    # Sample 1 (class 1): step 1 gives (1/2, 1/2); the mean of both steps is (0, ln 3): (1/4, 3/4).
    # Sample 2 (class 0): step 1 gives (0, ln 3): (1/4, 3/4); the mean is (0, 0): (1/2, 1/2).
    three = math.log(3)
    z = torch.tensor([[[0.0, 0.0], [0.0, three]], [[0.0, 2 * three], [0.0, -three]]])
    first, both = (-math.log(1 / 2) - math.log(1 / 4)) / 2, (-math.log(3 / 4) - math.log(1 / 2)) / 2
    (found,) = build(plain(2), name="none", every_t=True).losses(batch(z)).values()
    assert found.item() == pytest.approx((first + both) / 2)


@pytest.mark.parametrize("name", [name for name in LOGITS_ONLY if name != "s2w"])
def test_one_step_is_the_method_itself(name: str) -> None:
    z = normal(1, 2, 2)
    assert build(plain(1), name=name, every_t=True).losses(batch(z)) == build(plain(1), name=name).losses(
        batch(z)
    )


@pytest.mark.parametrize("name", LOGITS_ONLY)
def test_terms_are_the_means_of_those_of_shorter_recipes(name: str) -> None:
    """Against methods that were built for T' steps and given the first T' only; ``s2w`` is not, for one."""
    z, steps = normal(4, 2, 2, scale=2.0), 4
    found = build(plain(steps), name=name, every_t=True).losses(batch(z))
    alone = [build(plain(max(t, 2)), name=name).losses(batch(z[:t])) for t in range(1, steps + 1)]
    for term, value in found.items():
        each = [terms[term].item() for terms in alone if term in terms]
        assert value.item() == pytest.approx(sum(each) / steps)


@pytest.mark.parametrize("name", ["none", "kd"])
def test_equal_steps_have_the_loss_of_the_method(name: str) -> None:
    z = normal(1, 2, 2).expand(5, 2, 2)
    every, once = (build(plain(5), name=name, every_t=on).losses(batch(z)) for on in (True, False))
    assert {k: v.item() for k, v in every.items()} == pytest.approx({k: v.item() for k, v in once.items()})


def test_early_steps_weigh_more() -> None:
    """Step t is part of the prefixes T' >= t: its share of a mean's gradient is (1/T) sum 1/T'."""
    z = torch.zeros(3, 2, 2, dtype=torch.float64, requires_grad=True)
    (loss,) = build(plain(3), name="none", every_t=True).losses(batch(z)).values()
    (gradient,) = torch.autograd.grad(loss, z)
    shares = gradient[:, 0, 0] / gradient[:, 0, 0].sum()
    assert shares.tolist() == pytest.approx([11 / 18, 5 / 18, 2 / 18])


def test_a_prefix_is_the_run_of_fewer_steps() -> None:
    """Logits and tapped features of a student in eval mode, given the first 2 of 4 frames alone."""
    setting = toy_setting("timesteps=4")
    short = prefix(offered(build(setting, name="bkd", **TAPS), setting), 2)
    x = toy_data(4).train.batch(torch.arange(8))[:2]
    with tap(setting.student, ["block1.neuron"]) as feats:
        logits = setting.student(x)
    assert short.timesteps == 2 and logits.abs().sum() > 0
    torch.testing.assert_close(short.student_logits, logits)
    torch.testing.assert_close(short.student_feats["block1.neuron"], feats["block1.neuron"])


@pytest.mark.parametrize(("name", "options"), [("bkd", {"blur": 0.0}), ("samd_nld", {"noise": 0.0})])
def test_features_are_those_of_the_prefix(name: str, options: dict[str, object]) -> None:
    setting = toy_setting("timesteps=3")
    torch.manual_seed(0)
    method = build(setting, name=name, every_t=True, **TAPS, **options)
    given = offered(method, setting)
    (every,) = method.parts
    assert isinstance(every, EveryT)
    each = [every.method.losses(prefix(given, t)) for t in (1, 2, 3)]
    for term, value in every.losses(given).items():
        torch.testing.assert_close(value, sum(terms[term] for terms in each) / 3)


def test_a_method_that_looks_at_other_lengths_is_refused() -> None:
    with pytest.raises(ConfigError, match="'tssd' looks at runs of other lengths"):
        build(toy_setting(teacher=False), name="tssd", weak_tap="block1.neuron", every_t=True)


def test_it_belongs_to_the_recipe_and_changes_its_digest() -> None:
    plainly, every = toy_recipe(), toy_recipe("method.every_t=true")
    assert every.method[0].title.endswith("at every T") and not plainly.method[0].title.endswith("T")
    assert plainly.digest() != every.digest()
    with pytest.raises(ConfigError, match="1 fault"):
        toy_recipe("method.every_t=sometimes")
