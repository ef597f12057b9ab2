"""Every shipped recipe loads and builds its networks and its method; the small ones take a step."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from support.data import real_data
from support.recipes import declared
from torch import nn

from snn_deploy.core.assets import asset_names
from snn_deploy.core.registry import DATASETS
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.models.neurons import spiking_layers
from snn_deploy.recipes.recipe import Recipe, load_recipe
from snn_deploy.tasks.build import build_without_numbers

NAMES = asset_names("distill")
SMALL = [
    name for name in NAMES if name.removeprefix("short-").startswith(("quickstart", "digits-", "nmnist-"))
]
WIDTHS = {"vit_small_patch16_224": 384, "vit_base_patch16_224": 768}


class StandIn(nn.Module):
    """A transformer of timm as far as recipes see it: pooled features at ``fc_norm``."""

    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.fc_norm = nn.Identity()
        self.embed = nn.Conv2d(channels, width, 16, 16)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.fc_norm(self.embed(x).mean((2, 3))))
        return logits


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("timm")
    package.create_model = lambda model, pretrained, num_classes, in_chans: StandIn(  # type: ignore[attr-defined]
        WIDTHS[model], in_chans, num_classes
    )
    monkeypatch.setitem(sys.modules, "timm", package)


SAMD = [name for name in NAMES if any(part.name == "samd_nld" for part in load_recipe(name).method)]


def build(recipe: Recipe) -> DistillObjective:
    shape, classes = declared(recipe)
    student = build_student(recipe, shape, classes)
    teacher = None if recipe.teacher is None else build_teacher(recipe, shape, classes)
    setting = Setting(student, teacher, shape, classes, recipe.timesteps, recipe.train.label_smoothing)
    return DistillObjective(student, teacher, build_method(recipe.method, setting), recipe.timesteps)


NARROW = ["student.widths=[4, 4, 8, 8]", "teacher.widths=[4, 4, 8, 8]"]
NARROW3 = ["student.widths=[4, 4, 8]", "teacher.widths=[4, 4, 8]"]
SLIM: dict[str, list[str]] = {
    "tser-cifar100-resnet18": NARROW,
    "samd-nld-cifar10-resnet19-t1": NARROW3,
    "bkd-cifar100-resnet19": NARROW3,
    "bkd-cifar10-spikformer-2-384": ["student.width=16", "student.heads=2", "teacher.size=32"],
    "bkd-cifar10dvs-sew-resnet": ["student.widths=[4, 4, 4, 4, 8, 8, 8]", NARROW[1], "data.resize=[64, 64]"],
    "bkd-imagenet-sew-resnet34": [NARROW[0], "data.size=64"],
    "tssd-dvsgesture-vgg9": ["student.stages=[[4], [4, 4], [8], [8]]", "student.hidden=[16]"],
    "s2w-cifar10dvs-vggsnn": ["student.stages=[[4, 4], [4], [8], [8]]"],
    "w2s-dvsgesture-qkformer": ["student.width=16", "student.heads=[1, 1, 2]", "data.resize=[32, 32]"],
    "none-dvsgesture-dvs-csnn": ["student.stages=[[4], [4], [4], [4], [4]]", "student.hidden=[16]"],
}
"""Large recipes with narrow networks, for a step that takes no time."""


@pytest.mark.parametrize("name", [*SMALL, *SLIM])
def test_a_recipe_takes_a_step(name: str) -> None:
    torch.manual_seed(0)
    recipe = load_recipe(name, SLIM.get(name, []))
    shape, classes = declared(recipe)
    objective = build(recipe)
    inputs = {steps: (torch.rand(steps, 4, *shape) < 0.2).float() for steps in objective.passes}
    terms, scores = objective.losses(inputs, torch.arange(4), torch.Generator())
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert scores.shape == (4, classes)
    assert loss.isfinite()
    assert all(p.grad is not None for p in objective.network.parameters())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SMALL])
def test_a_large_recipe_builds_and_runs_without_numbers(name: str) -> None:
    recipe = load_recipe(name)
    shape, classes = declared(recipe)
    with torch.device("meta"):
        objective = build(recipe)
        x = torch.zeros(recipe.timesteps, 2, *shape)
        assert objective.predict(x).shape == (2, classes)
        if recipe.teacher is not None:
            assert build_teacher(recipe, shape, classes)(x[0]).shape == (2, classes)
    assert objective.passes
    assert spiking_layers(objective.network)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds_as_validate_says(name: str) -> None:
    built = build_without_numbers(load_recipe(name))
    assert {parameter.device.type for parameter in built.network.parameters()} == {"meta"}


@pytest.mark.parametrize("name", SAMD)
@pytest.mark.parametrize("variant", [["ours"], ["official-code"], ["raw-counts", "method.samd=0.02"]])
def test_every_row_of_samd_builds_in_every_variant(name: str, variant: list[str]) -> None:
    assert build_without_numbers(
        load_recipe(name, [f"method.variant={variant[0]}", *variant[1:]])
    ).has_teacher


def test_heads_of_the_released_resnets_are_one_linear_layer() -> None:
    """Linear(512, 256) and Linear(256, K) with nothing between are one Linear(512, K)."""
    for name in SAMD:
        if "-resnet19-" in name:
            recipe = load_recipe(name)
            shape, classes = declared(recipe)
            with torch.device("meta"):
                networks = (build_student(recipe, shape, classes), build_teacher(recipe, shape, classes))
            for network in networks:
                heads = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Linear)]
                assert heads == [(classes, 512)]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_described_and_reproduces_one_row(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.description
    needs_teacher = recipe.teacher is not None and recipe.teacher.train is None
    assert not needs_teacher or "teacher.checkpoint=" in recipe.description
    if recipe.published is not None:
        method, data, *_network = name.replace("samd-nld", "samd_nld").split("-")
        assert method in {*(part.name for part in recipe.method), *_directions(recipe)}
        assert data in {"imagenet", recipe.data.name.replace("-", "")}
        assert recipe.published.grade in {"C", "P2", "S", "T", "R"}
        assert recipe.published.accuracy is None or 50 < recipe.published.accuracy < 100


@pytest.mark.parametrize(
    ("name", "folder", "override"),
    [
        ("short-cifar10-resnet20-public", "cifar-10-batches-py", "data.verify=false"),
        ("short-nmnist-ms-resnet", "NMNIST", "data.skip_damaged=false"),
    ],
)
def test_declared_shapes_are_those_of_the_data(name: str, folder: str, override: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, [f"data.root={real_data(folder)}", override])
    factory = DATASETS.get(recipe.data.name).factory
    data = factory(recipe.data.resolve(DATASETS), timesteps=recipe.timesteps, cache=tmp_path)
    assert (data.shape, len(data.classes)) == declared(recipe)


def _directions(recipe: Recipe) -> set[str]:
    return {str((part.model_extra or {}).get("direction")) for part in recipe.method}


def test_rows_whose_scripts_choose_on_the_test_set_say_so() -> None:
    published = {name: load_recipe(name).published for name in NAMES}
    said = {name for name, row in published.items() if row and "on the test set" in row.note}
    released = {n for n in NAMES if n.startswith("bkd-") and not n.endswith("-resnet19")}
    released |= {n for n in NAMES if n.startswith("samd-nld-cifar") and "-resnet19-" in n}
    assert said == released != set()


@pytest.mark.parametrize("name", ["digits-baseline", "digits-every-t", "digits-kd"])
def test_comparison_recipes_differ_from_the_quickstart_only_in_the_method(name: str) -> None:
    quickstart, other = load_recipe("quickstart").to_dict(), load_recipe(name).to_dict()
    different = {key for key in quickstart if quickstart[key] != other[key]}
    assert different <= {"name", "description", "method", "teacher", "measured"}
    assert other["teacher"] in (None, quickstart["teacher"])
