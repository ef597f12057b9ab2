from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import recording, recordings

from snn_deploy.data.events import (
    EVENT_DTYPE,
    MAX_TIME,
    Sensor,
    crop,
    denoise,
    downsample,
    make_events,
    merge_polarities,
)
from snn_deploy.errors import ConfigError, DataError

SENSOR = Sensor(2, 4, 5)


def rows(events):
    return [tuple(int(e[name]) for name in ("x", "y", "t", "p")) for e in events]


def test_columns_arrive_unchanged():
    events = make_events([4, 0], [3, 0], [7, MAX_TIME], [1, 0], SENSOR)
    assert events.dtype == EVENT_DTYPE
    assert rows(events) == [(4, 3, 7, 1), (0, 0, MAX_TIME, 0)]


def test_equal_times_are_in_order():
    assert len(make_events([0, 0], [0, 0], [5, 5], [0, 0], SENSOR)) == 2


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("x", 5, "0 to 4"),
        ("x", -1, "0 to 4"),
        ("x", 65536, "0 to 4"),
        ("y", 4, "0 to 3"),
        ("p", 2, "0 to 1"),
        ("p", -1, "0 to 1"),
        ("t", -1, f"0 to {MAX_TIME}"),
        ("t", MAX_TIME + 1, f"0 to {MAX_TIME}"),
    ],
)
def test_value_outside_the_sensor_is_named(column, value, rule):
    columns = {"x": [0], "y": [0], "t": [0], "p": [0]} | {column: [value]}
    with pytest.raises(DataError) as caught:
        make_events(**columns, sensor=SENSOR)
    assert [(p.where, p.rule) for p in caught.value.problems] == [(column, rule)]
    assert str(value) in caught.value.problems[0].what


def test_all_faults_are_reported_at_once():
    with pytest.raises(DataError) as caught:
        make_events([9, 0], [0, 9], [5, 4], [0, 7], SENSOR)
    assert [p.where for p in caught.value.problems] == ["x", "y", "p", "t"]
    assert caught.value.problems[-1].what == "event 1 at 4 after 5"


@pytest.mark.parametrize(
    "x", [np.zeros(2), np.zeros((1, 1), int), np.zeros(3, int), np.array(["a", "b"]), np.array([None, 1])]
)
def test_columns_that_are_not_vectors_of_integers(x):
    with pytest.raises(DataError) as caught:
        make_events(x, [0, 0], [0, 0], [0, 0], SENSOR)
    assert [p.where for p in caught.value.problems] == ["x"]


def denoise_by_definition(events, within):
    kept = []
    for i, e in enumerate(rows(events)):
        near = (
            max(abs(e[0] - f[0]), abs(e[1] - f[1])) == 1 and e[2] - f[2] <= within for f in rows(events)[:i]
        )
        if any(near):
            kept.append(e)
    return kept


@given(recordings(), st.sampled_from([0, 1, 3, 20, 500, 20_000]))
def test_denoise_equals_its_definition(drawn, within):
    events, sensor = drawn
    assert rows(denoise(events, sensor, within)) == denoise_by_definition(events, within)


def test_denoise_by_hand():
    # A lone event, a diagonal neighbour 10 us later, the same pixel again, and one across the row's end.
    events = make_events([1, 2, 2, 4, 0], [1, 2, 2, 0, 1], [0, 10, 20, 21, 22], [0, 1, 1, 0, 0], SENSOR)
    assert rows(denoise(events, SENSOR, 10)) == [(2, 2, 10, 1)]
    assert rows(denoise(events, SENSOR, 9)) == []
    assert rows(denoise(events, SENSOR, 22)) == [(2, 2, 10, 1), (2, 2, 20, 1), (0, 1, 22, 0)]


def test_negative_denoise_time_is_refused():
    with pytest.raises(ConfigError, match="-1 us"):
        denoise(recording(0, 3, SENSOR, 10), SENSOR, -1)


@given(recordings(), st.data())
def test_crop_keeps_the_central_window(drawn, data):
    events, sensor = drawn
    height, width = data.draw(st.integers(1, sensor.height)), data.draw(st.integers(1, sensor.width))
    cropped, seen = crop(events, sensor, height, width)
    top, left = (sensor.height - height) // 2, (sensor.width - width) // 2
    expected = [
        (x - left, y - top, t, p)
        for x, y, t, p in rows(events)
        if left <= x < left + width and top <= y < top + height
    ]
    assert seen == (2, height, width)
    assert rows(cropped) == expected


@pytest.mark.parametrize(("height", "width"), [(5, 5), (4, 6), (0, 5)])
def test_impossible_crop_is_refused(height, width):
    with pytest.raises(ConfigError, match="Cannot crop 4x5"):
        crop(recording(0, 3, SENSOR, 10), SENSOR, height, width)


@given(recordings(), st.integers(1, 8))
def test_downsample_keeps_every_event(drawn, factor):
    events, sensor = drawn
    smaller, seen = downsample(events, sensor, factor)
    assert rows(smaller) == [(x // factor, y // factor, t, p) for x, y, t, p in rows(events)]
    assert seen == (2, -(-sensor.height // factor), -(-sensor.width // factor))


def test_downsampling_factor_must_be_positive():
    with pytest.raises(ConfigError, match="factor of 0"):
        downsample(recording(0, 3, SENSOR, 10), SENSOR, 0)


@given(recordings())
def test_functions_leave_their_input_alone(drawn):
    events, sensor = drawn
    before = rows(events)
    merged, seen = merge_polarities(events, sensor)
    crop(events, sensor, 1, 1)
    downsample(events, sensor, 2)
    denoise(events, sensor, 5)
    assert rows(events) == before
    assert seen.channels == 1
    assert rows(merged) == [(x, y, t, 0) for x, y, t, _ in before]
