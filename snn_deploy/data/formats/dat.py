"""Prophesee's DAT recordings: ``.dat`` ("DAT File Format", Metavision SDK).

After text lines that begin with ``%`` come the type of the events (1 byte, 0 or 12) and their size (1 byte,
8), then events, little end first: the time in microseconds (32 bits, continued when they wrap), x (14), y
(14) and polarity (4).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.base import Columns, read_exactly, record_parts
from snn_deploy.data.formats.evt import header_lines
from snn_deploy.data.formats.wrap import Wrapping

EVENT_BYTES = 8
_KINDS = (0, 12)


def read_dat(path: Path) -> Iterator[Columns]:
    """The events of a file, in parts."""
    wrapping = Wrapping(32)
    with path.open("rb") as file:
        if header_lines(file):
            kind, size = read_exactly(file, 2, "the type of its events")
            if kind not in _KINDS or size != EVENT_BYTES:
                raise DataError(f"events of type {kind} and {size} bytes; known: 0 and 12, of 8 bytes")
        for data in record_parts(file, EVENT_BYTES):
            words = np.frombuffer(data, "<u4").reshape(-1, 2)
            t, place = wrapping.unwrap(words[:, 0]), words[:, 1]
            yield Columns(
                (place & 0x3FFF).astype(np.int32),
                (place >> 14 & 0x3FFF).astype(np.int32),
                t,
                (place >> 28).astype(np.int8),
            )
