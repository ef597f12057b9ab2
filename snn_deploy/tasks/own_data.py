"""Data of a user's own, that a network is shown: ``FILE.py:NAME``, or what such code would give."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch

from snn_deploy.data.sets.own_arrays import as_data_set
from snn_deploy.data.types import DataSet
from snn_deploy.recipes.own_code import OwnCode
from snn_deploy.recipes.own_parts import data_of


def open_own_data(name: str, arguments: dict[str, Any], timesteps: int | None) -> tuple[DataSet, str]:
    """The data set of ``FILE.py:NAME``, which naming it permits to run, and a sentence about it.

    Its ``test`` part is shown; samples without parts are all for test. ``timesteps``: of images, which are
    repeated; frames have their own.

    Raises:
        ConfigError: the code fails, or does not take ``arguments``.
        DataError: it gives no data.
    """
    code = OwnCode.of(name)
    dataset = _made(code, code.sha256, json.dumps(arguments, sort_keys=True), timesteps)
    return dataset, shown(dataset, f"{code.name} of {code.file.name}")


def given_data(data: Any, timesteps: int | None) -> DataSet | str | None:
    """``data`` as :func:`snn_deploy.tasks.samples.load_samples` takes it: names and paths as texts, arrays
    and the like as a data set, images in ``timesteps`` steps.

    Raises:
        DataError: it is no data.
    """
    if data is None or isinstance(data, str | DataSet):
        return data
    if isinstance(data, Path):
        return str(data)
    return as_data_set(data, "data", timesteps, Path(), divide=False)


def shown(dataset: DataSet, name: str) -> str:
    """A sentence about a data set of the user's own."""
    return f"Data: {name}, {len(dataset.test)} samples of {steps_of(dataset)} frames, as they are given."


def steps_of(dataset: DataSet) -> int:
    """T of its samples."""
    return int(dataset.test.batch(torch.zeros(1, dtype=torch.int64)).shape[0])


@functools.lru_cache(maxsize=1)
def _made(code: OwnCode, _sha256: str, arguments: str, timesteps: int | None) -> DataSet:
    made: DataSet = data_of(code, json.loads(arguments), timesteps, code.file.resolve().parent, divide=False)
    return made
