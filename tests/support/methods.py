"""Build distillation methods on the toy networks, and random numbers for their losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, Terms
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.models.load import build_student, build_teacher
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe

TAPS = {"student_tap": "block1.neuron", "teacher_tap": "block1.relu"}
"""Where the toy networks have their last feature maps: 4 channels, 3x3."""

TOY_OPTIONS: dict[str, dict[str, Any]] = {
    "tser": {},
    "tssd": {"weak_tap": "block1.neuron"},
    "samd_nld": TAPS,
    "bkd": TAPS,
    "s2w": {},
    "twd": {},
    "seal": {},
}
"""What each method must be told to fit the toy networks."""


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """Normal numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def toy_setting(*overrides: str, teacher: nn.Module | bool = True, steady: bool = False) -> Setting:
    """Toy student and teacher, seeded; ``overrides`` change the toy recipe. Untrained, the student spikes."""
    recipe = toy_recipe("student.readout=linear", "student.neuron.v_threshold=0.05", *overrides)
    torch.manual_seed(1)
    student = build_student(recipe, SHAPE, CLASSES)
    made = build_teacher(recipe, SHAPE, CLASSES) if teacher is True else teacher or None
    return Setting(student, made, SHAPE, CLASSES, recipe.timesteps, steady=steady)


def make(name: str, setting: Setting, **options: Any) -> Any:
    """The method ``name`` with ``options`` beside those the toy networks need."""
    entry = METHODS.get(name)
    return entry.factory(entry.options.model_validate({**TOY_OPTIONS[name], **options}), setting)


class Recorder(Method):
    """Wants what ``method`` wants, and keeps what it is offered."""

    offered: DistillBatch

    def __init__(self, method: Method, setting: Setting) -> None:
        super().__init__(setting)
        for want in ("student_taps", "teacher_taps", "teacher_gradients", "passes"):
            setattr(self, want, getattr(method, want))

    def losses(self, batch: DistillBatch) -> Terms:
        self.offered = batch
        return {}


def offered(method: Method, setting: Setting, seed: int = 0) -> DistillBatch:
    """What one training step on 8 toy samples offers to ``method``, with the student in eval mode."""
    recorder = Recorder(method, setting)
    objective = DistillObjective(setting.student.eval(), setting.teacher, recorder, setting.timesteps)
    inputs = {steps: toy_data(steps).train.batch(torch.arange(8)) for steps in method.passes}
    objective.losses(inputs, toy_data().train.labels[:8], torch.Generator().manual_seed(seed))
    return recorder.offered
