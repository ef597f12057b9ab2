"""Which data a network is shown: a data set with options from the command line, and a sentence about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from snn_deploy.core.documents import validation_problems
from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.registry import DATASETS, Options
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.data.types import DataSet
from snn_deploy.recipes.own_code import is_own_code
from snn_deploy.recipes.recipe import Component, apply_override
from snn_deploy.tasks.own_data import open_own_data

SAID = ("binning", "window", "binary", "polarity", "denoise_us", "centre", "crop", "downsample", "resize")
"""The options that decide what a frame holds."""
TIMESTEPS = 8
"""T where neither network nor user states it; our choice."""


def chosen_data(
    stated: Component | None, name: str, timesteps: int | None, overrides: Sequence[str]
) -> tuple[DataSet, str]:
    """The data set ``name`` (with the options that ``stated``, of a recipe, has for it), or the user's own
    ``FILE.py:NAME``, and how it becomes frames.

    ``overrides``: ``data.KEY=VALUE`` and ``timesteps=T``. Without ``timesteps`` own data have those of their
    frames, and a data set has 8.

    Raises:
        ConfigError: other keys, or values that the data set does not take.
    """
    known: dict[str, Any] = {"name": name}
    if stated is not None and stated.name in {name, _full_name(name)}:
        known, name = stated.model_dump(), stated.name
    own = is_own_code(name) and "code_sha256" not in known
    if is_own_code(name) and not own and name not in DATASETS.names():
        raise ConfigError(
            f"'{name}', the data that it was trained on, is code that is not trusted, or not there.",
            hint="Name others, --data FILE.npz, or let it run: --trust",
        )
    if timesteps is None and not own:
        timesteps = TIMESTEPS
    content: dict[str, Any] = {"data": known, "timesteps": timesteps}
    problems = apply_options(content, overrides)
    steps = content["timesteps"]
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        problems.append(Problem("timesteps", f"{steps!r}", "a whole number of at least 1"))
    if not problems and not own:
        try:
            component = Component.model_validate(content["data"])
            options = component.resolve(DATASETS)
        except ValidationError as error:
            problems += validation_problems(error, DATASETS.options(name), "data")
    if problems:
        raise ConfigError(f"The data set '{name}' cannot be opened so.", problems=problems)
    if own:
        arguments = {key: value for key, value in content["data"].items() if key != "name"}
        return open_own_data(name, arguments, steps)
    dataset: DataSet = DATASETS.get(name).factory(options, timesteps=steps, cache=None)
    return dataset, _sentence(name, options, steps)


def apply_options(content: dict[str, Any], overrides: Sequence[str]) -> list[Problem]:
    """Set ``data.KEY=VALUE`` in ``content``, and ``timesteps=T`` where it has those; returns the faults."""
    stepped = "timesteps" in content
    rule = f"data.KEY=VALUE{' or timesteps=T' if stepped else ''}"
    problems = []
    for override in overrides:
        first, *rest = override.partition("=")[0].split(".")
        if (first == "data" and rest and rest[0] != "name") or (
            stepped and first == "timesteps" and not rest
        ):
            fault = apply_override(content, override)
        else:
            fault = Problem(override, "cannot be set here", rule)
        if fault:
            problems.append(fault)
    return problems


def _full_name(name: str) -> str:
    """``FILE.py:NAME`` as recipes of runs have it."""
    if not is_own_code(name):
        return name
    file, _, attribute = name.rpartition(":")
    return f"{Path(file).resolve()}:{attribute}"


def _sentence(name: str, options: Options, steps: int) -> str:
    if not isinstance(options, FrameOptions):
        name = name.rpartition("/")[2]
        return f"Data: {name}, T = {steps}; state others with -o timesteps=T or -o data.KEY=VALUE."
    values = options.model_dump(include=set(SAID))
    said = ", ".join(f"{key}={values[key]}" for key in SAID if values.get(key) not in (None, False, 0, 1))
    return (
        f"Data: {name}, each recording as {steps} frames ({said}, binary={options.binary}); "
        "state others with -o timesteps=T or -o data.KEY=VALUE."
    )
