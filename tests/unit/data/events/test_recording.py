from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import recording, recordings, rows

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.events.recording import Sensor, denoise, make_events, quiet
from snn_deploy.data.options.frames import MAX_TIME

SENSOR = Sensor(2, 4, 5)


def test_columns_arrive_unchanged():
    events = make_events([4, 0], [3, 0], [7, MAX_TIME], [1, 0], SENSOR)
    assert (events.t.dtype, events.address.dtype) == (np.int64, np.int32)
    assert events.address.tolist() == [(1 * 4 + 3) * 5 + 4, 0]
    assert rows(events, SENSOR) == [(4, 3, 7, 1), (0, 0, MAX_TIME, 0)]


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
    for i, e in enumerate(events):
        near = (max(abs(e[0] - f[0]), abs(e[1] - f[1])) == 1 and e[2] - f[2] <= within for f in events[:i])
        if any(near):
            kept.append(e)
    return kept


@given(recordings(), st.sampled_from([0, 1, 3, 20, 500, 20_000]), st.data())
def test_denoise_equals_its_definition_however_a_recording_is_divided(drawn, within, data):
    events, sensor = drawn
    ends = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=3)))
    last = quiet(sensor)
    kept = []
    for start, end in zip([0, *ends], [*ends, len(events)], strict=True):
        kept += rows(denoise(events[start:end], sensor, within, last), sensor)
    assert kept == denoise_by_definition(rows(events, sensor), within)


def test_denoise_by_hand():
    # A lone event, a diagonal neighbour 10 us later, the same pixel again, and one across the row's end.
    events = make_events([1, 2, 2, 4, 0], [1, 2, 2, 0, 1], [0, 10, 20, 21, 22], [0, 1, 1, 0, 0], SENSOR)

    def kept(within):
        return rows(denoise(events, SENSOR, within, quiet(SENSOR)), SENSOR)

    assert kept(10) == [(2, 2, 10, 1)]
    assert kept(9) == []
    assert kept(22) == [(2, 2, 10, 1), (2, 2, 20, 1), (0, 1, 22, 0)]


def test_negative_denoise_time_is_refused():
    with pytest.raises(ConfigError, match="-1 us"):
        denoise(recording(0, 3, SENSOR, 10), SENSOR, -1, quiet(SENSOR))


@given(recordings())
def test_denoise_leaves_its_input_alone(drawn):
    events, sensor = drawn
    before = rows(events, sensor)
    denoise(events, sensor, 5, quiet(sensor))
    assert rows(events, sensor) == before
