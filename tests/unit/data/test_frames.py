from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.data import real_data
from support.events import recording, recordings

from snn_deploy.data.events import EVENT_DTYPE, Sensor, make_events
from snn_deploy.data.frames import accumulate, count_edges, time_edges
from snn_deploy.data.nmnist import SENSOR, list_recordings, read_recording

EDGES = {"time": time_edges, "count": count_edges}
steps = st.integers(1, 12)


def frame_of(events, timesteps, binning):
    """The frame of each event, from the definitions in the docstrings, one event at a time."""
    if binning == "time":
        first, last = int(events["t"][0]), int(events["t"][-1])
        window = max(1, (last - first) // timesteps)
        return [min((int(t) - first) // window, timesteps - 1) for t in events["t"]]
    size = max(1, len(events) // timesteps)
    return [min(i // size, timesteps - 1) for i in range(len(events))]


@pytest.mark.parametrize("binning", EDGES)
@given(drawn=recordings(), timesteps=steps)
def test_frames_equal_their_definition(binning, drawn, timesteps):
    events, sensor = drawn
    expected = np.zeros((timesteps, *sensor), int)
    if len(events):
        for k, e in zip(frame_of(events, timesteps, binning), events, strict=True):
            expected[k, e["p"], e["y"], e["x"]] += 1
    frames = accumulate(events, EDGES[binning](events, timesteps), sensor)
    np.testing.assert_array_equal(frames, expected)
    assert frames.sum() == len(events)


def test_time_edges_by_hand():
    # 0 to 31 us in 3 frames: 10 us each, and the last one takes the rest.
    t = np.array([100, 109, 110, 119, 120, 129, 130, 131])
    zero = np.zeros(len(t), int)
    events = make_events(zero, zero, t, zero, Sensor(2, 1, 1))
    assert time_edges(events, 3).tolist() == [0, 2, 4, 8]
    assert count_edges(events, 3).tolist() == [0, 2, 4, 8]


@pytest.mark.parametrize("binning", EDGES)
def test_no_events_make_empty_frames(binning):
    events = np.empty(0, EVENT_DTYPE)
    frames = accumulate(events, EDGES[binning](events, 3), Sensor(2, 2, 2))
    assert frames.shape == (3, 2, 2, 2)
    assert not frames.any()


def tonic_frames(events, sensor, timesteps, binning):
    from tonic.transforms import ToFrame

    option = {"time": "n_time_bins", "count": "n_event_bins"}[binning]
    return ToFrame((sensor.width, sensor.height, 2), **{option: timesteps})(events.copy())


@pytest.mark.parametrize("binning", EDGES)
@given(seed=st.integers(0, 2**32), count=st.integers(30, 80), timesteps=steps)
def test_all_but_the_last_frame_equal_tonic(binning, seed, count, timesteps):
    sensor = Sensor(2, 5, 6)
    events = recording(seed, count, sensor, 10_000)
    frames = accumulate(events, EDGES[binning](events, timesteps), sensor)
    theirs = tonic_frames(events, sensor, timesteps, binning)
    np.testing.assert_array_equal(frames[:-1], theirs[:-1])
    assert (frames[-1] >= theirs[-1]).all()


@given(seed=st.integers(0, 2**32), per_frame=st.integers(1, 9), timesteps=steps)
def test_count_frames_equal_tonic_where_the_division_has_no_rest(seed, per_frame, timesteps):
    sensor = Sensor(2, 5, 6)
    events = recording(seed, per_frame * timesteps, sensor, 10_000)
    frames = accumulate(events, count_edges(events, timesteps), sensor)
    np.testing.assert_array_equal(frames, tonic_frames(events, sensor, timesteps, "count"))


@given(seed=st.integers(0, 2**32), count=st.integers(2, 60), timesteps=steps, window=st.integers(1, 500))
def test_time_frames_equal_tonic_plus_the_last_event(seed, count, timesteps, window):
    """Where T divides the duration, tonic drops the events at the very last time stamp and nothing else."""
    sensor = Sensor(2, 5, 6)
    events = recording(seed, count, sensor, timesteps * window)
    events["t"][0], events["t"][-1] = 1000, 1000 + timesteps * window
    missing = events[events["t"] == events["t"][-1]]
    expected = tonic_frames(events, sensor, timesteps, "time").astype(int)
    np.add.at(expected[-1], (missing["p"], missing["y"], missing["x"]), 1)
    np.testing.assert_array_equal(accumulate(events, time_edges(events, timesteps), sensor), expected)


@pytest.mark.parametrize("binning", EDGES)
def test_real_recordings_equal_tonic(binning):
    from tonic.io import read_mnist_file

    for path, _ in list_recordings(real_data("NMNIST") / "Test")[::20]:
        events = read_recording(path, read_mnist_file)
        frames = accumulate(events, EDGES[binning](events, 8), SENSOR)
        theirs = tonic_frames(events, SENSOR, 8, binning)
        np.testing.assert_array_equal(frames[:-1], theirs[:-1])
        t = events["t"]
        beyond = {"time": int((t >= t[0] + 8 * ((t[-1] - t[0]) // 8)).sum()), "count": len(t) % 8}
        assert (frames[-1] - theirs[-1]).sum() == beyond[binning]
