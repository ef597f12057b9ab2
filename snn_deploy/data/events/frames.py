"""From events to T frames of counts.

A binning is given by ``T + 1`` bounds, which are time stamps or positions in the recording: frame ``k`` holds
the events from ``bounds[k]`` up to but not including ``bounds[k + 1]``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_deploy.data.events.recording import Events, Sensor

Bounds = NDArray[np.int64]


class Extent(NamedTuple):
    """Number of events, and the first and last time stamp; frames divide what lies between."""

    events: int
    first: int
    last: int


def time_bounds(extent: Extent, timesteps: int, length: int | None = None) -> Bounds:
    """Time stamps between T frames of equal duration.

    With ``t_0`` and ``t_1`` the first and last time stamp, and ``w = max(1, floor((t_1 - t_0) / T))``::

        frame k     = { t : t_0 + k w <= t < t_0 + (k + 1) w }       k = 0 .. T - 2
        frame T - 1 = { t : t_0 + (T - 1) w <= t <= t_1 }

    The last frame takes the rest of the division (under T microseconds) and the last event. These are the
    frames of spikingjelly's ``split_by="time"``; tonic's ``n_time_bins`` has the same bounds but drops
    what comes at or after ``t_0 + T w``.

    With a ``length`` every frame has ``w = length`` microseconds, the last one too: what comes later is in no
    frame. These are tonic's ``time_window`` frames, as many as T.
    """
    window = max(1, (extent.last - extent.first) // timesteps) if length is None else length
    bounds: Bounds = extent.first + window * np.arange(timesteps + 1)
    if length is None:
        bounds[-1] = extent.last + 1
    return bounds


def count_bounds(extent: Extent, timesteps: int, length: int | None = None) -> Bounds:
    """Positions between T frames of equal numbers of events.

    With E events and ``m = max(1, floor(E / T))``, frame ``k`` takes the events ``k m .. (k + 1) m - 1``
    and the last frame all from ``(T - 1) m`` on. These are the frames of spikingjelly's
    ``split_by="number"``; tonic's ``n_event_bins`` has the same bounds but drops the rest of the division
    (under T events).

    With a ``length`` every frame has ``m = length`` events, the last one too: later events are in no frame.
    These are tonic's ``event_count`` frames, as many as T; a short recording leaves the last ones empty.
    """
    size = max(1, extent.events // timesteps) if length is None else length
    bounds: Bounds = np.minimum(size * np.arange(timesteps + 1), extent.events)
    if length is None:
        bounds[-1] = extent.events
    return bounds


class Accumulator:
    """Exact event counts ``[T, C, H, W]`` of a recording that arrives in parts.

    Args:
        bounds: of the frames.
        sensor: field of view of the frames.
        by_time: whether ``bounds`` are time stamps; else they are positions.
    """

    def __init__(self, bounds: Bounds, sensor: Sensor, *, by_time: bool) -> None:
        self._bounds = bounds
        self._sensor = sensor
        self._by_time = by_time
        self._position = 0
        self._frames = np.arange(0, sensor.size * (len(bounds) - 1), sensor.size, dtype=np.int32)
        self._counts = torch.zeros((len(bounds) - 1) * sensor.size, dtype=torch.int32)

    def add(self, events: Events) -> None:
        """Count the next events of the recording."""
        if self._by_time:
            edges = events.t.searchsorted(self._bounds)
        else:
            edges = np.minimum(np.maximum(self._bounds - self._position, 0), len(events))
        self._position += len(events)
        index = self._frames.repeat(edges[1:] - edges[:-1])
        index += events.address[edges[0] : edges[-1]]
        self._counts.index_add_(0, torch.from_numpy(index), _ONE.expand(len(index)))

    def counts(self) -> NDArray[np.int32]:
        """The counts so far, ``[T, C, H, W]``."""
        return self._counts.numpy().reshape(len(self._bounds) - 1, *self._sensor)


_ONE = torch.ones(1, dtype=torch.int32)


def centred(counts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Counts ``[T, C, H, W]`` moved so that the median row and the median column of all their events become
    row ``H // 2`` and column ``W // 2``; of an even number of events the lower median. What leaves the frame
    is lost, what comes in is empty, and frames without events stay as they are.
    """
    moved = counts
    for axis in (2, 3):
        along = counts.sum(axis=tuple({0, 1, 2, 3} - {axis}), dtype=np.int64).cumsum()
        if along[-1]:
            median = int(along.searchsorted((along[-1] + 1) // 2))
            moved = _moved(moved, axis, counts.shape[axis] // 2 - median)
    return moved


def _moved(counts: NDArray[np.int32], axis: int, by: int) -> NDArray[np.int32]:
    result = np.zeros_like(counts)
    source, target = [slice(None)] * 4, [slice(None)] * 4
    size = counts.shape[axis]
    source[axis] = slice(max(0, -by), size - max(0, by))
    target[axis] = slice(max(0, by), size - max(0, -by))
    result[tuple(target)] = counts[tuple(source)]
    return result


def accumulate(events: Events, bounds: Bounds, sensor: Sensor, *, by_time: bool) -> NDArray[np.int32]:
    """Exact event counts ``[T, C, H, W]``: entry ``[k, p, y, x]`` counts the events of frame ``k``."""
    accumulator = Accumulator(bounds, sensor, by_time=by_time)
    accumulator.add(events)
    return accumulator.counts()


def extent_of(events: Events) -> Extent:
    """Extent of a recording that is in memory; all 0 of one without events."""
    if not len(events):
        return Extent(0, 0, 0)
    return Extent(len(events), int(events.t[0]), int(events.t[-1]))
