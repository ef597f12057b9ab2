"""AEDAT 2.0 recordings of a DVS128 (jAER), such as CIFAR10-DVS (Li, Liu, Ji, Li and Shi 2017): ``.aedat``.

After the text header, an event is a 32-bit address and a 32-bit time stamp in microseconds, big end first. Of
the address, bit 0 is the polarity (0 is ON), bits 1 to 7 count columns from the right, bits 8 to 14 rows from
below (jAER, class DVS128); with bit 15 set it is no event but a pulse at the camera's input, left out here.
Time stamps wrap around at 2^32 microseconds, 71.6 minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.aedat import require_version, skip_header
from snn_deploy.data.formats.base import Columns, record_parts

VERSION = "2.0"
EVENT_BYTES = 8

_LAST = 127
_PULSE = 1 << 15


def read_aedat2(path: Path) -> Iterator[Columns]:
    """The events of a file, in parts; ``y`` counts from above."""
    clock: Clock | None = None
    with path.open("rb") as file:
        require_version(file, VERSION)
        skip_header(file)
        for data in record_parts(file, EVENT_BYTES):
            words = np.frombuffer(data, ">u4").reshape(-1, 2).astype(np.uint32)
            address, stamps = words[:, 0], words[:, 1]
            if (address >= 2 * _PULSE).any():
                raise DataError(f"an address of {int(address.max()):#x}: no DVS128, or damaged")
            clock = clock or Clock(stamps)
            t = clock.unwrap(stamps)
            pulse = address >= _PULSE
            if pulse.any():
                address, t = address[~pulse], t[~pulse]
            address = address.astype(np.int16)
            yield Columns(_LAST - (address >> 1 & _LAST), _LAST - (address >> 8), t, 1 - (address & 1))


class Clock:
    """Continues 32-bit time stamps beyond 2^32: between neighbours lie less than 2^31 microseconds, forward
    or, in a recording out of order, back."""

    def __init__(self, stamps: NDArray[np.uint32]) -> None:
        self._stamp = stamps[:1].copy()
        self._time = int(stamps[0])

    def unwrap(self, stamps: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Times of the next ``stamps``."""
        if stamps[0] >= self._stamp[0] and (stamps[1:] >= stamps[:-1]).all():
            t = stamps.astype(np.int64) + (self._time - int(self._stamp[0]))
        else:
            steps = np.diff(stamps, prepend=self._stamp).view(np.int32)
            t = self._time + np.cumsum(steps, dtype=np.int64)
        self._stamp, self._time = stamps[-1:].copy(), int(t[-1])
        return t
