"""Every method through the real trainer, and what it must not touch on the way."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import neuron
from support.methods import TAPS, TOY_OPTIONS, offered, toy_setting
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe
from torch import nn
from torch.nn.functional import one_hot

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import METHODS
from snn_deploy.data.types import Split
from snn_deploy.distill.interrupt import StopRequest
from snn_deploy.distill.methods.combined import WeightedSum, build_method
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.distill.trainer import Fit, Phase, fit
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.recipes.recipe import MethodSpec, TrainSpec, load_recipe

SPEC = TrainSpec(epochs=2, batch_size=16, lr=0.01, checkpoint_seconds=0)
STEPS = 6  # 40 samples in batches of 16, twice


def specs(*parts: dict[str, Any]) -> list[MethodSpec]:
    return [MethodSpec.model_validate({**TOY_OPTIONS.get(part["name"], {}), **part}) for part in parts]


CASES = {
    "kd": specs({"name": "kd"}),
    "tser": specs({"name": "tser"}),
    "tssd": specs({"name": "tssd", "ce_weak": 0.5}),
    "tssd kl, one pass": specs({"name": "tssd", "distance": "kl", "passes": 1, "long_timesteps": 5}),
    "samd_nld": specs({"name": "samd_nld"}),
    "samd_nld raw counts": specs({"name": "samd_nld", "variant": "raw-counts", "samd": 1.0}),
    "samd_nld official-code": specs({"name": "samd_nld", "variant": "official-code"}),
    "bkd": specs({"name": "bkd"}),
    "bkd feature only, sum": specs(
        {"name": "bkd", "logit": 0, "reduction": "sum", "feature": 2e-3, "clip": True}
    ),
    "bkd logit only": specs({"name": "bkd", "feature": 0}),
    "s2w": specs({"name": "s2w", "direction": "both"}),
    "combined": specs(
        {"name": "bkd", "logit": 0},
        {"name": "tser", "ce": 0, "weight": 0.5},
        {"name": "samd_nld", "ce": 0, "nld": 0},
        {"name": "tssd", "ce": 0},
        {"name": "s2w", "ce": 0},
    ),
}
TERMS = {
    "tssd": ["tssd.ce", "tssd.ce_long", "tssd.tsd", "tssd.ce_weak", "tssd.ssd"],
    "bkd": ["bkd.ce", "bkd.bkd", "bkd.wsld"],
    "samd_nld": ["samd_nld.ce", "samd_nld.samd", "samd_nld.nld"],
    "s2w": ["s2w.ce", "s2w.s2w", "s2w.w2s"],
    "combined": [
        "bkd.ce", "bkd.bkd", "tser.ce", "tser.kl", "tser.entropy", "samd_nld.samd",
        "tssd.ce_long", "tssd.tsd", "tssd.ssd", "s2w.s2w",
    ],
}  # fmt: skip

every_case = pytest.mark.parametrize("case", CASES)


def prepared(case: str) -> tuple[Setting, WeightedSum]:
    setting = toy_setting(steady=True)
    assert setting.teacher is not None
    setting.teacher.train()
    torch.manual_seed(2)
    return setting, build_method(CASES[case], setting)


def train(folder: Path, setting: Setting, method: WeightedSum, dying: int | None = None) -> Fit:
    data = toy_data()
    splits: dict[int, Split] = {steps: toy_data(steps).train for steps in method.passes}
    if dying is not None:
        splits = {steps: KilledAt(split, dying) for steps, split in splits.items()}
    objective = DistillObjective(setting.student, setting.teacher, method, setting.timesteps)
    return fit(
        objective,
        data,
        SPEC,
        Phase("student", folder, "toy", seed=3),
        train=splits,
        device=torch.device("cpu"),
        stop=StopRequest(),
        report=lambda event: None,
    )


class Killed(BaseException):
    """The process ends."""


class KilledAt:
    """A split that dies when it is asked for its n-th batch."""

    def __init__(self, split: Split, batches: int) -> None:
        self.split, self.left, self.labels = split, batches, split.labels

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        if self.left == 0:
            raise Killed
        self.left -= 1
        return self.split.batch(indices)


def step_records(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "step"]


@every_case
def test_a_method_trains_the_student_and_its_helpers_and_never_the_teacher(case: str, tmp_path: Path) -> None:
    setting, method = prepared(case)
    student, teacher = setting.student, setting.teacher
    assert teacher is not None
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in (student, teacher, method)]
    result = train(tmp_path, setting, method)

    records = step_records(tmp_path)
    assert len(records) == result.steps == STEPS
    assert all(math.isfinite(record["loss"]) for record in records)
    if case in TERMS:
        assert list(records[0]["terms"]) == TERMS[case]

    assert result.weights.keys() == before[0].keys()
    assert all(not torch.equal(p, before[0][name]) for name, p in student.named_parameters())
    assert all(not torch.equal(p, before[2][name]) for name, p in method.named_parameters())
    assert all(torch.equal(value, before[1][name]) for name, value in teacher.state_dict().items())
    assert not any(module.training for module in teacher.modules())
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())


@every_case
def test_the_same_seed_gives_the_same_losses_also_after_a_kill(case: str, tmp_path: Path) -> None:
    train(tmp_path / "whole", *prepared(case))
    with pytest.raises(Killed):
        train(tmp_path / "killed", *prepared(case), dying=4)
    train(tmp_path / "killed", *prepared(case))
    whole, killed = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "killed"))
    assert whole == killed


@every_case
def test_certain_probabilities_are_class_numbers(case: str) -> None:
    setting, method = prepared(case)
    batch = offered(method, setting)
    certain = replace(batch, labels=one_hot(batch.labels, CLASSES).float())
    mixed = replace(batch, labels=0.7 * certain.labels + 0.3 * certain.labels.flip(0))
    by_number, by_probability, by_both = (
        method.losses(replace(b, generator=torch.Generator().manual_seed(0))) for b in (batch, certain, mixed)
    )
    torch.testing.assert_close(by_number, by_probability)
    assert by_number.keys() == by_both.keys()
    assert all(term.isfinite() for term in by_both.values())
    assert any(by_number[name] != by_both[name] for name in by_both)


@every_case
def test_losses_are_float32_under_mixed_precision(case: str) -> None:
    setting, method = prepared(case)
    objective = DistillObjective(setting.student, setting.teacher, method, setting.timesteps)
    inputs = {steps: toy_data(steps).train.batch(torch.arange(8)) for steps in method.passes}
    with torch.autocast("cpu", torch.bfloat16):
        terms, _ = objective.losses(inputs, toy_data().train.labels[:8], torch.Generator())
    assert {term.dtype for term in terms.values()} == {torch.float32}
    torch.stack(list(terms.values())).sum().backward()
    trained = [*setting.student.parameters(), *method.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


class SpikingTeacher(nn.Sequential):
    """``[B, C, H, W] -> [B, K]`` with neurons that remember the batch before unless they are reset."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        super().__init__()
        self.conv = nn.Conv2d(SHAPE[0], 4, 3, stride=2, padding=1)
        self.neuron = neuron.LIFNode(v_threshold=0.1, decay_input=False)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(36, CLASSES)


