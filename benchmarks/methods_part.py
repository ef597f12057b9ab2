"""The data set ``part``: a drawn part of another set for a student, other samples of it for its teacher.

The training samples of the set are divided once, class by class: ``teacher`` of them train the teacher,
``tested`` are tested besides its test samples, and from the rest each ``draw`` takes a student's ``labelled``
and ``unlabelled`` ones. So no student and no teacher ever sees what is tested, and no teacher a student's
samples. It is a division of our own.

In place of the labels of unlabelled samples stand ``guesses``, the classes that a teacher sees in them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn.functional import avg_pool2d

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import DATASETS, Options
from snn_deploy.data.sets.images import ImageSplit, TrainingView, hold_out
from snn_deploy.data.types import DataSet, Split
from snn_deploy.recipes.recipe import Component

Ints = NDArray[np.int64]


class PartOptions(Options):
    """Options of ``part``.

    Attributes:
        of: the whole set, as a recipe's ``data`` section.
        shrink: side of the blocks of pixels of images that are averaged.
        teacher, tested, labelled, unlabelled: numbers of samples; see the module's text.
        draw: chooses the student's samples.
        use: which samples are trained on. Of ``labelled`` ones alone an epoch shows each as often as makes
            it as long as one of all of the student's, so that steps are equal.
        guesses: ``.npy`` file with the classes of the unlabelled samples, in their order.
        trial: test on the validation samples, for choices that must not see the others.
    """

    of: dict[str, Any]
    shrink: int = Field(default=1, ge=1)
    teacher: int = Field(default=0, ge=0)
    tested: int = Field(default=0, ge=0)
    labelled: int = Field(ge=1)
    unlabelled: int = Field(default=0, ge=0)
    draw: int = Field(default=0, ge=0)
    use: Literal["student", "labelled", "unlabelled", "teacher"] = "student"
    guesses: Path | None = None
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """The samples ``rows`` of several splits one after the other, with ``labels``. Implements ``Split``."""

    parts: tuple[Split, ...]
    rows: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Inputs of the samples ``indices``: float32 ``[T, B, C, H, W]``."""
        rows = self.rows[indices]
        found: list[tuple[torch.Tensor, torch.Tensor]] = []
        start = 0
        for part in self.parts:
            mine = ((rows >= start) & (rows < start + len(part))).nonzero()[:, 0]
            if len(mine):
                found.append((mine, part.batch(rows[mine] - start)))
            start += len(part)
        places, inputs = zip(*found, strict=True)
        return torch.cat(inputs, 1)[:, torch.cat(places).argsort()]


class Division(NamedTuple):
    """Sample numbers."""

    teacher: Ints
    tested: Ints
    labelled: Ints
    unlabelled: Ints


def divide(labels: Ints, options: PartOptions) -> Division:
    """Who gets which of the samples with ``labels``; each part has its share of every class.

    Raises:
        ConfigError: more are asked for than there are.
    """
    wanted = options.teacher + options.tested + options.labelled + options.unlabelled
    if wanted > len(labels):
        raise ConfigError(f"There are {len(labels)} training samples; {wanted} are asked for.")
    teacher, rest = _take(np.arange(len(labels)), labels, options.teacher)
    tested, rest = _take(rest, labels, options.tested)
    rest = np.random.default_rng(options.draw).permutation(rest)
    labelled, rest = _take(rest, labels, options.labelled)
    unlabelled, _ = _take(rest, labels, options.unlabelled)
    return Division(teacher, tested, np.sort(labelled), np.sort(unlabelled))


def _take(rows: Ints, labels: Ints, count: int) -> tuple[Ints, Ints]:
    """``count`` of ``rows``, spread evenly over each class, and the others."""
    if count == len(rows):
        return rows, rows[:0]
    kept, held = hold_out(labels[rows], count)
    return rows[held], rows[kept]


