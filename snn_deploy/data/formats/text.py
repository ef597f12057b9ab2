"""Recordings as text, a line for each event: ``.csv`` and ``.txt``.

Columns are divided by commas, semicolons, tabs or spaces. A first line of words names them, with their unit
where it stands beside the name (``timestamp[us]``); without one they are t, x, y, p, or what the layout says.
v2e's text has its heading behind ``#`` (``timestamp[s] x y polarity``); other lines that begin with ``#`` or
``%`` are passed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.formats.base import Columns
from snn_deploy.data.formats.layout import (
    FIELDS,
    NOTHING_SAID,
    Layout,
    UnknownLayoutError,
    events_of,
    heading,
)

MAX_LINE = 4096
LINES = 1 << 16
"""Of a part."""

_ORDER = ("t", "x", "y", "p")
_COMMENTS = ("#", "%")


class _Table(NamedTuple):
    separator: str | None
    places: tuple[int, ...]
    unit: str | None


def read_text(path: Path, layout: Layout = NOTHING_SAID) -> Iterator[Columns]:
    """The events of a file, in parts."""
    with path.open(encoding="utf-8-sig") as file:
        lines = _lines(file)
        with named_damage("it is no text"):
            table, first = _begin(lines, layout)
        if first is None:
            return
        lines = itertools.chain([first], lines)
        number = 0
        while block := list(itertools.islice(lines, LINES)):
            with named_damage(f"near event {number + 1} it is no table of numbers"):
                values = np.loadtxt(
                    block, delimiter=table.separator, usecols=table.places, ndmin=2, comments=_COMMENTS
                )
            number += len(values)
            yield events_of(dict(zip(FIELDS, values.T, strict=True)), table.unit)


def _lines(file: IO[str]) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DataError(f"a line of more than {MAX_LINE} characters")
        if line.strip():
            yield line


def _begin(lines: Iterator[str], layout: Layout) -> tuple[_Table, str | None]:
    """How the lines are divided, and the first line of numbers."""
    said: str | None = None
    for line in lines:
        if line.startswith(_COMMENTS):
            said = line if _named(line.lstrip("#% "), layout) else said
        elif _is_numbers(line):
            return _table(line, said, layout), line
        elif said is None or not said.startswith(_COMMENTS):
            said = line
        else:
            raise UnknownLayoutError(f"a line '{line.strip()[:60]}' before the first event")
    return _Table(None, (), None), None


def _table(line: str, said: str | None, layout: Layout) -> _Table:
    count = len(_divided(line))
    words = [] if said is None else _divided(said.lstrip("#% "))
    if layout.order is None and words:
        places = [layout.name(field, words) for field in FIELDS]
        if None not in places and len(words) == count:
            at = tuple(words.index(str(name)) for name in places)
            return _Table(_separator(line), at, layout.unit or heading(words[at[FIELDS.index("t")]])[1])
        raise UnknownLayoutError(f"{count} columns under '{' '.join(words)[:80]}'")
    order = layout.order or _ORDER
    if count != len(order):
        raise UnknownLayoutError(f"{count} columns; without a heading they are {', '.join(order)}")
    return _Table(_separator(line), tuple(order.index(field) for field in FIELDS), layout.unit)


def _named(line: str, layout: Layout) -> bool:
    """Whether a comment names all four columns and nothing else stands in it."""
    words = _divided(line)
    return all(layout.name(field, words) is not None for field in FIELDS)


def _is_numbers(line: str) -> bool:
    try:
        return bool([float(word) for word in _divided(line)])
    except ValueError:
        return False


def _separator(line: str) -> str | None:
    return next((mark for mark in (",", ";", "\t") if mark in line), None)


def _divided(line: str) -> list[str]:
    return [word.strip() for word in line.strip().split(_separator(line))]
