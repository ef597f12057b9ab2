"""Brings the events of a recording in order of time, the same whatever the size of the parts they come in.

An event that is earlier than one before it in the file is *late*. Late by at most :data:`JITTER`, it is moved
to its place (arbiters and buses of cameras do that), and counted. Late by more, the clock was set back: two
recordings in one file, or a camera that was reset. That is a restart, which is refused, or, with the rule
``continue``, the clock goes on: what follows begins one microsecond after the latest event before. A step
forward of more than :data:`GAP` is only counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.recording import NEVER, Events
from snn_deploy.data.options.frames import MAX_TIME, ClockRule

JITTER = 500
"""Microseconds; our choice: above what cameras and their drivers disorder, below any recording."""

GAP = 10_000_000
"""Microseconds without an event that are worth a note; our choice."""

HOLD = 1 << 18
"""Events that wait for earlier ones, at most: those of 5 10^8 a second, more than cameras give."""

MAX_RESTARTS = 1000

_BLOCK = 1024


class Timeline:
    """Orders the events of one recording.

    Attributes:
        late: events that were moved.
        restarts: times that the clock was set back.
        gaps: steps forward of more than :data:`GAP`.
    """

    def __init__(self, rule: ClockRule = "refuse") -> None:
        self.late = self.restarts = self.gaps = 0
        self._rule = rule
        self._shift = 0
        self._newest = self._given = NEVER
        self._held: Events | None = None

    def push(self, events: Events, in_order: bool) -> Iterator[Events]:
        """What is now known to be in order of time, once the next ``events`` of the file have come.

        Args:
            events: in the order of the file.
            in_order: whether that is the order of time among them.

        Raises:
            DataError: the clock was set back, and the rule is ``refuse``.
        """
        if not len(events):
            return
        t = events.t + self._shift if self._shift else events.t
        if t[0] < self._newest or not in_order:
            t = self._continued(t)
            latest = _running(t, self._newest)
            self.late += int((latest > t).sum())
            order = np.argsort(t, kind="stable")
            events = Events(t[order], events.address[order])
        else:
            latest, events = t, Events(t, events.address)
        self._count_gaps(latest)
        self._newest = int(latest[-1])
        if self._newest > MAX_TIME:
            raise DataError(f"the continued clock runs to {self._newest} us; the limit is {MAX_TIME}")
        yield from self._ordered(events)

    def finish(self) -> Iterator[Events]:
        """What was held back, at the end of the recording."""
        if self._held is not None:
            yield self._held
        self._held = None

    def _ordered(self, events: Events) -> Iterator[Events]:
        """Hold the last part back: an event of a later one may belong into it."""
        if events.t[0] < self._given:
            raise DataError(f"over {HOLD} events within {JITTER} us are not in order of time")
        held, self._held = self._held, events
        if held is None:
            return
        final = self._newest - JITTER
        if held.t[-1] <= min(final, int(events.t[0])):
            self._given = int(held.t[-1])
            yield held
            return
        t, address = np.concatenate([held.t, events.t]), np.concatenate([held.address, events.address])
        if events.t[0] < held.t[-1]:
            order = np.argsort(t, kind="stable")
            t, address = t[order], address[order]
        count = max(int(t.searchsorted(final, "right")), len(t) - HOLD)
        if count:
            self._given = int(t[count - 1])
            yield Events(t[:count], address[:count])
        self._held = Events(t[count:], address[count:]) if count < len(t) else None

    def _count_gaps(self, latest: NDArray[np.int64]) -> None:
        if self._newest != NEVER and latest[0] - self._newest > GAP:
            self.gaps += 1
        if latest[-1] - latest[0] <= GAP:
            return
        # Of blocks, only those that are longer than a gap can hold one.
        spans = np.diff(latest[::_BLOCK], append=latest[-1])
        for start in _BLOCK * np.flatnonzero(spans > GAP):
            self.gaps += int((np.diff(latest[start : start + _BLOCK + 1]) > GAP).sum())

    def _continued(self, t: NDArray[np.int64]) -> NDArray[np.int64]:
        """Times that go on where the clock was set back."""
        newest, begin = self._newest, 0
        while True:
            latest = _running(t[begin:], newest)
            back = np.flatnonzero(latest - t[begin:] > JITTER)
            if not len(back):
                return t
            at = begin + int(back[0])
            before = max(newest, int(t[begin:at].max())) if at > begin else newest
            if self._rule == "refuse":
                raise DataError(
                    f"time goes back from {before} to {int(t[at])} us, over {JITTER} us: two recordings, "
                    "or a camera that was reset (data.clock=continue lets the clock go on)"
                )
            self.restarts += 1
            if self.restarts > MAX_RESTARTS:
                raise DataError(f"time goes back more than {MAX_RESTARTS} times: it is in no order of time")
            shift = before + 1 - int(t[at])
            t = np.concatenate([t[:at], t[at:] + shift])
            self._shift += shift
            newest, begin = before, at


def _running(t: NDArray[np.int64], newest: int) -> NDArray[np.int64]:
    """The latest time up to each event, itself included, ``newest`` before the first."""
    latest: NDArray[np.int64] = np.maximum(np.maximum.accumulate(t), newest)
    return latest
