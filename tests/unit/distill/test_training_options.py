"""Options that change speed and memory, and numbers at most in their last digits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.methods import TOY_OPTIONS, make
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe
from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.loading.resident import resident
from snn_deploy.data.sets.images import ImageSplit
from snn_deploy.data.types import DataSet
from snn_deploy.distill.batches import Batches
from snn_deploy.distill.kernels import kernels
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.objective import DistillObjective, LabelObjective
from snn_deploy.distill.recompute import recomputed
from snn_deploy.distill.run import distill
from snn_deploy.distill.step import GradientStep
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.processes.world import ALONE
from snn_deploy.recipes.recipe import TrainSpec
from snn_deploy.recipes.run_folder import Run

CPU = torch.device("cpu")
FIRES = ("student.neuron.v_threshold=0.05", "student.readout=linear")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))


def trained(method: str, spec: TrainSpec, **options: object) -> dict[str, torch.Tensor]:
    """Losses of three steps, the last gradients, and all weights and statistics afterwards."""
    recipe = toy_recipe(*FIRES, "student.blocks=[{channels: 4, stride: 2}, {channels: 5}]")
    torch.manual_seed(2)
    student = build_student(recipe, SHAPE, CLASSES)
    student.get_submodule("block2").add_module("dropout", nn.Dropout(0.2))
    teacher = build_teacher(recipe, SHAPE, CLASSES)
    setting = Setting(student, teacher, SHAPE, CLASSES, 3)
    made = make(method, setting, **options)
    objective = DistillObjective(student, teacher, made, 3, recompute=spec.recompute)
    data, train = toy_data(), {steps: toy_data(steps).train for steps in made.passes}
    step = GradientStep(objective, Batches(data, train, CPU, 5), spec, CPU, ALONE, 5)
    optimizer = torch.optim.SGD(student.parameters(), 0.1)
    found = {}
    for number in range(3):
        optimizer.zero_grad()
        found[f"step {number}"] = step(number, 0, torch.arange(number, number + 9)).values
        optimizer.step()
    found |= {f"gradient {name}": p.grad for name, p in student.named_parameters() if p.grad is not None}
    return found | student.state_dict()


@pytest.mark.parametrize("method", ["tser", "tssd", "bkd"])
def test_recomputed_activations_give_the_same_gradients_and_statistics(
    method: str,
) -> None:
    kept = trained(method, TrainSpec(epochs=1))
    again = trained(method, TrainSpec(epochs=1, recompute=True))
    assert any(name.startswith("gradient") and bool(value.any()) for name, value in kept.items())
    assert again.keys() == kept.keys()
    for name, value in kept.items():
        assert torch.equal(again[name], value), name


def test_only_sequences_of_blocks_are_recomputed() -> None:
    class Other(nn.Module):
        pass

    with pytest.raises(
        ConfigError, match=r"train\.recompute wants a sequence of blocks; this network is a Other"
    ):
        recomputed(Other(), torch.zeros(1))


@pytest.mark.parametrize("layout", ["on", "off"])
def test_channels_last_reaches_the_convolutions_of_every_network(layout: str) -> None:
    recipe, last = toy_recipe(*FIRES), torch.channels_last
    student, teacher = build_student(recipe, SHAPE, CLASSES), build_teacher(recipe, SHAPE, CLASSES)
    made = make("tser", Setting(student, teacher, SHAPE, CLASSES, 3))
    objective, data = DistillObjective(student, teacher, made, 3), toy_data()
    layouts = []
    for network in (student, teacher):
        conv = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
        conv.register_forward_pre_hook(lambda _, x: layouts.append(x[0].flatten(0, -4)))
    spec = TrainSpec(epochs=1, channels_last=layout)  # type: ignore[arg-type]
    GradientStep(objective, Batches(data, {3: data.train}, CPU, 5), spec, CPU, ALONE, 5)(
        0, 0, torch.arange(8)
    )
    weights = student.get_submodule("block1.conv").weight
    assert [x.is_contiguous(memory_format=last) for x in (weights, *layouts)] == 3 * [layout == "on"]


def test_channels_last_computes_the_same() -> None:
    """With an analogue network: a last digit can decide whether a neuron spikes."""
    values = []
    for layout in ("on", "off"):
        torch.manual_seed(3)
        objective = LabelObjective(build_teacher(toy_recipe(), SHAPE, CLASSES), 3, 0.0)
        spec, data = TrainSpec(epochs=1, channels_last=layout), toy_data()  # type: ignore[arg-type]
        step = GradientStep(objective, Batches(data, {3: data.train}, CPU, 5), spec, CPU, ALONE, 5)
        values.append(step(0, 0, torch.arange(16)).values)
        values[-1] = torch.cat([values[-1], *(p.grad.flatten() for p in objective.network.parameters())])
    torch.testing.assert_close(values[0], values[1], atol=1e-6, rtol=1e-5)


def losses(folder: Path, data: DataSet, *overrides: str) -> list[dict[str, float]]:
    recipe = toy_recipe(*overrides)
    run = Run.create(folder, recipe)
    distill(recipe, data, run, device="cpu")
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    return [{"loss": line["loss"], **line["terms"]} for line in lines if line["kind"] == "step"]


def test_bfloat16_on_a_cpu_is_asked_for_and_gives_the_same_losses_every_time(tmp_path: Path) -> None:
    data = toy_data()
    plain, half, again = (
        losses(tmp_path / name, data, *FIRES, f"train.amp={amp}")
        for name, amp in (("auto", "auto"), ("on", "on"), ("again", "on"))
    )
    assert half == again
    assert half != plain
    assert half[0]["loss"] == pytest.approx(plain[0]["loss"], rel=0.05)
    environment = json.loads((tmp_path / "on" / "environment.json").read_text())
    assert environment["neurons"] == "compiled loops"


def test_logits_asked_once_give_the_losses_of_logits_asked_always(tmp_path: Path) -> None:
    data = replace(toy_data(), augment=None)
    always = losses(tmp_path / "a", data, "train.teacher_logits=always")
    once = losses(tmp_path / "b", data, "train.teacher_logits=once")
    assert len(always) == len(once) == 9
    for ours, theirs in zip(once, always, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


class Counting(nn.Module):
    """A teacher that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(SHAPE[0] * SHAPE[1] * SHAPE[2], CLASSES)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        logits: torch.Tensor = self.linear(x.flatten(1))
        return logits


