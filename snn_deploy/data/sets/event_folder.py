"""``event-folder``: your own recordings, with a table of what they are, or in folders of classes.

::

    root/recordings.csv       path,label,split[,start_us,stop_us][,frames]
    root/...                  files in any known format

``path`` is relative to the folder, ``label`` any text, ``split`` one of train, validation and test. With
``start_us`` and ``stop_us`` a line is a part of its recording (``start_us <= t < stop_us``); several lines
may name the same file. ``frames`` names a file with the T + 1 times of another clock that bound its frames.

Without a table, recordings lie in ``root/<class>/``, or in ``root/train/<class>/`` and
``root/test/<class>/``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats.base import Reader
from snn_deploy.data.formats.chosen import any_frames, read_any
from snn_deploy.data.formats.layout import Layout
from snn_deploy.data.options.sets import EventFolderOptions
from snn_deploy.data.sets.event_table import PARTS, Line, list_classes, ordered, read_table
from snn_deploy.data.sets.recorded import Ints, Samples, recorded_set
from snn_deploy.data.sets.recordings import Recording, file_recording
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet


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
    table = root / options.table
    listed = [] if table.exists() else list_classes(root)
    lines = listed or read_table(table, root)
    if not all(line.split for line in lines):
        lines = _divided(lines, options.test)
    classes = ordered({line.label for line in lines})
    layout = Layout.of(options.columns, options.time_unit)
    reader = partial(read_any, layout=layout)
    recordings, split = _recordings(lines, root, sensor, classes, reader)
    given = any(line.split == "validation" for line in lines)
    return recorded_set(
        "event-folder",
        recordings,
        sensor,
        options,
        partial(_divide, split, None if given else options.validation),
        timesteps=timesteps,
        classes=classes,
        notes=[_rule(root.name, options, listed, given=given)],
        cache=cache,
        where=str(root),
        reading=(layout.order, layout.names and dict(layout.names), layout.unit),
    )


def _rule(name: str, options: EventFolderOptions, listed: Sequence[Line], *, given: bool) -> str:
    """How the recordings are divided."""
    divided = f"divided by the table '{options.table}'"
    if listed and all(line.split for line in listed):
        divided = "divided by their folders"
    elif listed:
        divided = f"the last {options.test:.0%} of each class, in the order of file names, are for test"
    held = f"{options.validation:.0%} of the training samples of each class, spread evenly over the table"
    rule = ("as the table says" if not listed else "as the folders say") if given else held
    return f"Your recordings in '{name}', {divided}; validation: {rule}."


def _divided(lines: Sequence[Line], test: float) -> list[Line]:
    """Lines of a folder without a stated split: of each class the last ones are for test."""
    found: list[Line] = []
    for label in sorted({line.label for line in lines}):
        own = [line for line in lines if line.label == label]
        kept = len(own) - max(1, round(test * len(own)))
        found += [line._replace(split="train" if n < kept else "test") for n, line in enumerate(own)]
    return found


def _recordings(
    lines: Sequence[Line], root: Path, sensor: Sensor, classes: Sequence[str], reader: Reader
) -> tuple[list[Recording], dict[tuple[int, int], int]]:
    """One recording for each file, and the part of each sample by its recording and its place in it."""
    labels = {name: label for label, name in enumerate(classes)}
    by_file: dict[str, list[tuple[Cut, int]]] = {}
    for line in lines:
        cut = Cut(labels[line.label], frames=line.frames)
        cut = cut if line.start is None else cut._replace(start=line.start)
        cut = cut if line.stop is None else cut._replace(stop=line.stop)
        by_file.setdefault(line.path, []).append((cut, PARTS.index(line.split)))
    recordings, split = [], {}
    inside = root.resolve()
    for number, (name, cuts) in enumerate(by_file.items()):
        cuts.sort(key=lambda pair: pair[0].start)
        split.update({(number, place): part for place, (_, part) in enumerate(cuts)})
        recordings.append(
            file_recording(inside / name, inside, reader, sensor, tuple(cut for cut, _ in cuts), any_frames)
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
