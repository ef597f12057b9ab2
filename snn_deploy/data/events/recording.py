"""Event recordings, and pure functions on them.

An event is ``x`` (column), ``y`` (row), ``t`` (microseconds) and ``p`` (1 = ON, brighter; 0 = OFF). Place and
polarity are kept as one number, the address::

    address = (p H + y) W + x

the position of the event in a flattened frame ``[C, H, W]``, so that counting events is counting numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import ConfigError, DataError, Problem
from snn_deploy.data.options.frames import MAX_TIME

NEVER = -(2**62)
"""Stands for the time of an event that has not been."""


class Sensor(NamedTuple):
    """Field of view of a recording: ``(C, H, W)`` as in a frame; ``C`` is 2 (OFF, ON) or 1 (merged)."""

    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Number of addresses, ``C H W``."""
        return self.channels * self.height * self.width


@dataclass(frozen=True, slots=True)
class Events:
    """A recording or a part of it, in order of time.

    Attributes:
        t: microseconds, int64 ``[E]``.
        address: ``(p H + y) W + x``, int32 ``[E]``.
    """

    t: NDArray[np.int64]
    address: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, part: slice | NDArray[np.bool_]) -> Events:
        return Events(self.t[part], self.address[part])


def make_events(x: NDArray[Any], y: NDArray[Any], t: NDArray[Any], p: NDArray[Any], sensor: Sensor) -> Events:
    """One recording from untrusted columns ``[E]`` of integers.

    Args:
        x, y, t, p: the columns.
        sensor: the field of view.

    Raises:
        DataError: a column is not a vector of integers or lengths differ; ``x``, ``y`` or ``p`` leave the
            sensor; ``t`` is negative, above :data:`MAX_TIME` or not in order. All faults at once.
    """
    events, _ = _events({"x": x, "y": y, "t": t, "p": p}, sensor, refuse_late=True)
    return events


def in_any_order(
    x: NDArray[Any], y: NDArray[Any], t: NDArray[Any], p: NDArray[Any], sensor: Sensor
) -> tuple[Events, bool]:
    """Events as :func:`make_events` makes them, in the columns' order, and whether it is that of time."""
    return _events({"x": x, "y": y, "t": t, "p": p}, sensor, refuse_late=False)


def _events(given: dict[str, NDArray[Any]], sensor: Sensor, *, refuse_late: bool) -> tuple[Events, bool]:
    columns = {name: np.asarray(column) for name, column in given.items()}
    problems = list(_column_problems(columns))
    in_order = True
    if not problems:
        late = columns["t"][1:] < columns["t"][:-1]
        in_order = not late.any()
        problems = list(_value_problems(columns, sensor, in_order))
        if not in_order and refuse_late:
            problems.append(_late(columns["t"], int(late.argmax())))
    if problems:
        raise DataError("The events are damaged.", problems=problems)
    address = columns["p"].astype(np.int32)
    address *= sensor.height
    np.add(address, columns["y"], out=address, casting="unsafe")
    address *= sensor.width
    np.add(address, columns["x"], out=address, casting="unsafe")
    return Events(columns["t"].astype(np.int64, copy=False), address), in_order


def coordinates(
    events: Events, sensor: Sensor
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Columns ``x``, ``y`` and ``p`` of the events' addresses."""
    row, x = np.divmod(events.address, np.int32(sensor.width))
    p, y = np.divmod(row, np.int32(sensor.height))
    return x, y, p


def _column_problems(columns: dict[str, NDArray[Any]]) -> Iterator[Problem]:
    length = columns["t"].shape
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in "iub":
            yield Problem(name, f"{column.dtype} of shape {column.shape}", "a vector of integers")
        elif column.shape != length:
            yield Problem(name, f"{column.size} values for {columns['t'].size} time stamps", "one per event")


def _value_problems(columns: dict[str, NDArray[Any]], sensor: Sensor, in_order: bool) -> Iterator[Problem]:
    if not columns["t"].size:
        return
    limits = {"x": sensor.width - 1, "y": sensor.height - 1, "t": MAX_TIME, "p": sensor.channels - 1}
    for name, limit in limits.items():
        column = columns[name]
        if column.dtype.kind == "b" and limit:
            continue
        if name == "t" and in_order:
            low, high = column[0], column[-1]
        else:
            low, high = column.min() if column.dtype.kind == "i" else 0, column.max()
        if low < 0 or high > limit:
            yield Problem(name, f"values from {column.min()} to {high}", f"0 to {limit}")


def _late(t: NDArray[Any], index: int) -> Problem:
    return Problem("t", f"event {index + 1} at {t[index + 1]} after {t[index]}", "in order of time")


def quiet(sensor: Sensor) -> NDArray[np.int64]:
    """What :func:`denoise` remembers of a sensor that has seen nothing: the last time of each pixel, in a
    border of pixels without events, flattened ``[(H + 2) (W + 2)]``."""
    return np.full((sensor.height + 2) * (sensor.width + 2), NEVER)


def denoise(events: Events, sensor: Sensor, within: int, last: NDArray[np.int64]) -> Events:
    """Background-activity filter: keep an event when one of its 8 neighbouring pixels had an event
    before it in the recording, at most ``within`` microseconds earlier (Delbruck 2008).

    The pixel's own earlier events do not count, polarity does not matter. Cost is O(E log E).

    Args:
        events: a part of a recording.
        sensor: its field of view.
        within: microseconds.
        last: :func:`quiet` at the beginning of the recording; updated for its next part.
    """
    if within < 0:
        raise ConfigError(f"A denoise time of {within} us is negative.")
    total = len(events)
    if not total:
        return events
    x, y, _ = coordinates(events, sensor)
    width = sensor.width + 2
    pixel = (y.astype(np.int64) + 1) * width + x + 1
    order = np.arange(total)
    by_pixel = np.argsort(pixel, kind="stable")
    # Position in (pixel, order) of each event; what lies just below (neighbour, i) is the neighbour's
    # last event before event i, if it is of that pixel at all.
    key = pixel[by_pixel] * total + by_pixel
    t_by_pixel, pixel_sorted = events.t[by_pixel], pixel[by_pixel]
    keep = np.zeros(total, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy == dx == 0:
                continue
            neighbour = pixel + dy * width + dx
            before = np.searchsorted(key, neighbour * total + order) - 1
            here = (before >= 0) & (pixel_sorted[before] == neighbour)
            keep |= events.t - np.where(here, t_by_pixel[before], last[neighbour]) <= within
    last[pixel] = events.t
    return events[keep]
