"""What every reader of a format has in common.

A reader gives the columns of a recording in parts, as the file has them; :func:`checked` makes events of
them. No reader holds more than about a part in memory, however long the recording is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.events.recording import Events, Sensor, in_any_order
from snn_deploy.data.events.timeline import Timeline

PART = 1 << 18
"""Events that a reader hands out at once, about."""

MAX_EVENTS = 1 << 32
"""Of one recording in a compressed format, where a small file can announce any number."""


class Columns(NamedTuple):
    """A part of a recording as it is in the file: vectors of numbers, ``t`` in microseconds."""

    x: NDArray[Any]
    y: NDArray[Any]
    t: NDArray[Any]
    p: NDArray[Any]


Reader = Callable[[Path], Iterator[Columns]]


def checked(parts: Iterable[Columns], sensor: Sensor, timeline: Timeline | None = None) -> Iterator[Events]:
    """Events of untrusted ``parts``, in order of time (see :mod:`snn_deploy.data.events.timeline`).

    Raises:
        DataError: a part cannot be read or is damaged, the clock is set back, or there is no event at all.
    """
    timeline = timeline or Timeline()
    empty = True
    for columns in _guarded(parts):
        if not np.size(columns.t):
            continue
        empty = False
        yield from timeline.push(*in_any_order(*columns, sensor))
    yield from timeline.finish()
    if empty:
        raise DataError("there is no event in it")


def _guarded(parts: Iterable[Columns]) -> Iterator[Columns]:
    source = iter(parts)
    while True:
        with named_damage("cannot be read"):
            columns = next(source, None)
        if columns is None:
            return
        yield columns


def read_exactly(file: IO[bytes], count: int, what: str) -> bytes:
    """The next ``count`` bytes.

    Raises:
        DataError: the file ends before.
    """
    data = file.read(count)
    if len(data) != count:
        raise DataError(f"it ends within {what}: {len(data)} of {count} bytes")
    return data


def record_parts(file: BinaryIO, size: int, per_part: int = PART) -> Iterator[bytes]:
    """The rest of a file of records of ``size`` bytes, in parts of whole records.

    Raises:
        DataError: the last record is cut.
    """
    # A buffer for more than the file holds would cost as much as filling it.
    left = os.fstat(file.fileno()).st_size - file.tell()
    while data := file.read(min(left, size * per_part)):
        left -= len(data)
        if len(data) % size:
            whole = f"whole events of {size} bytes"
            raise DataError(f"{len(data) % size} bytes are left at its end; a recording has {whole}")
        yield data
