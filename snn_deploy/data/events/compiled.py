"""From the bytes of a recording to its frames in one pass, in a compiled loop.

Only what needs no second thought: whoever finds anything else in a recording leaves it to the readers and to
:mod:`snn_deploy.data.events.pipeline`, which order, refuse and explain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.core.compiled import compiled, inlined
from snn_deploy.core.contract import MAX_COUNT
from snn_deploy.data.formats.bits40 import EVENT_BYTES

Bytes = npt.NDArray[np.uint8]
Shape = tuple[int, int, int, int]


@inlined
def _time(data: Any, at: Any) -> Any:
    return (
        (np.int64(data[at + np.uintp(2)]) & 127) << 16
        | np.int64(data[at + np.uintp(3)]) << 8
        | np.int64(data[at + np.uintp(4)])
    )


@compiled
def count_bits40(data: Bytes, shape: Shape, by_time: bool, binary: bool, frames: Bytes) -> bool:
    """Add the events of a whole recording of 40-bit events (:mod:`snn_deploy.data.formats.bits40`) to empty
    ``frames``, ``[T 2 H W]`` for the ``shape (T, 2, H, W)``.

    Frames divide the recording as the bounds of :mod:`snn_deploy.data.events.frames` say.

    Returns:
        Whether that is all: False if an event leaves the sensor, is none or is not in order of time, or if an
        entry has more than 255.
    """
    steps, _, height, width = shape
    total = data.size // EVENT_BYTES
    before = first = _time(data, np.uintp(0))
    last = _time(data, np.uintp(EVENT_BYTES * (total - 1)))
    share = max(1, (last - first) // steps) if by_time else max(1, total // steps)
    base, bound, frame = 0, first + share if by_time else share, 1
    for event in range(total):
        at = np.uintp(EVENT_BYTES * event)
        x, y, t = np.int64(data[at]), np.int64(data[at + np.uintp(1)]), _time(data, at)
        if x >= width or y >= height or t < before:
            return False
        before = t
        while frame < steps and (t if by_time else event) >= bound:
            frame += 1
            bound += share
            base += 2 * height * width
        polarity = np.int64(data[at + np.uintp(2)]) >> 7
        entry = np.uintp(base + (polarity * height + y) * width + x)
        if binary:
            frames[entry] = 1
        elif frames[entry] == MAX_COUNT:
            return False
        else:
            frames[entry] += np.uint8(1)
    return True
