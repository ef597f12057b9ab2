"""40-bit events of N-MNIST and N-Caltech101 (Orchard, Jayawant, Cohen and Thakor 2015): ``.bin``.

An event is x (8 bits), y (8), polarity (1) and the time stamp in microseconds (23), big end first. ``y =
240`` is no event: it says that 2^13 microseconds are to be added to all time stamps from here on. Time stamps
that wrap around at 2^23 microseconds, 8.4 seconds, go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.data.formats.base import Columns, record_parts
from snn_deploy.data.formats.wrap import Wrapping

EVENT_BYTES = 5
OVERFLOW_ROW = 240
OVERFLOW_TIME = 1 << 13


def read_bits40(path: Path) -> Iterator[Columns]:
    """The events of a file, in parts."""
    passed, wrapping = 0, Wrapping(23)
    with path.open("rb") as file:
        for data in record_parts(file, EVENT_BYTES):
            count = len(data) // EVENT_BYTES
            x = np.ndarray((count,), np.uint8, data, 0, (EVENT_BYTES,)).copy()
            y = np.ndarray((count,), np.uint8, data, 1, (EVENT_BYTES,)).copy()
            low = np.ndarray((count,), ">u4", data, 1, (EVENT_BYTES,)).astype(np.uint32)
            p = (low & np.uint32(0x800000)) != 0
            t: NDArray[Any] = low & np.uint32(0x7FFFFF)
            if passed or y.max() >= OVERFLOW_ROW:
                overflow = y == OVERFLOW_ROW
                t = t + (passed + np.cumsum(overflow)) * OVERFLOW_TIME
                passed += int(overflow.sum())
                x, y, t, p = (column[~overflow] for column in (x, y, t, p))
            yield Columns(x, y, wrapping.unwrap(t), p)