@pytest.mark.parametrize("cam", [None, "grad-cam"])
def test_a_spiking_teacher_starts_every_batch_from_zero_state(cam: str | None) -> None:
    setting = toy_setting(teacher=SpikingTeacher())
    options: dict[str, Any] = {**TAPS, "teacher_tap": "neuron"}
    spec = {"name": "samd_nld", "cam": cam} if cam else {"name": "bkd", "blur": 0.0}
    method = build_method([MethodSpec.model_validate({**spec, **options})], setting)
    objective = DistillObjective(setting.student.eval(), setting.teacher, method, setting.timesteps)
    x, y = toy_data().train.batch(torch.arange(8)), toy_data().train.labels[:8]
    first, second = (objective.losses({3: x}, y, torch.Generator().manual_seed(0))[0] for _ in range(2))
    assert first == second
    assert setting.teacher is not None
    state = setting.teacher.neuron.v
    assert isinstance(state, torch.Tensor) and state.abs().sum() > 0


@pytest.mark.parametrize("name", sorted(TOY_OPTIONS))
def test_the_default_taps_fit_the_networks_of_the_quickstart(name: str) -> None:
    recipe = load_recipe("quickstart", [f"method={{name: {name}}}"])
    shape = (2, 16, 16)
    student, teacher = build_student(recipe, shape, 10), build_teacher(recipe, shape, 10)
    assert len(build_method(recipe.method, Setting(student, teacher, shape, 10, recipe.timesteps)).parts) == 1


@pytest.mark.parametrize("name", sorted(TOY_OPTIONS))
def test_recipes_choose_the_methods_and_their_faults_are_named(name: str) -> None:
    options = toy_recipe(f"method.name={name}", "method.ce=0.5").method[0].resolve(METHODS)
    assert options.model_dump()["ce"] == 0.5
    with pytest.raises(ConfigError) as failure:
        toy_recipe(f"method.name={name}", "method.ce=-1", "method.teperature=2")
    assert {p.where for p in failure.value.problems} == {"method.ce", "method.teperature"}
