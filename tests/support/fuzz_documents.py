"""Valid documents and tables, and who reads them: targets of fuzzing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.documents import dump_yaml
from snn_deploy.core.errors import ConfigError
from snn_deploy.data.sets.event_table import read_table
from snn_deploy.hardware.profile import parse_profile
from snn_deploy.recipes.recipe import load_recipe, parse_recipe
from snn_deploy.recipes.search_space import parse_space
from support.fuzz_target import Target
from support.mutation import blind, in_text

RECIPES = ("quickstart", "nmnist-tser", "bkd-cifar10-resnet19", "samd-nld-cifar10dvs-resnet20")
PROFILES = ("loihi1-davies", "speck2f", "truenorth-0.8v")
SPACE = (
    b"train.lr: {low: 1.0e-4, high: 1.0e-2, log: true}\nseed: [0, 1, 2]\nstudent.width: [16, true, a, null]\n"
)
TABLE = (
    "path,label,split,start_us,stop_us\n"
    + "".join(
        f"a.bin,{label},{part},{number},{number + 100}\n"
        for number, (label, part) in enumerate(
            (label, part) for label in ("cat", "dög", "10") for part in ("train", "validation", "test")
        )
    )
).encode()


@cache
def _shipped(folder: str, names: tuple[str, ...]) -> list[bytes]:
    return [(asset_dir(folder) / f"{name}.yaml").read_bytes() for name in names]


def run_recipe(path: Path) -> None:
    """What every command does with a recipe: the one that a run keeps is the same."""
    recipe = parse_recipe(path.read_bytes(), origin=path.name)
    assert parse_recipe(dump_yaml(recipe.to_dict())).digest() == recipe.digest()


def run_override(path: Path) -> None:
    """A line of the command line."""
    load_recipe("quickstart", [path.read_bytes().decode("utf-8", "replace")]).digest()


def run_table(path: Path) -> None:
    """A table of recordings, whose folder holds one file."""
    (path.parent / "a.bin").write_bytes(b"\x01\x01\x80\x00\x01")
    read_table(path, path.parent)


OVERRIDES = [b"train.lr=1e-3", b"seed=3", b"data={name: digits-dvs}", b"train.amp=off"]

DOCUMENTS = {
    "recipe": Target(
        ".yaml", lambda: _shipped("distill", RECIPES), (blind, in_text), run_recipe, (ConfigError,)
    ),
    "profile": Target(
        ".yaml",
        lambda: _shipped("hardware_profiles", PROFILES),
        (blind, in_text),
        lambda path: str(parse_profile(path.read_bytes(), origin=path.name)) and None,
        (ConfigError,),
    ),
    "space": Target(
        ".yaml",
        lambda: [SPACE],
        (blind, in_text),
        lambda path: str(parse_space(path.read_bytes(), path.name)) and None,
        (ConfigError,),
    ),
    "override": Target(".txt", lambda: OVERRIDES, (blind, in_text), run_override, (ConfigError,)),
    "table": Target(".csv", lambda: [TABLE], (blind, in_text), run_table),
}
