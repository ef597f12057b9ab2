"""Build what a recipe trains, without data and without numbers, so that what cannot be built is refused."""

from __future__ import annotations

import torch

from snn_deploy.core.registry import DATASETS
from snn_deploy.data.declared import ANY_CLASSES, declared
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.recipes.recipe import Recipe


def build_without_numbers(recipe: Recipe) -> DistillObjective:
    """Student, teacher and method of ``recipe``, on torch's device ``meta``: shapes alone.

    Raises:
        ConfigError: a network does not fit the data, a method does not fit the networks, or what the data
            look like is known only when they are read.
        MissingOptionalError: a network is of a package that is not installed.
    """
    shape, known, steady = declared(recipe.data.name, recipe.data.resolve(DATASETS))
    classes = known or ANY_CLASSES
    smoothing = recipe.train.label_smoothing
    with torch.device("meta"):
        student = build_student(recipe, shape, classes)
        teacher = None if recipe.teacher is None else build_teacher(recipe, shape, classes)
        setting = Setting(student, teacher, shape, classes, recipe.timesteps, smoothing, steady)
        method = build_method(recipe.method, setting)
        built = DistillObjective(student, teacher, method, recipe.timesteps)
        built.predict(torch.zeros(recipe.timesteps, 1, *shape))
    return built
