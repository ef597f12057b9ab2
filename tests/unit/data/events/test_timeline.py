"""Order of time, against sorting a recording as a whole, however it is divided."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import rows

from snn_deploy.core.errors import DataError
from snn_deploy.data.events import timeline as timeline_module
from snn_deploy.data.events.recording import Events, Sensor, in_any_order
from snn_deploy.data.events.timeline import GAP, JITTER, Timeline

SENSOR = Sensor(2, 4, 5)


def ordered(t, sizes=(), rule="refuse"):
    """Times and file positions after the timeline, and the timeline."""
    t = np.array(t, np.int64)
    timeline = Timeline(rule)
    cuts = [c for c in np.cumsum(sizes) if c < len(t)]
    found = []
    for part in np.split(np.arange(len(t)), cuts):
        in_order = bool((np.diff(t[part]) >= 0).all())
        found += list(timeline.push(Events(t[part], part.astype(np.int32)), in_order))
    found += list(timeline.finish())
    assert all(len(part) for part in found)
    times = np.concatenate([part.t for part in found]) if found else np.empty(0, np.int64)
    places = np.concatenate([part.address for part in found]) if found else np.empty(0, np.int32)
    return times, places, timeline


def test_late_events_are_sorted():
    events, in_order = in_any_order([0, 1, 2, 3], [0] * 4, [9, 5, 9, 5], [0] * 4, SENSOR)
    assert not in_order
    timeline = Timeline()
    (events,) = [*timeline.push(events, in_order), *timeline.finish()]
    assert rows(events, SENSOR) == [(1, 0, 5, 0), (3, 0, 5, 0), (0, 0, 9, 0), (2, 0, 9, 0)]
    assert timeline.late == 2


@given(
    steps=st.lists(st.integers(0, 400), min_size=1, max_size=60),
    jitter=st.lists(st.integers(0, JITTER), min_size=60, max_size=60),
    sizes=st.lists(st.integers(0, 9), max_size=40),
)
def test_jitter_is_a_stable_sort_of_the_whole_however_it_is_divided(steps, jitter, sizes):
    t = 10_000 + np.cumsum(steps)
    latest = np.maximum.accumulate(t)
    t = t - np.array(jitter[: len(t)])
    running = np.maximum.accumulate(t)
    times, places, timeline = ordered(t, sizes)
    order = np.argsort(t, kind="stable")
    np.testing.assert_array_equal(times, t[order])
    np.testing.assert_array_equal(places, order)
    assert (timeline.late, timeline.restarts) == ((running > t).sum(), 0)
    assert (latest - t).max() <= JITTER


@given(
    lengths=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    starts=st.lists(st.integers(0, 3000), min_size=5, max_size=5),
    sizes=st.lists(st.integers(0, 9), max_size=40),
)
def test_a_clock_that_is_set_back_goes_on(lengths, starts, sizes):
    """A recording has an event every 4,000 us."""
    recordings = [start + 4000 * np.arange(n) for n, start in zip(lengths, starts, strict=False)]
    t = np.concatenate(recordings)
    expected = t.copy()  # by the definition, event by event
    shift, newest, restarts = 0, int(t[0]), 0
    for place, own in enumerate(t.tolist()):
        if newest - (own + shift) > JITTER:
            shift, restarts = newest + 1 - own, restarts + 1
        expected[place] = own + shift
        newest = max(newest, own + shift)
    times, places, timeline = ordered(t, sizes, "continue")
    order = np.argsort(expected, kind="stable")
    np.testing.assert_array_equal(times, expected[order])
    np.testing.assert_array_equal(places, order)
    assert timeline.restarts == restarts
    if restarts:
        with pytest.raises(DataError, match=r"time goes back from .* over 500 us"):
            ordered(t, sizes)


@pytest.mark.parametrize("sizes", [(), (1,) * 9, (3, 3)])
def test_steps_forward_are_counted(sizes):
    times, _, timeline = ordered([5, 6, GAP + 6, 2 * GAP + 7, 2 * GAP + 5, 5 * GAP], sizes)
    assert (timeline.gaps, timeline.late) == (2, 1)
    assert times.tolist() == [5, 6, GAP + 6, 2 * GAP + 5, 2 * GAP + 7, 5 * GAP]


def test_bounds():
    assert ordered([JITTER, 0])[0].tolist() == [0, JITTER]
    with pytest.raises(DataError, match="from 501 to 0 us"):
        ordered([JITTER + 1, 0])
    with pytest.raises(DataError, match="more than 1000 times"):
        ordered(np.tile([9000, 0], 1100), (7,) * 400, "continue")
    assert ordered([])[0].tolist() == []


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(timeline_module, "HOLD", 4)
    assert ordered([9, 8, 9, 7, 9, 9, 9, 9], (2, 2, 2))[0].tolist() == [7, 8, 9, 9, 9, 9, 9, 9]
    with pytest.raises(DataError, match="over 4 events within 500 us are not in order"):
        ordered([9, 9, 9, 9, 9, 9, 8], (3, 3))


def test_steps_forward_are_counted_in_long_parts():
    steps = np.random.default_rng(0).choice([1, GAP, GAP + 1], 5000)
    for sizes in ((), (1024, 1024), (1000,) * 4):
        assert ordered(np.cumsum(steps), sizes)[2].gaps == (steps[1:] > GAP).sum()
