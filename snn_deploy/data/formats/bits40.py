"""40-bit events of N-MNIST and N-Caltech101 (Orchard, Jayawant, Cohen and Thakor 2015): ``.bin``.

An event is x (8 bits), y (8), polarity (1) and the time stamp in microseconds (23), big end first. ``y =
240`` is no event: it says that 2^13 microseconds are to be added to all time stamps from here on. Time stamps
that wrap around at 2^23 microseconds, 8.4 seconds, go on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.data.events.pipeline import Binner, Made
from snn_deploy.data.formats.base import PART, Columns, record_parts
from snn_deploy.data.formats.wrap import Wrapping

EVENT_BYTES = 5
OVERFLOW_ROW = 240
OVERFLOW_TIME = 1 << 13


def bits40_frames(path: Path, binner: Binner) -> Made | None:
    """Frames of a whole file in one pass; None where the file or the frames need more than that, and where
    the file cannot be read."""
    if not binner.divides_whole or binner.sensor.channels != 2 or binner.sensor.height > OVERFLOW_ROW:
        return None
    from snn_deploy.data.events.compiled import count_bits40

    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if not 0 < size <= EVENT_BYTES * PART or size % EVENT_BYTES:
                return None
            data = file.read(size)
    except OSError:
        return None
    if len(data) != size:
        return None
    frames = np.zeros(binner.shape, np.uint8)
    given = np.frombuffer(data, np.uint8)
    whole = count_bits40(given, binner.shape, binner.by_time, binner.binary, frames.reshape(-1))
    return Made(frames, len(given) // EVENT_BYTES) if whole else None


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
