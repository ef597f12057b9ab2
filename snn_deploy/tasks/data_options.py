"""Which data a network is shown: a data set with options from the command line, and a sentence about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.registry import DATASETS, Options
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.data.types import DataSet
from snn_deploy.recipes.recipe import Component, Recipe, apply_override

SAID = ("binning", "window", "binary", "polarity", "denoise_us", "centre", "crop", "downsample", "resize")
"""The options that decide what a frame holds."""


def chosen_data(
    recipe: Recipe | None, name: str, timesteps: int, overrides: Sequence[str]
) -> tuple[DataSet, str]:
    """The data set ``name`` (with the options that the recipe has for it), and how it becomes frames.

    ``overrides``: ``data.KEY=VALUE`` and ``timesteps=T``.

    Raises:
        ConfigError: other keys, or values that the data set does not take.
    """
    known: dict[str, Any] = {"name": name}
    if recipe is not None and recipe.data.name == name:
        known = recipe.data.model_dump()
    content: dict[str, Any] = {"data": known, "timesteps": timesteps}
    problems = []
    for override in overrides:
        key = override.partition("=")[0]
        if key != "timesteps" and (not key.startswith("data.") or key == "data.name"):
            problems.append(Problem(override, "cannot be set here", "data.KEY=VALUE or timesteps=T"))
        elif fault := apply_override(content, override):
            problems.append(fault)
    steps = content["timesteps"]
    if not isinstance(steps, int) or steps < 1:
        problems.append(Problem("timesteps", f"{steps!r}", "a whole number of at least 1"))
    if not problems:
        try:
            component = Component.model_validate(content["data"])
            options = component.resolve(DATASETS)
        except ValidationError as error:
            problems += [Problem(f"data.{'.'.join(map(str, e['loc']))}", e["msg"]) for e in error.errors()]
    if problems:
        raise ConfigError(f"The data set '{name}' cannot be opened so.", problems=problems)
    dataset: DataSet = DATASETS.get(name).factory(options, timesteps=steps, cache=None)
    return dataset, _sentence(name, options, steps)


def _sentence(name: str, options: Options, steps: int) -> str:
    if not isinstance(options, FrameOptions):
        return f"Data: {name}, T = {steps}; state others with -o timesteps=T or -o data.KEY=VALUE."
    values = options.model_dump(include=set(SAID))
    said = ", ".join(f"{key}={values[key]}" for key in SAID if values.get(key) not in (None, False, 0, 1))
    return (
        f"Data: {name}, each recording as {steps} frames ({said}, binary={options.binary}); "
        "state others with -o timesteps=T or -o data.KEY=VALUE."
    )
