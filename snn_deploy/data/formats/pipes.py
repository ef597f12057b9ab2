"""Events on standard input: lines of text, or records of 16 bytes.

``csv``: ``t,x,y,p`` a line, whole numbers, ``t`` in microseconds; lines that begin with ``#`` or a letter are
passed over. ``bin``: little-endian int64 t, uint16 x, uint16 y, uint8 p and three bytes of padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal

import numpy as np

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.base import Columns

PipeFormat = Literal["csv", "bin"]
RECORD = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<u2", "<u2", "u1"], "itemsize": 16})
MAX_LINE = 256


def read_pipe(stream: BinaryIO, form: PipeFormat, part: int) -> Iterator[Columns]:
    """The events of ``stream`` in parts of at most ``part``, each as soon as it is there.

    Raises:
        DataError: a line or a record is damaged.
    """
    yield from (_lines if form == "csv" else _records)(stream, part)


def _records(stream: BinaryIO, part: int) -> Iterator[Columns]:
    rest = b""
    read = getattr(stream, "read1", stream.read)
    while data := read(part * RECORD.itemsize):
        data = rest + data
        whole = len(data) // RECORD.itemsize * RECORD.itemsize
        rest = data[whole:]
        if whole:
            found = np.frombuffer(data[:whole], RECORD)
            yield Columns(found["x"], found["y"], found["t"], found["p"])
    if rest:
        raise DataError(f"the stream ends within an event: {len(rest)} of {RECORD.itemsize} bytes")


def _lines(stream: BinaryIO, part: int) -> Iterator[Columns]:
    rows: list[list[int]] = []
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        text = line.strip()
        if not text or text[:1] == b"#" or text[:1].isalpha():
            continue
        rows.append(_event(text, number))
        if len(rows) == part:
            yield _columns(rows)
            rows = []
    if rows:
        yield _columns(rows)


def _event(text: bytes, number: int) -> list[int]:
    try:
        t, x, y, p = (int(word) for word in text.split(b","))
    except ValueError:
        raise DataError(f"line {number} is no event 't,x,y,p': {text[:40]!r}") from None
    if not 0 <= t < 1 << 62:
        raise DataError(f"line {number}: a time of {t} microseconds")
    return [t, x, y, p]


def _columns(rows: list[list[int]]) -> Columns:
    try:
        t, x, y, p = np.array(rows, np.int64).T
    except OverflowError:
        raise DataError("an event has a number of more than 64 bits") from None
    return Columns(x, y, t, p)
