"""Data, networks and steps of a recipe on the device that is not there."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from cuda_fake.device import CUDA
from cuda_fake.watch import Watch
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.augment.frames import augment as augment_frames
from snn_deploy.data.declared import declared
from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.data.options.images import ImageAugmentOptions, ImageOptions
from snn_deploy.data.sets.images import (
    NORMALIZATIONS,
    ImageSplit,
    TrainingView,
    View,
    show_pixels,
)
from snn_deploy.data.types import DataSet, Split
from snn_deploy.distill.batches import Batches
from snn_deploy.distill.divergence import check_weights
from snn_deploy.distill.evaluate import evaluate
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.distill.optimizer import make_optimizer
from snn_deploy.distill.step import GradientStep
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.processes.world import ALONE
from snn_deploy.recipes.recipe import Recipe


def images(
    recipe: Recipe, options: ImageOptions, samples: int, shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Splits of a set of images that lies on the device."""
    pixels = torch.zeros(samples, *shape, dtype=torch.uint8, device=CUDA)
    numbers = torch.zeros(samples, dtype=torch.int64, device=CUDA)
    normalization = None if options.normalize is None else NORMALIZATIONS[options.normalize]
    view = View(recipe.timesteps, options.encoding, normalization)
    shown = ImageSplit(pixels, numbers, numbers, view.show)
    augment = TrainingView(view, options.augment or ImageAugmentOptions(), shape[1:])
    return {"validation": shown, "augment": augment, "source": shown.shown(show_pixels)}


def frames(options: Any, steps: int, samples: int, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Splits of a set of recordings that lies on the device."""
    numbers = torch.zeros(samples, dtype=torch.int64, device=CUDA)
    split = ArraySplit(torch.zeros(samples, steps, *shape, dtype=torch.uint8, device=CUDA), numbers, numbers)
    augment = None if options.augment is None else lambda x, g: augment_frames(x, g, options.augment)
    return {"validation": split, "augment": augment}


class Step:
    """One training step and one evaluation of ``recipe``, on batches of ``batch``."""

    def __init__(self, recipe: Recipe, batch: int) -> None:
        self.recipe, self.batch = recipe, batch
        options = recipe.data.resolve(DATASETS)
        seen = declared(recipe.data.name, options)
        classes = seen.classes or 1000
        still = isinstance(options, ImageOptions)
        parts = (
            images(recipe, options, 2 * batch, seen.shape)
            if still
            else frames(options, recipe.timesteps, 2 * batch, seen.shape)
        )
        validation = parts["validation"]
        names = tuple(str(number) for number in range(classes))
        self.data = DataSet("fake", seen.shape, names, validation, test=validation, digest="", **parts)
        self.student = build_student(recipe, seen.shape, classes).to(CUDA)
        teacher = build_teacher(recipe, seen.shape, classes).to(CUDA) if recipe.teacher else None
        smoothing = recipe.train.label_smoothing
        setting = Setting(
            self.student,
            teacher,
            seen.shape,
            classes,
            recipe.timesteps,
            smoothing,
            steady=still or seen.steady,
        )
        method = build_method(recipe.method, setting).to(CUDA)
        self.objective = DistillObjective(
            self.student, teacher, method, recipe.timesteps, recompute=recipe.train.recompute
        )
        splits: dict[int, Split] = {}
        for steps in method.passes:
            splits[steps] = (
                parts["source"].shown(partial(show_pixels, timesteps=steps))
                if still
                else frames(options, steps, 2 * batch, seen.shape)["validation"]
            )
        batches = Batches(self.data, splits, CUDA, 0, recipe.train.mix)
        self.gradients = GradientStep(self.objective, batches, recipe.train, CUDA, ALONE, 0)
        self.optimizer = make_optimizer(recipe.train, (self.student, method))
        self.modules: tuple[nn.Module, ...] = (self.student, method)

    def train(self) -> tuple[Watch, Watch]:
        """What the gradients of a batch take, and what the update of the weights takes."""
        for module in self.modules:
            module.train()
        indices = torch.arange(self.batch, device=CUDA)
        self.gradients(0, 0, indices)
        with Watch() as gradients:
            self.gradients(1, 0, indices)
        with Watch() as update:
            self.optimizer.step()
        return gradients, update

    def check(self) -> Watch:
        """What the look for weights that are lost takes."""
        with Watch() as watch:
            check_weights("student", 1, self.student.state_dict())
        return watch

    def evaluate(self) -> Watch:
        """What the evaluation of a split of two batches takes."""
        network, predict = self.student, self.objective.predict
        with Watch() as watch:
            evaluate(network, predict, self.data.validation, device=CUDA, batch_size=self.batch)
        return watch
