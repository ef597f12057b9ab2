from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import recordings, rows

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.events import views
from snn_deploy.data.events.recording import Sensor

SENSOR = Sensor(2, 4, 5)


def seen(events, view):
    return rows(view(events), view.sensor)


@given(recordings())
def test_the_whole_sensor_is_shown_as_it_is(drawn):
    events, sensor = drawn
    assert seen(events, views.whole(sensor)) == rows(events, sensor)


@given(recordings(), st.data())
def test_crop_keeps_the_central_window(drawn, data):
    events, sensor = drawn
    height, width = data.draw(st.integers(1, sensor.height)), data.draw(st.integers(1, sensor.width))
    view = views.crop(views.whole(sensor), height, width)
    top, left = (sensor.height - height) // 2, (sensor.width - width) // 2
    expected = [
        (x - left, y - top, t, p)
        for x, y, t, p in rows(events, sensor)
        if left <= x < left + width and top <= y < top + height
    ]
    assert view.sensor == (2, height, width)
    assert seen(events, view) == expected


@given(recordings(), st.integers(1, 8))
def test_downsample_keeps_every_event(drawn, factor):
    events, sensor = drawn
    view = views.downsample(views.whole(sensor), factor)
    assert seen(events, view) == [(x // factor, y // factor, t, p) for x, y, t, p in rows(events, sensor)]
    assert view.sensor == (2, -(-sensor.height // factor), -(-sensor.width // factor))


@given(recordings(), st.data())
def test_resize_keeps_every_event(drawn, data):
    events, sensor = drawn
    H, W = data.draw(st.integers(1, sensor.height)), data.draw(st.integers(1, sensor.width))
    view = views.resize(views.whole(sensor), H, W)
    expected = [
        (int(x / sensor.width * W + 1e-9), int(y / sensor.height * H + 1e-9), t, p)
        for x, y, t, p in rows(events, sensor)
    ]
    assert seen(events, view) == expected
    assert view.sensor == (2, H, W)


@given(recordings())
def test_views_follow_one_another(drawn):
    events, sensor = drawn
    view = views.merge_polarities(views.transpose(views.downsample(views.whole(sensor), 2)))
    assert view.sensor == (1, -(-sensor.width // 2), -(-sensor.height // 2))
    assert seen(events, view) == [(y // 2, x // 2, t, 0) for x, y, t, _ in rows(events, sensor)]


def test_what_a_crop_hides_stays_hidden():
    view = views.downsample(views.crop(views.whole(SENSOR), 2, 3), 2)
    shown = {int(address) for address in view.table}
    assert shown == {-1, *range(view.sensor.size)}
    assert (view.table >= 0).sum() == 2 * 2 * 3


@pytest.mark.parametrize(("height", "width"), [(5, 5), (4, 6), (0, 5)])
def test_impossible_sizes_are_refused(height, width):
    with pytest.raises(ConfigError, match="Cannot crop 4x5"):
        views.crop(views.whole(SENSOR), height, width)
    with pytest.raises(ConfigError, match="Cannot resize 4x5"):
        views.resize(views.whole(SENSOR), height, width)


def test_downsampling_factor_must_be_positive():
    with pytest.raises(ConfigError, match="factor of 0"):
        views.downsample(views.whole(SENSOR), 0)
