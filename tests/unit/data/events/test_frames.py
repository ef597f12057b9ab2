from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import real_data
from support.events import recording, recordings, table

from snn_deploy.data.events.frames import Accumulator, accumulate, count_bounds, extent_of, time_bounds
from snn_deploy.data.events.recording import Sensor, make_events
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.bits40 import read_bits40
from snn_deploy.data.formats.hdf5_events import read_hdf5
from snn_deploy.data.sets.nmnist import SENSOR, list_recordings

BOUNDS = {"time": time_bounds, "count": count_bounds}
steps = st.integers(1, 12)
lengths = st.one_of(st.none(), st.sampled_from([1, 3, 40, 3000]))


def bounds_of(events, timesteps, binning, length=None):
    return BOUNDS[binning](extent_of(events), timesteps, length)


def frames_of(events, timesteps, binning, sensor, length=None):
    bounds = bounds_of(events, timesteps, binning, length)
    return accumulate(events, bounds, sensor, by_time=binning == "time")


def frame_of(t, timesteps, binning, length):
    """The frame of each event, from the definitions in the docstrings, one event at a time; None for none."""
    first, last = int(t[0]), int(t[-1])
    if binning == "time":
        size, positions = max(1, (last - first) // timesteps), [int(v) - first for v in t]
    else:
        size, positions = max(1, len(t) // timesteps), range(len(t))
    if length is None:
        return [min(position // size, timesteps - 1) for position in positions]
    return [k if (k := position // length) < timesteps else None for position in positions]


@pytest.mark.parametrize("binning", BOUNDS)
@given(drawn=recordings(), timesteps=steps, length=lengths, data=st.data())
def test_frames_equal_their_definition_however_a_recording_is_divided(
    binning, drawn, timesteps, length, data
):
    events, sensor = drawn
    expected = np.zeros((timesteps, *sensor), int)
    if len(events):
        place = frame_of(events.t, timesteps, binning, length)
        for k, e in zip(place, table(events, sensor), strict=True):
            if k is not None:
                expected[k, e["p"], e["y"], e["x"]] += 1
    bounds = bounds_of(events, timesteps, binning, length)
    accumulator = Accumulator(bounds, sensor, by_time=binning == "time")
    ends = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=3)))
    for start, end in zip([0, *ends], [*ends, len(events)], strict=True):
        accumulator.add(events[start:end])
    np.testing.assert_array_equal(accumulator.counts(), expected)


def test_bounds_by_hand():
    # 0 to 31 us in 3 frames: 10 us each, and the last one takes the rest.
    t = np.array([100, 109, 110, 119, 120, 129, 130, 131])
    zero = np.zeros(len(t), int)
    events = make_events(zero, zero, t, zero, Sensor(2, 1, 1))
    assert bounds_of(events, 3, "time").tolist() == [100, 110, 120, 132]
    assert bounds_of(events, 3, "count").tolist() == [0, 2, 4, 8]
    assert bounds_of(events, 3, "time", 5).tolist() == [100, 105, 110, 115]
    assert bounds_of(events, 3, "count", 3).tolist() == [0, 3, 6, 8]


@pytest.mark.parametrize("binning", BOUNDS)
def test_no_events_make_empty_frames(binning):
    frames = frames_of(recording(0, 0, Sensor(2, 2, 2), 5), 3, binning, Sensor(2, 2, 2))
    assert frames.shape == (3, 2, 2, 2)
    assert not frames.any()


def tonic_frames(events, sensor, **option):
    from tonic.transforms import ToFrame

    return ToFrame((sensor.width, sensor.height, 2), **option)(table(events, sensor))


OPTION = {"time": "n_time_bins", "count": "n_event_bins"}


@pytest.mark.parametrize("binning", BOUNDS)
@settings(deadline=None)  # tonic is imported in the first example
@given(seed=st.integers(0, 2**32), count=st.integers(30, 80), timesteps=steps)
def test_all_but_the_last_frame_equal_tonic(binning, seed, count, timesteps):
    sensor = Sensor(2, 5, 6)
    events = recording(seed, count, sensor, 10_000)
    frames = frames_of(events, timesteps, binning, sensor)
    theirs = tonic_frames(events, sensor, **{OPTION[binning]: timesteps})
    np.testing.assert_array_equal(frames[:-1], theirs[:-1])
    assert (frames[-1] >= theirs[-1]).all()


@settings(deadline=None)  # tonic is imported in the first example
@given(seed=st.integers(0, 2**32), per_frame=st.integers(1, 9), timesteps=steps)
def test_count_frames_equal_tonic_where_the_division_has_no_rest(seed, per_frame, timesteps):
    sensor = Sensor(2, 5, 6)
    events = recording(seed, per_frame * timesteps, sensor, 10_000)
    frames = frames_of(events, timesteps, "count", sensor)
    np.testing.assert_array_equal(frames, tonic_frames(events, sensor, n_event_bins=timesteps))


@settings(deadline=None)  # tonic is imported in the first example
@given(seed=st.integers(0, 2**32), count=st.integers(2, 60), timesteps=steps, window=st.integers(1, 500))
def test_time_frames_equal_tonic_plus_the_last_event(seed, count, timesteps, window):
    """Where T divides the duration, tonic drops the events at the very last time stamp and nothing else."""
    sensor = Sensor(2, 5, 6)
    events = recording(seed, count, sensor, timesteps * window)
    events.t[0], events.t[-1] = 1000, 1000 + timesteps * window
    missing = table(events[events.t == events.t[-1]], sensor)
    expected = tonic_frames(events, sensor, n_time_bins=timesteps).astype(int)
    np.add.at(expected[-1], (missing["p"], missing["y"], missing["x"]), 1)
    np.testing.assert_array_equal(frames_of(events, timesteps, "time", sensor), expected)


@settings(deadline=None)  # tonic is imported in the first example
@given(seed=st.integers(0, 2**32), timesteps=steps, length=st.sampled_from([50, 700, 4000]))
def test_frames_of_fixed_length_equal_tonics(seed, timesteps, length):
    sensor = Sensor(2, 5, 6)
    events = recording(seed, 80, sensor, 10_000)
    for binning, option, size in (("time", "time_window", length), ("count", "event_count", 7)):
        theirs = tonic_frames(events, sensor, **{option: size}, include_incomplete=True)[:timesteps]
        frames = frames_of(events, timesteps, binning, sensor, size)
        np.testing.assert_array_equal(frames[: len(theirs)], theirs)


@pytest.mark.parametrize("binning", BOUNDS)
def test_real_recordings_equal_tonic(binning):
    paths = [path for path, _ in list_recordings(real_data("NMNIST") / "Test")[::20]]
    real = [(events, SENSOR) for path in paths for events in checked(read_bits40(path), SENSOR)]
    gesture = real_data("DVSGesture-one-recording") / "0_0.hdf5"
    large = Sensor(2, 128, 128)
    real += [(events, large) for events in checked(read_hdf5(gesture), large)]
    for events, sensor in real:
        frames = frames_of(events, 8, binning, sensor)
        theirs = tonic_frames(events, sensor, **{OPTION[binning]: 8})
        np.testing.assert_array_equal(frames[:-1], theirs[:-1])
        t = events.t
        beyond = {"time": int((t >= t[0] + 8 * ((t[-1] - t[0]) // 8)).sum()), "count": len(t) % 8}
        assert (frames[-1] - theirs[-1]).sum() == beyond[binning]
