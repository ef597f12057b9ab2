from __future__ import annotations

from pathlib import Path

import pytest
import torch
from spikingjelly.activation_based import layer
from support.methods import make
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe
from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.batches import Batches
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.distill.run import distill
from snn_deploy.distill.step import GradientStep
from snn_deploy.models.load import build_teacher
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions
from snn_deploy.processes.world import ALONE
from snn_deploy.recipes.recipe import MixSpec, TrainSpec
from snn_deploy.recipes.run_folder import Run

CPU = torch.device("cpu")
INDICES = torch.arange(13).flip(0)


def student() -> nn.Sequential:
    """Without batch norm, whose statistics are those of a part of the batch."""
    width = SHAPE[0] * SHAPE[1] * SHAPE[2]
    return nn.Sequential(
        layer.Flatten(step_mode="m"),
        layer.Linear(width, 16, step_mode="m"),
        make_neuron(NeuronOptions(v_threshold=0.2)),
        layer.Linear(16, CLASSES, step_mode="m"),
    )


def gradients(method: str, spec: TrainSpec, steps: int = 3, **options: object) -> list[torch.Tensor]:
    """Losses, terms and hits of some steps, and the gradients after the last."""
    torch.manual_seed(0)
    network = student()
    teacher = build_teacher(toy_recipe(), SHAPE, CLASSES)
    setting = Setting(network, teacher, SHAPE, CLASSES, 3)
    objective = DistillObjective(network, teacher, make(method, setting, **options), 3)
    data = toy_data()
    step = GradientStep(objective, Batches(data, {3: data.train}, CPU, 5, spec.mix), spec, CPU, ALONE, 5)
    values = []
    for number in range(steps):
        network.zero_grad()
        values.append(step(number, 0, INDICES + number).values)
    return [*values, *(p.grad for p in network.parameters() if p.grad is not None)]


@pytest.mark.parametrize("parts", [2, 5, 13, 40])
@pytest.mark.parametrize("mix", [None, MixSpec(mixup=1.0), MixSpec(cutmix=1.0)])
@pytest.mark.parametrize(
    ("method", "options"), [("tser", {}), ("samd_nld", {"samd": 0, "teacher_tap": "block1.relu"})]
)
def test_parts_of_a_batch_add_up_to_its_gradients(
    method: str, options: dict[str, object], mix: MixSpec | None, parts: int
) -> None:
    whole = gradients(method, TrainSpec(epochs=1, mix=mix), **options)
    found = gradients(method, TrainSpec(epochs=1, mix=mix, accumulate=parts), **options)
    for ours, theirs in zip(found, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_methods_that_compare_samples_are_not_cut_into_parts(tmp_path: Path) -> None:
    recipe = toy_recipe("teacher=null", "method.name=s2w", "train.accumulate=2")
    with pytest.raises(ConfigError, match=r"compares the samples of a batch, which train\.accumulate"):
        distill(recipe, toy_data(), Run.create(tmp_path / "run", recipe), device="cpu")
