"""Prophesee's EVT 2.0 and EVT 3.0 recordings: ``.raw`` ("Data Encoding Formats", Metavision SDK).

After text lines that begin with ``%``, one of which names the format, come words, little end first. What a
word says holds until another one says it again; of a word, the upper 4 bits are its type.

::

    EVT 2.0, 32 bits   0 or 1   OFF or ON: time, lower 6 bits   x (11)   y (11)
                       8        time, upper 28 bits
    EVT 3.0, 16 bits   0        y (11)
                       2        polarity (1)   x (11): an event
                       3        polarity (1)   x (11): where vectors begin
                       4, 5     12 or 8 bits, from the lowest: events at x, x + 1, ...; the next vector
                                begins behind them
                       6, 8     time, lower and upper 12 bits

Time is in microseconds; its upper bits are continued when they wrap, after 4.8 hours and 16.8 seconds. Other
words (triggers, counts) are left out, as are events before the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.base import PART, Columns, record_parts
from snn_deploy.data.formats.wrap import Wrapping

MAX_LINE = 1 << 12
MAX_LINES = 1000

_WORD_BITS = {"2": 32, "3": 16}
_VECTORS = np.array([0, 0, 0, 0, 12, 8, *[0] * 10])
"""Pixels of a word of EVT 3.0, by its type."""

Words = NDArray[np.int64]


def read_evt(path: Path) -> Iterator[Columns]:
    """The events of a file, in parts."""
    with path.open("rb") as file:
        version = _version(file)
        size = _WORD_BITS[version] // 8
        decoder = Evt2() if version == "2" else Evt3()
        for data in record_parts(file, size, PART):
            yield decoder.decode(np.frombuffer(data, f"<u{size}").astype(np.int64))


def header_lines(file: BinaryIO) -> list[str]:
    """The lines at the beginning that begin with ``%``; the file is then behind them.

    Raises:
        DataError: there is no end of them.
    """
    lines: list[str] = []
    while True:
        position = file.tell()
        line = file.readline(MAX_LINE)
        if not line.startswith(b"%"):
            file.seek(position)
            return lines
        if len(lines) >= MAX_LINES or not line.endswith(b"\n"):
            raise DataError("its text header has no end")
        lines.append(line[1:].strip().decode("ascii", "replace"))
        if lines[-1] == "end":
            return lines


def _version(file: BinaryIO) -> str:
    lines = header_lines(file)
    for line in lines:
        key, _, value = line.partition(" ")
        named = value.strip().removeprefix("EVT").partition(";")[0] if key in {"evt", "format"} else ""
        if named[:1] in _WORD_BITS and named[1:] in {"", ".0"}:
            return named[:1]
        if named:
            raise DataError(f"it is EVT {named}; known: EVT 2.0 and 3.0")
    raise DataError("no line '% evt 2.0' or '% evt 3.0' at its beginning says what it is")


class Evt2:
    """Decodes the words of EVT 2.0, part after part."""

    def __init__(self) -> None:
        self._wrapping = Wrapping(28)
        self._high = -1

    def decode(self, words: Words) -> Columns:
        """The events of the next ``words``."""
        kind = words >> 28
        upper = kind == 8
        highs = self._wrapping.unwrap(words[upper] & 0xFFFFFFF)
        high = _held(highs, upper, self._high)
        self._high = int(high[-1])
        event = (kind <= 1) & (high >= 0)
        word = words[event]
        t = high[event] << 6 | word >> 22 & 0x3F
        return Columns(word >> 11 & 0x7FF, word & 0x7FF, t, kind[event])


class Evt3:
    """Decodes the words of EVT 3.0, part after part."""

    def __init__(self) -> None:
        self._wrapping = Wrapping(12)
        self._y = self._high = -1
        self._low = self._x = self._polarity = 0

    def decode(self, words: Words) -> Columns:
        """The events of the next ``words``."""
        kind, payload = words >> 12, words & 0xFFF
        y = _held(payload[kind == 0] & 0x7FF, kind == 0, self._y)
        high = _held(self._wrapping.unwrap(payload[kind == 8]), kind == 8, self._high)
        # A new upper part begins with a lower part of 0 until one is said.
        risen = high != np.concatenate([[self._high], high[:-1]])
        low = _held(np.where(kind == 6, payload, 0)[(kind == 6) | risen], (kind == 6) | risen, self._low)
        x, polarity = self._bases(kind, payload)
        self._y, self._high, self._low = int(y[-1]), int(high[-1]), int(low[-1])

        single = kind == 2
        width = _VECTORS[kind]
        event = (single | (width > 0)) & (high >= 0) & (y >= 0)
        bits = payload[event, None] >> np.arange(12) & 1
        bits[np.arange(12) >= np.maximum(width[event], 1)[:, None]] = 0
        bits[single[event], 0] = 1
        row, place = np.nonzero(bits)
        at = np.flatnonzero(event)[row]
        own = single[at]
        return Columns(
            np.where(own, payload[at] & 0x7FF, x[at] + place),
            y[at],
            high[at] << 12 | low[at],
            np.where(own, payload[at] >> 11, polarity[at]),
        )

    def _bases(self, kind: Words, payload: Words) -> tuple[Words, Words]:
        """Where the vector of each word begins, and its polarity."""
        base = kind == 3
        passed = np.cumsum(_VECTORS[kind])
        before = passed - _VECTORS[kind]
        start = _held((payload & 0x7FF)[base] - before[base], base, self._x)
        polarity = _held(payload[base] >> 11, base, self._polarity)
        self._x, self._polarity = int(start[-1] + passed[-1]), int(polarity[-1])
        return start + before, polarity


def _held(values: NDArray[np.int64], where: NDArray[np.bool_], before: int) -> Words:
    """Of each word the last of the ``values``, which are said ``where``, or what was said ``before``."""
    return np.concatenate([[before], values])[np.cumsum(where)]
