"""Event recordings as structured arrays, and pure functions on them.

An event is ``x`` (column), ``y`` (row), ``t`` (microseconds) and ``p`` (1 = ON, brighter; 0 = OFF).
A recording is ordered by ``t``. Functions that change the field of view return the new sensor too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_deploy.errors import ConfigError, DataError, Problem

EVENT_DTYPE = np.dtype(
    {
        "names": ["x", "y", "t", "p"],
        "formats": ["<u2", "<u2", "<i8", "u1"],
        "offsets": [0, 2, 8, 4],
        "itemsize": 16,
    }
)
"""Field order of tonic; 16 bytes, so that every field is aligned."""

MAX_TIME = 2**53
"""Largest time stamp (microseconds, 285 years): exact in float64 and far from overflow in int64."""

Events = NDArray[np.void]


class Sensor(NamedTuple):
    """Field of view of a recording: ``(C, H, W)`` as in a frame; ``C`` is 2 (OFF, ON) or 1 (merged)."""

    channels: int
    height: int
    width: int


def make_events(
    x: NDArray[Any],
    y: NDArray[Any],
    t: NDArray[Any],
    p: NDArray[Any],
    sensor: Sensor,
) -> Events:
    """One recording from untrusted columns ``[E]`` of integers.

    Raises:
        DataError: a column is not a vector of integers or lengths differ; ``x``, ``y`` or ``p`` leave the
            sensor; ``t`` is negative, above :data:`MAX_TIME` or not in order. All faults at once.
    """
    columns = {"x": np.asarray(x), "y": np.asarray(y), "t": np.asarray(t), "p": np.asarray(p)}
    problems = list(_column_problems(columns)) or list(_value_problems(columns, sensor))
    if problems:
        raise DataError("The events are damaged.", problems=problems)
    events = np.empty(len(columns["t"]), EVENT_DTYPE)
    for name, column in columns.items():
        events[name] = column
    return events


def _column_problems(columns: dict[str, NDArray[Any]]) -> Iterator[Problem]:
    length = columns["t"].shape
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in "iub":
            yield Problem(name, f"{column.dtype} of shape {column.shape}", "a vector of integers")
        elif column.shape != length:
            yield Problem(name, f"{column.size} values for {columns['t'].size} time stamps", "one per event")


def _value_problems(columns: dict[str, NDArray[Any]], sensor: Sensor) -> Iterator[Problem]:
    if not columns["t"].size:
        return
    limits = {"x": sensor.width - 1, "y": sensor.height - 1, "t": MAX_TIME, "p": sensor.channels - 1}
    for name, limit in limits.items():
        low, high = int(columns[name].min()), int(columns[name].max())
        if low < 0 or high > limit:
            yield Problem(name, f"values from {low} to {high}", f"0 to {limit}")
    t = columns["t"]
    if (late := np.flatnonzero(t[1:] < t[:-1])).size:
        index = int(late[0])
        yield Problem("t", f"event {index + 1} at {t[index + 1]} after {t[index]}", "in order of time")


def denoise(events: Events, sensor: Sensor, within: int) -> Events:
    """Background-activity filter: keep an event when one of its 8 neighbouring pixels had an event
    before it in the recording, at most ``within`` microseconds earlier (Delbruck 2008).

    The pixel's own earlier events do not count, polarity does not matter. Cost is O(E log E).
    """
    if within < 0:
        raise ConfigError(f"A denoise time of {within} us is negative.")
    total = len(events)
    if not total:
        return events
    # A border of empty pixels around the sensor saves the tests at its edge.
    width = sensor.width + 2
    pixel = (events["y"].astype(np.int64) + 1) * width + events["x"] + 1
    order = np.arange(total)
    by_pixel = np.argsort(pixel, kind="stable")
    # Position in (pixel, order) of each event; what lies just below (neighbour, i) is the neighbour's
    # last event before event i, if it is of that pixel at all.
    key = pixel[by_pixel] * total + by_pixel
    t, t_by_pixel, pixel_sorted = events["t"], events["t"][by_pixel], pixel[by_pixel]
    keep = np.zeros(total, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy == dx == 0:
                continue
            neighbour = pixel + dy * width + dx
            last = np.searchsorted(key, neighbour * total + order) - 1
            found = (last >= 0) & (pixel_sorted[last] == neighbour)
            keep |= found & (t - t_by_pixel[last] <= within)
    return events[keep]


def crop(events: Events, sensor: Sensor, height: int, width: int) -> tuple[Events, Sensor]:
    """Keep the central ``height x width`` pixels (an odd margin leaves the larger part below and right).

    Raises:
        ConfigError: the window is larger than the sensor.
    """
    if not (1 <= height <= sensor.height and 1 <= width <= sensor.width):
        raise ConfigError(f"Cannot crop {sensor.height}x{sensor.width} to {height}x{width} pixels.")
    top, left = (sensor.height - height) // 2, (sensor.width - width) // 2
    x, y = events["x"].astype(np.int64) - left, events["y"].astype(np.int64) - top
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    cropped = events[inside]
    cropped["x"], cropped["y"] = x[inside], y[inside]
    return cropped, sensor._replace(height=height, width=width)


def downsample(events: Events, sensor: Sensor, factor: int) -> tuple[Events, Sensor]:
    """Join blocks of ``factor x factor`` pixels; every event stays. A last, smaller block is a pixel too:
    the new size is ``ceil(size / factor)``."""
    if factor < 1:
        raise ConfigError(f"A down-sampling factor of {factor} is not positive.")
    smaller = events.copy()
    smaller["x"] //= factor
    smaller["y"] //= factor
    return smaller, sensor._replace(height=-(-sensor.height // factor), width=-(-sensor.width // factor))


def merge_polarities(events: Events, sensor: Sensor) -> tuple[Events, Sensor]:
    """Forget the polarity: one channel that counts ON and OFF events alike."""
    merged = events.copy()
    merged["p"] = 0
    return merged, sensor._replace(channels=1)
