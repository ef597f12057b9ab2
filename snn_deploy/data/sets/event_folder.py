"""``event-folder``: your own recordings, with a table of what they are.

::

    root/recordings.csv       path,label,split[,start_us,stop_us]
    root/...                  files in any known format

``path`` is relative to the folder, ``label`` any text, ``split`` one of train, validation and test. With
``start_us`` and ``stop_us`` a line is a part of its recording (``start_us <= t < stop_us``); several lines
may name the same file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snn_deploy.core.errors import ConfigError, DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats.chosen import READERS, read_any
from snn_deploy.data.options.sets import EventFolderOptions
from snn_deploy.data.sets.recorded import (
    Ints,
    Recording,
    Samples,
    file_recording,
    recorded_set,
)
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

PARTS = ("train", "validation", "test")
MAX_TABLE_BYTES = 256 << 20

_SHOWN = 20
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NEEDED = ("path", "label", "split")
_OPTIONAL = ("start_us", "stop_us")


class Line(NamedTuple):
    """A line of the table."""

    path: str
    label: str
    split: str
    start: int | None
    stop: int | None


@DATASETS.register("event-folder")
def event_folder(options: EventFolderOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """Your own event recordings: a folder and a CSV table with path, label and split.

    Args:
        options: where the recordings are and how they become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    Raises:
        ConfigError: no folder is given.
        DataError: the table is missing or wrong, or recordings are damaged (all are named).
    """
    if options.root is None:
        raise ConfigError("The data set 'event-folder' needs a folder.", hint="Give it: -o data.root=PATH")
    if options.download:
        raise ConfigError("The data set 'event-folder' is your own; there is nothing to download.")
    root = options.root.expanduser()
    sensor = Sensor(2, options.height, options.width)
    lines = read_table(root / options.table, root)
    classes = ordered({line.label for line in lines})
    recordings, split = _recordings(lines, root, sensor, classes)
    given = any(line.split == "validation" for line in lines)
    rule = (
        "as the table says"
        if given
        else f"{options.validation:.0%} of the training samples of each class, spread evenly over the table"
    )
    return recorded_set(
        "event-folder",
        recordings,
        sensor,
        options,
        partial(_divide, split, None if given else options.validation),
        timesteps=timesteps,
        classes=classes,
        notes=[
            f"Your recordings in '{root.name}', divided by the table '{options.table}'; validation: {rule}."
        ],
        cache=cache,
        where=str(root),
    )


def ordered(labels: Iterable[str]) -> list[str]:
    """Labels in the order of their numbers if all are whole numbers, else in that of the alphabet."""
    found = sorted(labels)
    return sorted(found, key=int) if all(map(_WHOLE.fullmatch, found)) else found


def read_table(path: Path, root: Path) -> list[Line]:
    """The lines of a table, checked.

    Raises:
        DataError: it cannot be read, lacks a column, or has wrong lines; the first 20 are named.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise DataError(f"'{path}' has more than {MAX_TABLE_BYTES} bytes.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or []
            if lacking := [name for name in _NEEDED if name not in names]:
                known = ", ".join((*_NEEDED, *(f"[{name}]" for name in _OPTIONAL)))
                raise DataError(f"'{path}' lacks the column {', '.join(lacking)}; columns: {known}.")
            lines, problems = _parse(rows, root)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The table '{path}' cannot be read: {error}.") from None
    if problems:
        more = f" The first {_SHOWN} are:" if len(problems) > _SHOWN else ""
        raise DataError(f"{len(problems)} lines of '{path}' are wrong.{more}", problems=problems[:_SHOWN])
    for part in ("train", "test"):
        if not any(line.split == part for line in lines):
            raise DataError(f"'{path}' has no line whose split is '{part}'.")
    return lines


def _parse(rows: csv.DictReader[str], root: Path) -> tuple[list[Line], list[Problem]]:
    lines, problems = [], []
    inside = root.resolve()
    for row in rows:
        where = f"line {rows.line_num}"
        try:
            lines.append(_line(row, inside))
        except ValueError as error:
            problems.append(Problem(where, str(error)))
    return lines, problems


def _line(row: dict[str, str], root: Path) -> Line:
    name, label, split = (row[column] or "" for column in _NEEDED)
    if split not in PARTS:
        raise ValueError(f"the split '{split}'; known: {', '.join(PARTS)}")
    if not label:
        raise ValueError("no label")
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"'{name}' lies outside of the folder")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"'{name}' is of no known format: {', '.join(READERS)}")
    if not path.is_file():
        raise ValueError(f"there is no file '{name}'")
    start, stop = (_time(row.get(column)) for column in _OPTIONAL)
    if start is not None and stop is not None and start >= stop:
        raise ValueError(f"it ends at {stop} us, not after its start at {start}")
    return Line(path.relative_to(root).as_posix(), label, split, start, stop)


def _time(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdigit():
        raise ValueError(f"the time '{text}'; times are whole microseconds")
    return int(text)


def _recordings(
    lines: Sequence[Line], root: Path, sensor: Sensor, classes: Sequence[str]
) -> tuple[list[Recording], dict[tuple[int, int], int]]:
    """One recording for each file, and the part of each sample by its recording and its place in it."""
    labels = {name: label for label, name in enumerate(classes)}
    by_file: dict[str, list[tuple[Cut, int]]] = {}
    for line in lines:
        cut = Cut(labels[line.label])
        cut = cut if line.start is None else cut._replace(start=line.start)
        cut = cut if line.stop is None else cut._replace(stop=line.stop)
        by_file.setdefault(line.path, []).append((cut, PARTS.index(line.split)))
    recordings, split = [], {}
    inside = root.resolve()
    for number, (name, cuts) in enumerate(by_file.items()):
        cuts.sort(key=lambda pair: pair[0].start)
        split.update({(number, place): part for place, (_, part) in enumerate(cuts)})
        recordings.append(
            file_recording(inside / name, inside, read_any, sensor, tuple(cut for cut, _ in cuts))
        )
    return recordings, split


def _divide(split: dict[tuple[int, int], int], validation: float | None, samples: Samples) -> list[Ints]:
    place = _places(samples.recording)
    part = np.array([split[r, p] for r, p in zip(samples.recording.tolist(), place, strict=True)])
    train, held, test = (np.flatnonzero(part == number) for number in range(3))
    if validation is not None:
        kept, taken = stratified_split(samples.labels[train], (1 - validation, validation))
        train, held = train[kept], train[taken]
    return [train, held, test]


def _places(recording: Ints) -> Iterator[int]:
    """The number of each sample within its recording."""
    seen: dict[int, int] = {}
    for number in recording.tolist():
        seen[number] = seen.get(number, -1) + 1
        yield seen[number]
