"""Random recordings for tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from snn_deploy.data.events.recording import Events, Sensor, coordinates, make_events

TABLE = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])

sensors = st.builds(Sensor, st.just(2), st.integers(1, 7), st.integers(1, 7))


def recording(seed: int, count: int, sensor: Sensor, duration: int) -> Events:
    """``count`` events at random places and times, ties in time included."""
    random = np.random.default_rng(seed)
    return make_events(
        random.integers(0, sensor.width, count),
        random.integers(0, sensor.height, count),
        np.sort(random.integers(0, duration + 1, count)) + 1000,
        random.integers(0, sensor.channels, count),
        sensor,
    )


@st.composite
def recordings(draw: st.DrawFn, most: int = 60) -> tuple[Events, Sensor]:
    """A recording and its sensor; few microseconds or many, so that ties are common and rare."""
    sensor = draw(sensors)
    duration = draw(st.sampled_from([0, 5, 50, 10_000]))
    return recording(draw(st.integers(0, 2**32)), draw(st.integers(0, most)), sensor, duration), sensor


def table(events: Events, sensor: Sensor) -> np.ndarray:
    """The events as a structured array with the fields x, y, t and p, as tonic takes them."""
    array = np.empty(len(events), TABLE)
    array["x"], array["y"], array["p"] = coordinates(events, sensor)
    array["t"] = events.t
    return array


def rows(events: Events, sensor: Sensor) -> list[tuple[int, int, int, int]]:
    """The events as tuples (x, y, t, p)."""
    return [tuple(int(v) for v in event.tolist()) for event in table(events, sensor)]
