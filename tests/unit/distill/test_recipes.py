"""Every shipped recipe loads, builds and takes one training step."""

from __future__ import annotations

import pytest
import torch

from snn_deploy.assets import asset_names
from snn_deploy.distill.method import Setting, build_method
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.models.neurons import spiking_layers
from snn_deploy.recipes import load_recipe

SHAPES = {"digits-dvs": (2, 16, 16), "nmnist": (2, 34, 34)}
"""Frame shapes of the data sets, with their default options."""


@pytest.mark.parametrize("name", asset_names("distill"))
def test_a_recipe_builds_and_takes_a_step(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    shape = SHAPES[recipe.data.name]
    student = build_student(recipe, shape, 10)
    teacher = None if recipe.teacher is None else build_teacher(recipe, shape, 10)
    method = build_method(recipe.method, Setting(student, teacher, shape, 10, recipe.timesteps))
    objective = DistillObjective(student, teacher, method, recipe.timesteps)
    inputs = {steps: (torch.rand(steps, 4, *shape) < 0.2).float() for steps in method.passes}
    terms, scores = objective.losses(inputs, torch.arange(4), torch.Generator())
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert scores.shape == (4, 10)
    assert loss.isfinite()
    assert spiking_layers(student)


@pytest.mark.parametrize("name", ["digits-baseline", "digits-kd"])
def test_comparison_recipes_differ_from_the_quickstart_only_in_the_method(name: str) -> None:
    quickstart, other = load_recipe("quickstart").to_dict(), load_recipe(name).to_dict()
    different = {key for key in quickstart if quickstart[key] != other[key]}
    assert different <= {"name", "description", "method", "teacher"}
    assert other["teacher"] in (None, quickstart["teacher"])
