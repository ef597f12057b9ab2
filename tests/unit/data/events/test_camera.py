from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from support.events import rows, table

from snn_deploy.data.events.camera import Camera, record, view
from snn_deploy.data.events.camera_path import closed_path
from snn_deploy.data.events.recording import make_events

CAMERA = Camera(size=6, zoom=1.5, radius=1.0, duration=1000, steps=8, threshold=0.2, dark=0.1)


def images(seed, count=2, size=4):
    return np.random.default_rng(seed).integers(0, 17, (count, size, size)) / 16.0


def test_path_is_closed_and_of_constant_speed():
    path = closed_path("diamond", 8, 2.0)
    assert path[0].tolist() == path[-1].tolist() == [0.0, 2.0]
    assert path[::2].tolist() == [[0, 2], [2, 0], [0, -2], [-2, 0], [0, 2]]
    np.testing.assert_allclose(np.linalg.norm(np.diff(path, axis=0), axis=1), math.sqrt(2))


@given(
    seed=st.integers(0, 99), dy=st.floats(-3, 3), dx=st.floats(-3, 3), zoom=st.sampled_from([0.8, 1.0, 2.5])
)
def test_view_equals_scipys_interpolation(seed, dy, dx, zoom):
    camera = replace(CAMERA, zoom=zoom)
    image = images(seed, 1)
    y, x = (
        (np.arange(camera.size) - (camera.size - 1) / 2 - shift) / zoom + (image.shape[1] - 1) / 2
        for shift in (dy, dx)
    )
    grid = np.meshgrid(y, x, indexing="ij")
    expected = map_coordinates(np.pad(image[0], 9), [axis + 9 for axis in grid], order=1)
    np.testing.assert_allclose(view(image, camera, np.array([dy, dx]))[0], expected, atol=1e-12)


def test_view_by_hand():
    # Two pixels on three: centres of the sensor's pixels lie at -0.5, 0.5 and 1.5 of the image.
    camera = replace(CAMERA, size=3, zoom=1.0)
    seen = view(np.array([[[1.0, 0.5], [1.0, 0.5]]]), camera, np.zeros(2))
    assert seen[0, 1].tolist() == [0.5, 0.75, 0.25]
    assert seen[0, 0].tolist() == [0.25, 0.375, 0.125]


def pixel_events(signal, camera):
    """Events of one pixel from its log intensity at each step, one level at a time."""
    level, events = 0, []
    scaled = (signal - signal[0]) / camera.threshold
    off = 1 if camera.threshold_off is None else camera.threshold_off / camera.threshold
    for step, (before, after) in enumerate(pairwise(scaled)):
        for sign in (1, -off):
            while sign * after >= sign * (level + sign):
                level += sign
                part = (level - before) / (after - before)
                t = (step + part) * camera.duration / camera.steps
                events.append((round(t), int(sign > 0)))
    return events


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    threshold=st.sampled_from([0.05, 0.2, 0.7]),
    off=st.sampled_from([None, 0.11317, 0.31371]),  # no sum of them is one of the others
    path=st.sampled_from(["diamond", "triangle", "circle"]),
)
def test_events_equal_a_simulation_pixel_by_pixel(seed, threshold, off, path):
    camera = replace(CAMERA, threshold=threshold, threshold_off=off, path=path)
    shown = images(seed)
    path = closed_path(camera.path, camera.steps, camera.radius)
    signal = np.log(np.stack([view(shown, camera, d) for d in path]) + camera.dark)
    for n, events in enumerate(table(e, camera.sensor) for e in record(shown, camera)):
        for y in range(camera.size):
            for x in range(camera.size):
                own = events[(events["y"] == y) & (events["x"] == x)]
                expected = pixel_events(signal[:, n, y, x], camera)
                assert list(zip(own["t"].tolist(), own["p"].tolist(), strict=True)) == expected


@given(seed=st.integers(0, 2**32))
def test_recordings_are_valid_and_end_where_they_began(seed):
    for events in (table(e, CAMERA.sensor) for e in record(images(seed), CAMERA)):
        make_events(events["x"], events["y"], events["t"], events["p"], CAMERA.sensor)
        assert events["t"][-1] <= CAMERA.duration
        # Every pixel sees at the end what it saw at the start, so its ON and OFF events balance.
        net = np.zeros((CAMERA.size, CAMERA.size), int)
        np.add.at(net, (events["y"], events["x"]), 2 * events["p"].astype(int) - 1)
        assert not net.any()


@pytest.mark.parametrize("still", [replace(CAMERA, radius=0.0), replace(CAMERA, threshold=10.0)])
def test_no_change_gives_no_events(still):
    assert [len(events) for events in record(images(0), still)] == [0, 0]


def test_one_edge_by_hand():
    """A bright pixel on a one-pixel sensor: ln(I + 0.1) falls and rises in steps that can be worked out."""
    camera = Camera(size=1, zoom=1.0, radius=1.0, duration=400, steps=4, threshold=1.0, dark=0.1)
    # The pixel sees 0 at the corners right and left, and at the bottom and top too; 1 is never seen.
    assert len(record(np.ones((1, 1, 1)), camera)[0]) == 0
    # With 8 steps it sees 0.25 half way: ln(0.35) - ln(0.1) = 1.2528, one level up and one down per leg.
    events = table(record(np.ones((1, 1, 1)), replace(camera, steps=8))[0], camera.sensor)
    rise = 50 / math.log(3.5)
    expected = [(leg * 100 + t, p) for leg in range(4) for t, p in ((round(rise), 1), (100, 0))]
    assert list(zip(events["t"].tolist(), events["p"].tolist(), strict=True)) == expected
    assert expected[0] == (40, 1)


def test_a_recording_does_not_depend_on_its_neighbours():
    shown = images(3, count=5)
    together = record(shown, CAMERA)
    for n in range(5):
        alone = record(shown[n : n + 1], CAMERA)[0]
        assert rows(alone, CAMERA.sensor) == rows(together[n], CAMERA.sensor)
