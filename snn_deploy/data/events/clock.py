r"""Frames from events that arrive little by little, the same whatever the size of the parts.

With a window of w microseconds and the origin :math:`t_0`, the time of the first event that is shown (or a
given time), frame k holds the events with :math:`t_0 + k w \le t < t_0 + (k + 1) w`. A frame is complete when
an event of a later frame has come, or when the clock is told how late it is. With a window of m events, frame
k holds the events :math:`k m .. (k + 1) m - 1`.

Three rules, of which the order of events alone decides, never how they were cut:

* an event whose frame is complete is *late*: it is left out, and counted;
* frames without events are frames;
* a jump over more than :data:`MAX_GAP` frames is refused: the clock was set, or the window is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.contract import MAX_COUNT
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.events.pipeline import view_of
from snn_deploy.data.events.recording import Events, Sensor, denoise, quiet
from snn_deploy.data.options.frames import FrameOptions

MAX_GAP = 1 << 16
"""Frames without an event between two events."""

Arrays = dict[str, NDArray[np.int64]]


@dataclass
class FrameClock:
    """Turns events into complete frames.

    Args:
        sensor: the camera's field of view.
        options: how events become frames; ``window`` is needed.
        origin: microseconds at which the first frame begins; None is the first event that is shown.

    Raises:
        ConfigError: frames that need the end of a recording: no window, or ``centre``.
    """

    sensor: Sensor
    options: FrameOptions
    origin: int | None = None
    late: int = 0
    _frame: int = field(default=0, init=False)
    _events: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.options.window is None:
            raise ConfigError(
                "A stream has no end, so its frames need a length of their own.",
                hint="State it: --window, in microseconds (or events where frames are of equal count).",
            )
        if self.options.centre:
            raise ConfigError(
                "data.centre moves a sample by all of its events, which a stream has not seen yet.",
                hint="Train without data.centre to stream.",
            )
        self._window = self.options.window
        self._by_time = self.options.binning == "time"
        self._view = view_of(self.sensor, self.options)
        self._counts = np.zeros(self._view.sensor.size, np.int64)
        self._last = quiet(self.sensor)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a frame, ``(C, H, W)``."""
        return self._view.sensor

    def push(self, events: Events) -> Iterator[NDArray[np.uint8]]:
        """The frames ``[C, H, W]`` that are complete once the next ``events`` of the stream have come.

        Raises:
            DataError: the clock jumps.
        """
        if self.options.denoise_us is not None:
            events = denoise(events, self.sensor, self.options.denoise_us, self._last)
        shown = self._view(events)
        if not len(shown):
            return
        numbers = self._numbers(shown)
        newest = np.maximum.accumulate(np.maximum(numbers, self._frame))
        intime = numbers == newest
        self.late += int((~intime).sum())
        numbers, address = numbers[intime], shown.address[intime]
        for part in np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers)) + 1):
            if len(part):
                yield from self._until(int(numbers[part[0]]))
                self._counts += np.bincount(address[part], minlength=self._counts.size)
        if not self._by_time and self._events % self._window == 0:
            yield from self._until(self._events // self._window)

    def _numbers(self, shown: Events) -> NDArray[np.int64]:
        """The frame of each event."""
        if not self._by_time:
            positions = self._events + np.arange(len(shown), dtype=np.int64)
            self._events += len(shown)
            return positions // self._window
        if self.origin is None:
            self.origin = int(shown.t[0])
        return (shown.t - self.origin) // self._window

    def advance(self, t: int) -> Iterator[NDArray[np.uint8]]:
        """The frames that are complete at ``t`` microseconds, although no event has come since."""
        if self._by_time and self.origin is not None:
            yield from self._until(max(self._frame, (t - self.origin) // self._window))

    def finish(self) -> Iterator[NDArray[np.uint8]]:
        """The frame that is open, at the end of the stream; none where nothing was seen of it."""
        if self._counts.any():
            yield from self._until(self._frame + 1)

    def _until(self, number: int) -> Iterator[NDArray[np.uint8]]:
        if number - self._frame > MAX_GAP:
            raise DataError(
                f"The clock jumps over {number - self._frame} frames of {self._window} us.",
                hint="Start another session, or state the window in microseconds, as the time stamps are.",
            )
        while self._frame < number:
            counts = (self._counts > 0) if self.options.binary else np.minimum(self._counts, MAX_COUNT)
            self._counts = np.zeros_like(self._counts)
            self._frame += 1
            yield counts.astype(np.uint8).reshape(self.shape)

    def state(self) -> Arrays:
        """All that the clock remembers."""
        origin = [] if self.origin is None else [self.origin]
        numbers = np.array([self.late, self._frame, self._events, *origin], np.int64)
        return {"numbers": numbers, "counts": self._counts.copy(), "last": self._last.copy()}

    def restore(self, state: Arrays) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            DataError: it is of another clock.
        """
        shapes = {name: array.shape for name, array in self.state().items() if name != "numbers"}
        fits = all(state[name].shape == shape for name, shape in shapes.items() if name in state)
        if not shapes.keys() <= state.keys() or not fits or len(state.get("numbers", ())) not in {3, 4}:
            raise DataError("The saved state is of a session with other frames.")
        self.late, self._frame, self._events, *origin = (int(n) for n in state["numbers"])
        self.origin = origin[0] if origin else None
        self._counts, self._last = state["counts"].astype(np.int64), state["last"].astype(np.int64)
