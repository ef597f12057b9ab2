"""Which recordings of a folder are samples of which class: by a table, or by the names of folders.

::

    root/recordings.csv       path,label,split[,start_us,stop_us][,frames]
    root/<class>/*            without a table
    root/train/<class>/*      ... and with validation and test beside train, or train and test alone
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.data.formats.chosen import READERS
from snn_deploy.data.options.frames import MAX_TIME

PARTS = ("train", "validation", "test")
MAX_TABLE_BYTES = 64 << 20
MAX_FRAMES_BYTES = 1 << 20

_SHOWN = 20
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NEEDED = ("path", "label", "split")
_TIMES = ("start_us", "stop_us")
_OPTIONAL = (*_TIMES, "frames")


class Line(NamedTuple):
    """A sample: a recording or a part of it, its label and its part of the set, and the bounds of its frames
    where they are stated. Without a stated ``split`` it is empty."""

    path: str
    label: str
    split: str
    start: int | None = None
    stop: int | None = None
    frames: tuple[int, ...] | None = None


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
            lines, problems = _parse(rows, root, path.resolve())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The table '{path}' cannot be read: {error}.") from None
    if problems:
        more = f" The first {_SHOWN} are:" if len(problems) > _SHOWN else ""
        raise DataError(f"{len(problems)} lines of '{path}' are wrong.{more}", problems=problems[:_SHOWN])
    for part in ("train", "test"):
        if not any(line.split == part for line in lines):
            raise DataError(f"'{path}' has no line whose split is '{part}'.")
    return lines


def _parse(rows: csv.DictReader[str], root: Path, table: Path) -> tuple[list[Line], list[Problem]]:
    lines, problems = [], []
    inside = root.resolve()
    for row in rows:
        where = f"line {rows.line_num}"
        try:
            lines.append(_line(row, inside, table))
        except ValueError as error:
            problems.append(Problem(where, str(error)))
    return lines, problems


def _line(row: dict[str, str], root: Path, table: Path) -> Line:
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
    if path == table:
        raise ValueError(f"'{name}' is of no known format: it is this table")
    if not path.is_file():
        raise ValueError(f"there is no file '{name}'")
    start, stop = (_time(row.get(column)) for column in _TIMES)
    if start is not None and stop is not None and start >= stop:
        raise ValueError(f"it ends at {stop} us, not after its start at {start}")
    frames = _frames(row.get("frames"), root)
    return Line(path.relative_to(root).as_posix(), label, split, start, stop, frames)


def _time(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdigit():
        raise ValueError(f"the time '{text}'; times are whole microseconds")
    if len(text) > 16 or int(text) > MAX_TIME:
        raise ValueError(f"the time '{text[:40]}'; the limit is {MAX_TIME} us")
    return int(text)


def _frames(name: str | None, root: Path) -> tuple[int, ...] | None:
    """The times in a file that the table names: one a line, each after the one before."""
    if not name:
        return None
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise ValueError(f"there is no file '{name}' in the folder")
    if path.stat().st_size > MAX_FRAMES_BYTES:
        raise ValueError(f"'{name}' has more than {MAX_FRAMES_BYTES} bytes")
    times = tuple(_time(word) or 0 for word in path.read_text("ascii", "replace").split())
    if len(times) < 2 or any(b <= a for a, b in itertools.pairwise(times)):
        raise ValueError(f"'{name}' has no two or more times, each after the one before")
    return times


def list_classes(root: Path) -> list[Line]:
    """The recordings in folders of classes, without a stated split unless the folders state it.

    Raises:
        DataError: there are no such folders, or a split of them has no recording.
    """
    parts = [part for part in PARTS if (root / part).is_dir()]
    if not {"train", "test"} <= set(parts):
        return list(_of_classes(root, root, ""))
    lines = [line for part in parts for line in _of_classes(root / part, root, part)]
    if lacking := [part for part in parts if not any(line.split == part for line in lines)]:
        raise DataError(f"'{root}' has no recording in {' and '.join(lacking)}.")
    return lines


def _of_classes(folder: Path, root: Path, split: str) -> Iterator[Line]:
    if not folder.is_dir():
        return
    for within in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in sorted(within.iterdir()):
            if path.suffix.lower() in READERS and path.is_file():
                yield Line(path.relative_to(root).as_posix(), within.name, split)
