"""From events to T frames of counts. Every event falls in exactly one frame.

A binning is given by its edges: ``edges [T + 1]`` are positions in the recording, and frame ``k`` holds the
events from ``edges[k]`` up to but not including ``edges[k + 1]``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snn_deploy.data.events import Events, Sensor

Positions = NDArray[np.int64]


def time_edges(events: Events, timesteps: int) -> Positions:
    """Edges of T frames of equal duration.

    With ``t_0`` and ``t_1`` the first and last time stamp, and ``w = max(1, floor((t_1 - t_0) / T))``::

        frame k     = { t : t_0 + k w <= t < t_0 + (k + 1) w }       k = 0 .. T - 2
        frame T - 1 = { t : t_0 + (T - 1) w <= t <= t_1 }

    The last frame takes the rest of the division (under T microseconds) and the last event. These are the
    frames of spikingjelly's ``split_by="time"``; tonic's ``n_time_bins`` has the same edges but drops
    what comes at or after ``t_0 + T w``.
    """
    t = np.ascontiguousarray(events["t"])
    if not len(t):
        return np.zeros(timesteps + 1, np.int64)
    window = max(1, int(t[-1] - t[0]) // timesteps)
    edges: Positions = np.searchsorted(t, t[0] + window * np.arange(timesteps + 1))
    edges[-1] = len(t)
    return edges


def count_edges(events: Events, timesteps: int) -> Positions:
    """Edges of T frames of equal numbers of events.

    With E events and ``m = max(1, floor(E / T))``, frame ``k`` takes the events ``k m .. (k + 1) m - 1``
    and the last frame all from ``(T - 1) m`` on. These are the frames of spikingjelly's
    ``split_by="number"``; tonic's ``n_event_bins`` has the same edges but drops the rest of the division
    (under T events).
    """
    size = max(1, len(events) // timesteps)
    edges: Positions = np.minimum(size * np.arange(timesteps + 1), len(events))
    edges[-1] = len(events)
    return edges


def accumulate(events: Events, edges: Positions, sensor: Sensor) -> NDArray[np.int64]:
    """Exact event counts ``[T, C, H, W]``: entry ``[k, p, y, x]`` counts the events of frame ``k``."""
    timesteps = len(edges) - 1
    channels, height, width = sensor
    frame = channels * height * width
    index = np.repeat(np.arange(timesteps) * frame, np.diff(edges))
    index += events["x"]
    index += events["y"] * np.int64(width)
    index += events["p"] * np.int64(height * width)
    return np.bincount(index, minlength=timesteps * frame).reshape(timesteps, *sensor)