@DATASETS.register("part", options=PartOptions)
def part(options: PartOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """A drawn part of another set.

    Raises:
        ConfigError: the set does not have so many samples, or guesses are missing.
    """
    whole = _whole(json.dumps(options.of), options.shrink, timesteps, cache)
    true = whole.train.labels.numpy()
    division = divide(true, options)
    rows, labels = _trained_on(division, true, options)
    count = len(true)
    test = np.concatenate([division.tested, np.arange(count, count + len(whole.test))])
    every = np.concatenate([true, whole.test.labels.numpy()])
    return replace(
        whole,
        name=f"{whole.name}, a part",
        train=_rows((whole.train,), rows, labels),
        test=whole.validation if options.trial else _rows((whole.train, whole.test), test, every[test]),
        source=None if whole.source is None else _rows((whole.source,), rows, labels),
        digest=_digest(whole, options, rows, labels),
        notes=(*whole.notes, *_notes(options)),
    )


@functools.lru_cache(maxsize=2)
def _whole(of: str, shrink: int, timesteps: int, cache: Path | None) -> DataSet:
    """The set of the ``data`` section ``of`` (JSON), which many runs have parts of."""
    section = Component.model_validate_json(of)
    options = section.resolve(DATASETS)
    whole: DataSet = DATASETS.get(section.name).factory(options, timesteps=timesteps, cache=cache)
    return shrunk(whole, shrink) if shrink > 1 else whole


def _trained_on(division: Division, true: Ints, options: PartOptions) -> tuple[Ints, Ints]:
    """Sample numbers and their labels."""
    if options.use in {"teacher", "unlabelled"}:
        rows = getattr(division, options.use)
        return rows, true[rows]
    labelled, unlabelled = division.labelled, division.unlabelled
    if options.use == "labelled" or not len(unlabelled):
        rows = np.resize(labelled, len(labelled) + len(unlabelled))
        return rows, true[rows]
    if options.guesses is None:
        raise ConfigError("Of unlabelled samples 'guesses' must name the file of a teacher's classes.")
    guesses = np.load(options.guesses, allow_pickle=False)
    return np.concatenate([labelled, unlabelled]), np.concatenate([true[labelled], guesses])


def _rows(parts: tuple[Split, ...], rows: Ints, labels: Ints) -> Rows:
    return Rows(parts, torch.from_numpy(rows), torch.from_numpy(labels))


def _digest(whole: DataSet, options: PartOptions, rows: Ints, labels: Ints) -> str:
    content = f"part {whole.digest} {options.shrink} {options.tested} {options.trial}".encode()
    return hashlib.sha256(content + rows.tobytes() + labels.tobytes()).hexdigest()


def _notes(options: PartOptions) -> list[str]:
    told = f"Our own division of the training samples, class by class: {options.labelled} labelled"
    if options.unlabelled:
        told += f" and {options.unlabelled} unlabelled"
    told += " ones train a student"
    if options.teacher:
        told += f", {options.teacher} others its teacher"
    if options.tested:
        told += f"; {options.tested} that are in none of these are tested besides the test samples"
    notes = [f"{told}."]
    if options.shrink > 1:
        notes.append(f"Blocks of {options.shrink}x{options.shrink} pixels are averaged.")
    return notes


def shrunk(whole: DataSet, side: int) -> DataSet:
    """A set of still images, blocks of ``side x side`` pixels of which are averaged and rounded."""
    channels, height, width = whole.shape
    size = (height // side, width // side)
    known: dict[int, torch.Tensor] = {}

    def small(split: Split) -> Split:
        assert isinstance(split, ImageSplit)
        if split.pixels.data_ptr() not in known:
            pooled = avg_pool2d(split.pixels.float(), side).round().to(torch.uint8)
            known[split.pixels.data_ptr()] = pooled
        return replace(split, pixels=known[split.pixels.data_ptr()])

    view = whole.augment
    return replace(
        whole,
        shape=(channels, *size),
        train=small(whole.train),
        validation=small(whole.validation),
        test=small(whole.test),
        source=None if whole.source is None else small(whole.source),
        augment=replace(view, size=size) if isinstance(view, TrainingView) else view,
        digest=f"{whole.digest} / {side}",
    )
