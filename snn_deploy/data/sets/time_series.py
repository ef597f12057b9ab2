"""``time-series``: real-valued series of the UEA and UCR archives, one value of each dimension in a step.

::

    root/PROBLEM_TRAIN.ts  PROBLEM_TEST.ts      (:mod:`snn_deploy.data.formats.series`)

A frame is ``[1, 1, D]``. Each dimension is brought to mean 0 and standard deviation 1 over all steps of the
training series. A series begins at the first step; behind its end frames are 0, and what is longer than T is
cut (our choice).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.formats.series import SeriesFile, read_series
from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.data.options.sets import TimeSeriesOptions
from snn_deploy.data.sets.images import array_digest
from snn_deploy.data.sets.roots import found_root
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

_WHERE_TO_GET = (
    "Give the folder of the two .ts files: -o data.root=PATH. The archives are at "
    "https://www.timeseriesclassification.com; the package aeon brings JapaneseVowels and some more, which "
    "are found by themselves where it is installed."
)


@DATASETS.register("time-series")
def time_series(options: TimeSeriesOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """Real-valued series of the UEA and UCR archives, such as speech or movement; your own download.

    Args:
        options: which problem, and where its files are.
        timesteps: number of frames T.
        cache: not used, the files are read directly.

    Raises:
        DataError: a file is missing, damaged or of other dimensions, or the two do not belong together.
    """
    root = _root(options)
    files = [root / f"{options.problem}_{part}.ts" for part in ("TRAIN", "TEST")]
    if lacking := [file.name for file in files if not file.is_file()]:
        raise DataError(f"There is no {' and no '.join(lacking)} at '{root}'.", hint=_WHERE_TO_GET)
    given, tested = (read_series(file) for file in files)
    for file, found in zip(files, (given, tested), strict=True):
        if found.series[0].shape[1] != options.dimensions:
            raise DataError(
                f"The series of '{file.name}' have {found.series[0].shape[1]} dimensions, not "
                f"{options.dimensions}.",
                hint=f"-o data.dimensions={found.series[0].shape[1]}",
            )
    if given.classes != tested.classes:
        raise DataError(f"The two files of '{options.problem}' name different classes.")
    rows = stratified_split(given.labels, (1 - options.validation, options.validation))
    steps = np.concatenate([given.series[row] for row in rows[0]])
    mean, deviation = steps.mean(0, dtype=np.float64), steps.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    frames = [_frames(file, mean, deviation, timesteps) for file in (given, tested)]
    parts = [(frames[0], given.labels, rows[0]), (frames[0], given.labels, rows[1])]
    parts += [(frames[1], tested.labels, np.arange(len(tested.labels)))]
    splits = [
        ArraySplit(torch.from_numpy(x), torch.from_numpy(of), torch.from_numpy(labels[of]))
        for x, labels, of in parts
    ]
    return DataSet(
        name="time-series",
        shape=(1, 1, frames[0].shape[-1]),
        classes=given.classes,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        digest=array_digest(*frames, given.labels, tested.labels, *rows),
        notes=tuple(_notes(options, given, tested, timesteps)),
    )


def _root(options: TimeSeriesOptions) -> Path:
    """The folder that is stated; else the first of the usual places that has the problem."""
    if options.root is not None:
        return options.root.expanduser()
    package = find_spec("aeon")
    others = []
    if package is not None and package.origin is not None:
        others.append(Path(package.origin).parent / "datasets" / "data" / options.problem)
    return found_root(f"UEA/{options.problem}", *others)


def _frames(
    file: SeriesFile, mean: NDArray[np.float64], deviation: NDArray[np.float64], timesteps: int
) -> NDArray[np.float32]:
    """``[N, T, 1, 1, D]``."""
    frames = np.zeros((len(file.series), timesteps, 1, 1, len(mean)), np.float32)
    for frame, series in zip(frames, file.series, strict=True):
        frame[: len(series), 0, 0] = (series[:timesteps] - mean) / deviation
    return frames


def _notes(options: TimeSeriesOptions, given: SeriesFile, tested: SeriesFile, timesteps: int) -> list[str]:
    series = (*given.series, *tested.series)
    lengths = [len(one) for one in series]
    notes = [
        f"{options.problem}: {len(given.series)} series to train and {len(tested.series)} to test, of "
        f"{min(lengths)} to {max(lengths)} steps. {options.validation:.0%} of the training series of each "
        "class are held out for validation."
    ]
    if cut := sum(length > timesteps for length in lengths):
        notes.append(f"{cut} of {len(series)} series are longer than {timesteps} steps, and cut.")
    return notes
