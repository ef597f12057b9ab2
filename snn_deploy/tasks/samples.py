"""Real samples for a network: of a data set by name, or of a ``.npz`` file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snn_deploy.core.contract import EventFrames, ImageSteps
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.parsing import named_damage
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.sets.splits import spread
from snn_deploy.data.types import DataSet
from snn_deploy.export.accuracy import before_use, recorded_accuracy
from snn_deploy.export.base import Calibration
from snn_deploy.export.input_contract import beyond
from snn_deploy.export.manifest import Network
from snn_deploy.export.verify import Samples
from snn_deploy.graph.passes.micro_steps.schedule import Schedule, read_schedule
from snn_deploy.graph.semantics import Decode
from snn_deploy.recipes.recipe import Component, Recipe
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.contract import contract_for
from snn_deploy.tasks.data_options import chosen_data
from snn_deploy.tasks.own_data import shown
from snn_deploy.tasks.source import Source

CALIBRATION_SAMPLES = 128
MAX_SAMPLES_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class LoadedSamples:
    """Test samples, calibration samples, where they come from, and how they were made, if that is known."""

    test: Samples
    calibration: Calibration
    description: dict[str, Any]
    made: EventFrames | ImageSteps | None = None


def network_of(
    source: Source, data: DataSet | str | None, samples: int | None, overrides: Sequence[str] = ()
) -> Network:
    """``source`` with real samples of the test split and calibration samples of the training split.

    That of a ``.net`` file is its graph, in real numbers: what other formats can say of it.

    Raises:
        UnsupportedError: a ``.net`` file has no graph.
    """
    if source.refusal is not None:
        raise source.refusal
    loaded = load_samples(source, data, samples, overrides)
    result = source.provenance.get("result")
    as_trained = source.kind == "run" and data is None and not overrides
    own_data = as_trained and "micro_steps" not in source.provenance
    contract = contract_for(source, loaded.test.x, loaded.made)
    known = (*before_use(result, len(loaded.test)), beyond(loaded.test.x, contract))
    return Network(
        name=source.name,
        plan=source.plan,
        executable=Reference(source.plan) if source.kind == "net" else source.executable,
        student=source.student,
        samples=loaded.test,
        calibration=loaded.calibration,
        provenance={
            **source.provenance,
            "data": loaded.description,
            "before_use": [sentence for sentence in known if sentence],
        },
        recorded=recorded_accuracy(result) if own_data else None,
        proof=source.proof,
        judge=_judge(source),
        contract=contract,
    )


def _judge(source: Source) -> str:
    if "micro_steps" in source.provenance:
        return "the network in micro-steps"
    return "the module itself" if source.kind == "module" else "the trained student"


def load_samples(
    source: Source, data: DataSet | str | None, count: int | None, overrides: Sequence[str] = ()
) -> LoadedSamples:
    """Samples for ``source``: its recipe's data set, a data set or its name, or a ``.npz`` file.

    Args:
        source: the network that will see them.
        data: a data set, registry name, path of a ``.npz`` with ``x [T, N, *shape]`` and optionally
            ``y [N]``, ``FILE.py:NAME``, or None for the data set the network was trained on.
        count: how many test samples; None for all.
        overrides: options of a data set; see :func:`snn_deploy.tasks.data_options.chosen_data`.
    """
    if isinstance(data, str) and data.endswith(".npz"):
        if overrides:
            raise ConfigError(f"'{data}' holds frames; -o is for data sets by name.")
        loaded = read_samples(
            Path(data), source.semantics.decode, count, prod(source.plan.shapes[source.plan.output])
        )
    else:
        loaded = _dataset_samples(source, data, count, overrides)
    if source.still and loaded.test.x.shape[0] == 1:
        loaded = _repeated(loaded, _steps(source) or 1)
    schedule = read_schedule(source.plan.graph)
    if schedule is not None and tuple(loaded.test.x.shape[2:]) == schedule.shape:
        loaded = _in_frames(loaded, schedule)
    expected = source.plan.shapes[source.plan.input]
    given = tuple(loaded.test.x.shape[2:])
    if given != expected:
        raise ConfigError(f"'{source.name}' takes samples of shape {expected}; the data have {given}.")
    return loaded


def _steps(source: Source) -> int | None:
    """T of the samples that are shown to ``source``, of which micro-steps are made; None where it is open."""
    schedule = read_schedule(source.plan.graph)
    return source.semantics.timesteps if schedule is None else schedule.steps


def _repeated(loaded: LoadedSamples, steps: int) -> LoadedSamples:
    """Single frames, each in every one of ``steps`` steps."""

    def longer(x: torch.Tensor) -> torch.Tensor:
        return x.expand(steps, *x.shape[1:])

    return replace(
        loaded,
        test=replace(loaded.test, x=longer(loaded.test.x)),
        calibration=replace(loaded.calibration, x=longer(loaded.calibration.x)),
        description={
            **loaded.description,
            "frames": f"{loaded.description['frames']} Each image is shown in {steps} steps.",
        },
    )


def _in_frames(loaded: LoadedSamples, schedule: Schedule) -> LoadedSamples:
    """Samples of steps as samples of micro-steps."""
    told = f"{loaded.description.get('frames', '')} A step is {2 * schedule.levels} micro-steps.".strip()
    return replace(
        loaded,
        test=replace(loaded.test, x=schedule.frames(loaded.test.x)),
        calibration=replace(loaded.calibration, x=schedule.frames(loaded.calibration.x)),
        description={**loaded.description, "frames": told},
        made=None,
    )


def load_data(recipe: Recipe, name: str | None = None) -> DataSet:
    """The data set of a recipe, or another one by ``name`` with its default options."""
    component = recipe.data if name in {None, recipe.data.name} else Component(name=str(name))
    options = component.resolve(DATASETS)
    dataset: DataSet = DATASETS.get(component.name).factory(options, timesteps=recipe.timesteps, cache=None)
    return dataset


def validation_samples(
    source: Source, data: DataSet | str | None, count: int, overrides: Sequence[str] = ()
) -> Samples:
    """At most ``count`` labelled samples of the validation split, on which something may be chosen.

    Raises:
        ConfigError: the data have no such split.
    """
    if isinstance(data, str) and data.endswith(".npz"):
        raise ConfigError(
            f"'{data}' has no validation split, on which to choose a threshold.",
            hint="State it: --exit-at 0.9",
        )
    dataset, _ = _dataset(source, data, overrides)
    chosen = spread(len(dataset.validation), count)
    x = dataset.validation.batch(chosen)
    if source.still and x.shape[0] == 1:
        x = x.expand(_steps(source) or 1, *x.shape[1:])
    return Samples(x, dataset.validation.labels[chosen], source.semantics.decode)


def _dataset(source: Source, data: DataSet | str | None, overrides: Sequence[str]) -> tuple[DataSet, str]:
    """The data set and how its frames are made.

    Raises:
        ConfigError: nobody says which one, or it has more classes than the network has outputs.
    """
    recipe = source.recipe
    stated = source.shown if recipe is None else recipe.data
    if data is None and stated is not None:
        data = stated.name
    if data is None:
        raise ConfigError(
            f"'{source.name}' does not say which data it is for.",
            hint="Add --data NAME (see: snn-deploy ls data), --data FILE.npz with x [T, N, ...] and y [N], "
            "or --data FILE.py:NAME.",
        )
    steps = recipe.timesteps if recipe is not None else _steps(source)
    dataset, how = (
        (data, shown(data, data.name))
        if isinstance(data, DataSet)
        else chosen_data(stated, data, steps, overrides)
    )
    outputs = prod(source.plan.shapes[source.plan.output])
    if int(dataset.test.labels.max()) >= outputs:
        raise ConfigError(
            f"'{source.name}' has {outputs} outputs; '{dataset.name}' has {len(dataset.classes)} classes."
        )
    return dataset, how


def _dataset_samples(
    source: Source, data: DataSet | str | None, count: int | None, overrides: Sequence[str]
) -> LoadedSamples:
    dataset, how = _dataset(source, data, overrides)
    total = len(dataset.test)
    chosen = spread(total, count)
    calibration = spread(len(dataset.train), CALIBRATION_SAMPLES)
    return LoadedSamples(
        Samples(dataset.test.batch(chosen), dataset.test.labels[chosen], source.semantics.decode),
        Calibration(dataset.train.batch(calibration), dataset.train.labels[calibration]),
        {
            "name": dataset.name,
            "digest": dataset.digest,
            "split": "test",
            "samples": len(chosen),
            "of": total,
            "notes": list(dataset.notes),
            "frames": how,
        },
        dataset.made,
    )


def read_samples(path: Path, decode: Decode, count: int | None, classes: int) -> LoadedSamples:
    """Samples of a ``.npz`` file, the first ``count`` of them to test, with labels of ``classes`` classes;
    see :func:`load_samples`.

    Raises:
        DataError: it is missing or damaged, is no ``x [T, N, *shape]`` with ``y [N]``, holds nothing, or
            labels that no class has.
    """
    if not path.is_file():
        raise DataError(f"There is no file '{path}'.")
    with named_damage(f"'{path}' cannot be read as samples", unreadable=f"'{path}' cannot be read"):
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_SAMPLES_BYTES:
            raise DataError(f"'{path}' unpacks to {size} bytes; at most {MAX_SAMPLES_BYTES} are read.")
        with np.load(path, allow_pickle=False) as content:
            x = torch.from_numpy(np.asarray(content["x"], dtype=np.float32))
            labels = np.asarray(content["y"]) if "y" in content else None
    y = None if labels is None else _labels(path, labels, classes)
    if x.ndim < 3 or not bool(torch.isfinite(x).all()) or (y is not None and y.shape != x.shape[1:2]):
        raise DataError(f"'{path}': x must be finite, [T, N, ...], and y [N]; x has shape {tuple(x.shape)}.")
    if not x.shape[0] or not x.shape[1]:
        raise DataError(f"'{path}' holds {x.shape[1]} samples of {x.shape[0]} steps; at least one of each.")
    calibration = Calibration(x[:, :CALIBRATION_SAMPLES], None if y is None else y[:CALIBRATION_SAMPLES])
    chosen = Samples(x[:, :count], None if y is None else y[:count], decode)
    description = {
        "name": path.name,
        "digest": sha256_file(path),
        "split": "file",
        "samples": len(chosen),
        "of": int(x.shape[1]),
        "notes": [],
        "frames": f"Data: {path.name}, {len(chosen)} of {x.shape[1]} samples of {x.shape[0]} frames.",
    }
    return LoadedSamples(chosen, calibration, description)


def frames_shape(path: Path) -> tuple[int, ...]:
    """T and the shape of the frames in a ``.npz`` file, from the header of ``x [T, N, *shape]``.

    Raises:
        DataError: it is missing or damaged.
    """
    if not path.is_file():
        raise DataError(f"There is no file '{path}'.")
    with named_damage(f"'{path}' cannot be read as samples", unreadable=f"'{path}' cannot be read"):
        with zipfile.ZipFile(path) as archive, archive.open("x.npy") as file:
            read = np.lib.format.read_array_header_1_0
            if np.lib.format.read_magic(file) != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape = read(file)[0]
        steps, _, *rest = shape
        return (steps, *rest)


def _labels(path: Path, given: np.ndarray[Any, Any], classes: int) -> torch.Tensor:
    """Labels ``[N]`` of ``classes`` classes.

    Raises:
        DataError: they are no integers, or of no such class.
    """
    if given.dtype.kind not in "iuf" or not np.array_equal(given, np.rint(given)):
        raise DataError(f"'{path}': the labels y must be integers; found {given.dtype} values.")
    if given.size and not 0 <= given.min() <= given.max() < classes:
        raise DataError(
            f"'{path}': the labels y must be 0 to {classes - 1}, the classes of the network; found "
            f"{int(given.min())} to {int(given.max())}."
        )
    return torch.from_numpy(given.astype(np.int64))
