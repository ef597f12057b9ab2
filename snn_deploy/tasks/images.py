"""Still images for a conversion: test images with labels, and training images to calibrate on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.files import sha256_file
from snn_deploy.data.sets.splits import spread
from snn_deploy.data.types import DataSet
from snn_deploy.recipes.own_code import is_own_code
from snn_deploy.recipes.recipe import Component, Recipe
from snn_deploy.tasks.data_options import apply_options, chosen_data
from snn_deploy.tasks.samples import read_samples

CHECKED_STEPS = 2
"""Frames that must be the same image."""
ANY_CLASSES = 1 << 20


@dataclass(frozen=True, slots=True)
class Images:
    """Images ``[N, *shape]``.

    Attributes:
        test, labels: what accuracies are measured on.
        calibration: what thresholds, starts and weights are chosen on; never test images.
        classes: names, where the data have them.
        component: the data set as recipes have it; None for files and code, which must be named again.
        description: where they come from.
        data: the whole data set, each image shown in :data:`CHECKED_STEPS` frames; None for files.
    """

    test: torch.Tensor
    labels: torch.Tensor
    calibration: torch.Tensor
    classes: tuple[str, ...]
    component: Component | None
    description: dict[str, Any]
    data: DataSet | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return tuple(self.test.shape[1:])

    @property
    def whole_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``, which every data set's images have."""
        channels, height, width = self.shape
        return channels, height, width

    @property
    def labels_to(self) -> int:
        """Number of classes: of their names, or as many as the labels need."""
        return len(self.classes) or int(self.labels.max()) + 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images are asked for.

    Attributes:
        data: a data set's name, ``FILE.py:NAME``, or a ``.npz`` with ``x [T, N, *shape]`` and ``y [N]``.
        calibration: a ``.npz`` of training images, which a file of test images needs beside it.
        samples: how many test images, None for all.
        images: how many calibration images.
        overrides: options of a data set by name, ``data.KEY=VALUE``.
    """

    data: str | None
    calibration: str | None
    samples: int | None
    images: int
    overrides: tuple[str, ...] = ()


def load_images(recipe: Recipe | None, wanted: Wanted) -> Images:
    """The images that are ``wanted``, by default those of ``recipe``, of a run.

    Raises:
        ConfigError: no data, no labels, no training images, or frames that differ: an ANN sees one image.
    """
    if wanted.data is not None and wanted.data.endswith(".npz"):
        return _of_file(Path(wanted.data), wanted)
    if wanted.calibration is not None:
        raise ConfigError("--calibration is for test images in a file; a data set has training images.")
    stated = None if recipe is None else recipe.data
    name = wanted.data or (stated.name if stated is not None else None)
    if name is None:
        raise ConfigError(
            "The conversion needs images: some of the training split to calibrate on, and test images.",
            hint="Add --data NAME (see: snn-deploy ls data), --data FILE.py:NAME, or --data test.npz with "
            "--calibration train.npz.",
        )
    component = None if is_own_code(name) else _component(name, stated, wanted.overrides)
    overrides = wanted.overrides if component is None else ()
    dataset, how = chosen_data(component, name, CHECKED_STEPS, overrides)
    chosen = spread(len(dataset.test), wanted.samples)
    kept = spread(len(dataset.train), wanted.images)
    return Images(
        test=_stills(dataset.test.batch(chosen), name),
        labels=dataset.test.labels[chosen],
        calibration=_stills(dataset.train.batch(kept), name),
        classes=tuple(dataset.classes),
        component=component,
        description={
            "name": dataset.name,
            "digest": dataset.digest,
            "split": "test",
            "samples": len(chosen),
            "of": len(dataset.test),
            "notes": list(dataset.notes),
            "frames": how,
        },
        data=dataset,
    )


def _component(name: str, stated: Component | None, overrides: Sequence[str]) -> Component:
    """The data set ``name`` with its options, those of ``stated`` where it is the same.

    Raises:
        ConfigError: ``overrides`` that are no options of data.
    """
    known = stated.model_dump() if stated is not None and stated.name == name else {"name": name}
    content: dict[str, Any] = {"data": known}
    if problems := apply_options(content, overrides):
        raise ConfigError(f"The data set '{name}' cannot be opened so.", problems=problems)
    return Component.model_validate(content["data"])


def _of_file(path: Path, wanted: Wanted) -> Images:
    calibration = wanted.calibration
    if calibration is None:
        raise ConfigError(
            f"'{path}' holds test images; the conversion must not choose anything on them.",
            hint="Add training images: --calibration train.npz with x [T, N, ...]",
        )
    loaded = read_samples(path, "mean", wanted.samples, ANY_CLASSES)
    if loaded.test.labels is None:
        raise ConfigError(f"'{path}' holds no labels y [N], which accuracies need.")
    training = read_samples(Path(calibration), "mean", wanted.images, ANY_CLASSES)
    description = {**loaded.description, "calibration_digest": sha256_file(Path(calibration))}
    test = _stills(loaded.test.x, str(path))
    shown = _stills(training.test.x, calibration)
    if shown.shape[1:] != test.shape[1:]:
        raise ConfigError(
            f"'{calibration}' holds images of shape {tuple(shown.shape[1:])}, "
            f"'{path}' of {tuple(test.shape[1:])}."
        )
    return Images(test, loaded.test.labels, shown, (), None, description)


def _stills(x: torch.Tensor, name: str) -> torch.Tensor:
    """``[N, *shape]`` of frames ``[T, N, *shape]`` that are all the same.

    Raises:
        ConfigError: they differ.
    """
    if not torch.equal(x[:1].expand_as(x), x):
        raise ConfigError(
            f"The frames of a sample of '{name}' differ; an ANN that is converted sees one image.",
            hint="Use still images, data.encoding=direct, or distil: snn-deploy distill",
        )
    return x[0].contiguous()
