"""A sweep as it is kept in its folder, and the recipes of its trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from snn_deploy.core.assets import find_asset
from snn_deploy.core.damage import plain_json, read_bytes, reading
from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.files import write_json
from snn_deploy.recipes.own_parts import Trust
from snn_deploy.recipes.recipe import Recipe, load_recipe, parse_recipe
from snn_deploy.recipes.search_space import Axes, Space, parse_space, probes

_FIXED = ("name", "description", "published", "measured", "sweep")
_AXES: TypeAdapter[Any] = TypeAdapter(Axes)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched.

    Attributes:
        recipe: what every trial starts from.
        space: what is varied.
        profile: hardware profile that prices the energy.
        samples: validation samples on which activity is counted.
        seed: of the sampler.
        owner: identifies the sweep's folder in a storage that several machines share.
    """

    recipe: Recipe
    space: Space
    profile: str
    samples: int
    seed: int
    owner: str

    @property
    def study(self) -> str:
        """Name of the study: the recipe's and a digest of everything that decides what a trial's figures
        mean, so that no two searches are ever mixed."""
        content = [self.recipe.digest(), _plain(self.space), self.profile, self.samples]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.recipe.name}-{digest[:12]}"

    def trial_recipe(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with ``values`` in it.

        Raises:
            ConfigError: they do not go together.
        """
        return _with(self.recipe, values)


def make_plan(
    recipe: str,
    overrides: Sequence[str],
    space: Path | None,
    *,
    profile: str,
    samples: int,
    seed: int,
    trust: Trust = False,
) -> Plan:
    """Read recipe and space and check them: every bound and every choice must make a sound recipe.

    Args:
        recipe: name or file.
        overrides: changes to it.
        space: YAML file; None for the recipe's own ``sweep``.
        profile: name or file of the hardware profile.
        samples: validation samples to count on.
        seed: of the sampler.
        trust: the Python files that the recipe names may be run.

    Raises:
        ConfigError: faults, all of them by name.
    """
    loaded = load_recipe(recipe, overrides, trust=trust)
    axes: Space | None = loaded.sweep
    if space is not None:
        if not space.is_file():
            raise ConfigError(f"There is no search space file at '{space}'.")
        axes = parse_space(space.read_bytes(), str(space))
    if axes is None:
        raise ConfigError(
            f"The recipe '{loaded.name}' has no search space.",
            hint="Add a 'sweep' section to it, or give --space FILE.yaml with lines such as\n"
            "  train.lr: {low: 1.0e-3, high: 1.0e-2, log: true}",
        )
    _check(loaded, axes)
    find_asset("hardware_profiles", profile, "profile")
    return Plan(loaded, axes, profile, samples, seed, uuid4().hex)


def _check(recipe: Recipe, space: Space) -> None:
    problems: list[Problem] = []
    for path, axis in space.items():
        if path.partition(".")[0] in _FIXED:
            problems.append(Problem(path, "changes nothing that is trained"))
            continue
        found: dict[str, Problem] = {}
        for value in probes(axis):
            try:
                _with(recipe, {path: value})
            except ConfigError as error:
                for problem in error.problems or (Problem(path, error.message),):
                    found.setdefault(problem.where, problem)
        problems += found.values()
    if problems:
        raise ConfigError(
            f"{len(problems)} fault(s) in the search space of '{recipe.name}'.", problems=problems
        )


def _with(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    content = {key: value for key, value in recipe.to_dict().items() if key not in _FIXED[1:]}
    overrides = [f"{path}={json.dumps(value)}" for path, value in values.items()]
    return parse_recipe(content, overrides, origin=recipe.name)


def keep_plan(folder: Path, plan: Plan) -> Plan:
    """Put ``plan`` into ``folder``, or take it up again if it is there.

    Raises:
        ConfigError: the folder holds another sweep.
        DataError: the file in it is damaged.
    """
    file = folder / "sweep.json"
    if not file.exists():
        write_json(
            file,
            {
                "recipe": plan.recipe.to_dict(),
                "space": _plain(plan.space),
                "profile": plan.profile,
                "samples": plan.samples,
                "seed": plan.seed,
                "owner": plan.owner,
            },
        )
        return plan
    with reading(file, "sweep", hint="Choose another --dir."):
        kept = plain_json(read_bytes(file))
        recipe = parse_recipe(kept["recipe"], origin=str(file))
        space = _AXES.validate_python(kept["space"])
        before = Plan(recipe, space, kept["profile"], kept["samples"], kept["seed"], kept["owner"])
    if before.study != plan.study:
        raise ConfigError(
            f"'{folder}' holds another sweep: recipe, search space, profile or samples differ.",
            hint="Choose another --dir, or repeat the command that began it.",
        )
    return before


def _plain(space: Space) -> Any:
    return _AXES.dump_python(dict(space), mode="json")
