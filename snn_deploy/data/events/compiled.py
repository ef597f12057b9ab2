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
Numbers = npt.NDArray[np.int64]
Shape = tuple[int, int, int, int]


@inlined
def _time(data: Any, at: Any) -> Any:
    return (
        (np.int64(data[at + np.uintp(2)]) & 127) << 16
        | np.int64(data[at + np.uintp(3)]) << 8
        | np.int64(data[at + np.uintp(4)])
    )


@inlined
def _number(data: Any, at: Any, size: Any) -> Any:
    """The unsigned number of ``size`` bytes, little end first; one load in machine code."""
    number = np.int64(0)
    for byte in range(size):
        number |= np.int64(data[at + np.uintp(byte)]) << (8 * byte)
    return number


@inlined
def _added(frames: Any, entry: Any, binary: Any) -> Any:
    """Add an event to an entry; whether there is room."""
    room = binary or frames[entry] != MAX_COUNT
    if binary:
        frames[entry] = 1
    elif room:
        frames[entry] += np.uint8(1)
    return room


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
        if not _added(frames, np.uintp(base + (polarity * height + y) * width + x), binary):
            return False
    return True


@compiled
def count_aedat4(
    data: Bytes,
    shape: Shape,
    share: int,
    by_time: bool,
    binary: bool,
    gap: int,
    state: Numbers,
    frames: Bytes,
) -> bool:
    """Add the next packet of a recording (:data:`snn_deploy.data.formats.aedat4.EVENT_DTYPE`, as bytes) to
    ``frames``, ``[T 2 H W]`` for the ``shape (T, 2, H, W)``.

    Args:
        data: events of 16 bytes.
        shape: of the frames.
        share: of one frame, in microseconds or events.
        by_time: which of both.
        binary: whether an entry says that there were events, not how many.
        gap: microseconds without an event that need a note.
        state: the time of the event before, the bound of the frame in microseconds or events, the frame's
            number, and events so far; before the first packet the time of the first event, the first frame's
            bound, 0 and 0. Updated.
        frames: added to.

    Returns:
        Whether that is all: False if an event leaves the sensor, is not in order of time or comes after a
        gap, or if an entry has more than 255.
    """
    steps, _, height, width = shape
    before, bound, frame, passed = state
    for event in range(data.size // 16):
        at = np.uintp(16 * event)
        t, x, y = (
            _number(data, at, 8),
            _number(data, at + np.uintp(8), 2),
            _number(data, at + np.uintp(10), 2),
        )
        polarity = np.int64(data[at + np.uintp(12)])
        if x >= width or y >= height or polarity > 1 or t < before or t - before > gap:
            return False
        before = t
        while frame < steps - 1 and (t if by_time else passed + event) >= bound:
            frame += 1
            bound += share
        if not _added(frames, np.uintp(((frame * 2 + polarity) * height + y) * width + x), binary):
            return False
    state[0], state[1], state[2], state[3] = before, bound, frame, passed + data.size // 16
    return True
