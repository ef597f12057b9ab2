"""Frames of a stream against those of the whole recording, however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.events.clock import MAX_GAP, FrameClock
from snn_deploy.data.events.pipeline import Binner, Cut
from snn_deploy.data.events.recording import Events, Sensor, make_events
from snn_deploy.data.options.frames import FrameOptions

SENSOR = Sensor(2, 12, 10)


def recording(rng: np.random.Generator, count: int, span: int = 5000) -> Events:
    t = np.sort(rng.integers(0, span, count))
    return make_events(
        rng.integers(0, 10, count), rng.integers(0, 12, count), t, rng.integers(0, 2, count), SENSOR
    )


def by_hand(*times: int) -> Events:
    """An event of pixel 0 at each of ``times``."""
    return Events(np.array(times, np.int64), np.zeros(len(times), np.int32))


def counts_of(frames) -> list[int]:
    return [int(frame.sum()) for frame in frames]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_frames_are_those_of_the_whole_recording(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    events = recording(rng, data.draw(st.integers(1, 300)))
    binning = data.draw(st.sampled_from(["time", "count"]))
    options = FrameOptions(
        binning=binning,
        window=data.draw(st.integers(20, 900) if binning == "time" else st.integers(1, 60)),
        binary=data.draw(st.booleans()),
        crop=data.draw(st.sampled_from([None, 8])),
        downsample=data.draw(st.sampled_from([1, 2])),
        denoise_us=data.draw(st.sampled_from([None, 300])),
        polarity=data.draw(st.sampled_from(["on-off", "merged"])),
    )
    steps = data.draw(st.integers(1, 8))
    whole = Binner(SENSOR, steps, options)
    shown, cut = list(whole.shown([events])), [Cut(label=0)]
    expected, _ = whole.entries(next(whole.count(shown, cut, whole.measure(shown, cut))))

    clock, frames = FrameClock(SENSOR, options), []
    places = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=8)))
    for begin, end in zip([0, *places], [*places, len(events)], strict=True):
        frames += clock.push(events[begin:end])
        state, clock = clock.state(), FrameClock(SENSOR, options)
        clock.restore(state)
    frames += clock.finish()
    frames = [*frames[:steps], *[np.zeros(clock.shape, np.uint8)] * max(0, steps - len(frames))]
    assert np.array_equal(np.stack(frames), expected)
    assert clock.late == 0


def test_hand_worked_windows_gaps_and_late_events():
    """Windows of 10 us from the first event at 100: 100-109, 110-119 (empty), 120-129, 130-139."""
    clock = FrameClock(SENSOR, FrameOptions(window=10, binary=False))
    assert counts_of(clock.push(by_hand(100, 109))) == []
    assert counts_of(clock.push(by_hand(120))) == [2, 0]
    assert counts_of(clock.push(by_hand(119, 129, 121))) == []  # 119 is late: its frame is complete
    assert clock.late == 1
    assert counts_of(clock.push(by_hand(130))) == [3]
    assert counts_of(clock.advance(139)) == []
    assert counts_of(clock.advance(150)) == [1, 0]
    assert counts_of(clock.finish()) == []


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_what_is_late_does_not_depend_on_the_parts(times, places):
    options = FrameOptions(window=7, binary=False)
    events = by_hand(*times)
    whole, cut = FrameClock(SENSOR, options, origin=0), FrameClock(SENSOR, options, origin=0)
    expected = [*whole.push(events), *whole.finish()]
    bounds = sorted(min(place, len(times)) for place in places)
    found = []
    for begin, end in zip([0, *bounds], [*bounds, len(times)], strict=True):
        found += cut.push(events[begin:end])
    found += cut.finish()
    assert counts_of(found) == counts_of(expected)
    assert whole.late == cut.late == len(times) - sum(counts_of(expected))


def test_frames_of_equal_count_are_complete_with_their_last_event():
    clock = FrameClock(SENSOR, FrameOptions(binning="count", window=2, binary=False))
    assert counts_of(clock.push(by_hand(5, 3, 9))) == [2]
    assert counts_of(clock.push(by_hand(1))) == [2]
    assert counts_of(clock.finish()) == []


def test_what_needs_the_end_of_a_recording_is_refused():
    with pytest.raises(ConfigError, match="length of their own"):
        FrameClock(SENSOR, FrameOptions())
    with pytest.raises(ConfigError, match="centre"):
        FrameClock(SENSOR, FrameOptions(window=10, centre=True))


def test_a_clock_that_jumps_is_refused():
    clock = FrameClock(SENSOR, FrameOptions(window=1))
    with pytest.raises(DataError, match=f"jumps over {MAX_GAP + 1} frames"):
        list(clock.push(by_hand(0, MAX_GAP + 1)))


def test_a_state_of_other_frames_is_refused():
    clock = FrameClock(SENSOR, FrameOptions(window=1))
    other = FrameClock(Sensor(2, 5, 5), FrameOptions(window=1)).state()
    for state in (other, {}, {**clock.state(), "numbers": np.zeros(1, np.int64)}):
        with pytest.raises(DataError, match="other frames"):
            clock.restore(state)