@pytest.mark.parametrize(("augment", "calls"), [(False, 3), (True, 9)])
def test_the_teacher_is_asked_once_where_samples_do_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augment: bool, calls: int
) -> None:
    """3 batches make 40 samples; 9 make three epochs."""
    from snn_deploy.distill import run as module
    from snn_deploy.distill.teacher import Teacher

    teacher = Counting()
    monkeypatch.setattr(module, "obtain_teacher", lambda *_: Teacher(teacher, "trained"))
    monkeypatch.setattr(module, "sha256_file", lambda _: "")
    seen: list[int] = []
    monkeypatch.setattr(module, "_teacher_result", lambda *_: seen.append(teacher.calls) or {})
    recipe, data = toy_recipe(), toy_data() if augment else replace(toy_data(), augment=None)
    distill(recipe, data, Run.create(tmp_path / "run", recipe), device="cpu")
    assert seen == [calls]


@pytest.mark.parametrize(
    ("overrides", "augment", "reason"),
    [
        ([], True, "augmentation changes the samples"),
        (["train.mix={mixup: 1.0}"], False, "samples are mixed"),
        ([f"method={json.dumps({'name': 'bkd', **TOY_OPTIONS['bkd']})}"], False, "looks inside the teacher"),
    ],
)
def test_logits_that_cannot_be_known_are_refused(
    tmp_path: Path, overrides: list[str], augment: bool, reason: str
) -> None:
    data = toy_data() if augment else replace(toy_data(), augment=None)
    with pytest.raises(ConfigError, match=reason):
        losses(tmp_path / "run", data, "train.teacher_logits=once", "teacher.train.epochs=1", *overrides)


def test_a_split_goes_to_the_device_where_it_fits() -> None:
    split, device = toy_data().train, torch.device("meta")
    size = 40 * 3 * SHAPE[0] * SHAPE[1] * SHAPE[2]
    assert resident(split, device, 2 * size - 1) is split
    moved = resident(split, device, 2 * size)
    assert moved.batch(torch.arange(4)).device == device  # type: ignore[attr-defined]
    pixels = torch.zeros((5, 3, 4, 4), dtype=torch.uint8)
    images = ImageSplit(pixels, torch.zeros(5), torch.arange(5))
    assert resident(images, device, 5 * 48 * 2 - 1) is images
    assert resident(images, device, 5 * 48 * 2).labels.device == device


def test_deterministic_kernels_are_asked_for_and_given_back() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with kernels(torch.device("cuda"), deterministic=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    with kernels(torch.device("cuda"), deterministic=False):
        assert torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
