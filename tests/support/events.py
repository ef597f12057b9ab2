"""Random recordings for tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from snn_deploy.data.events import Events, Sensor, make_events

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
