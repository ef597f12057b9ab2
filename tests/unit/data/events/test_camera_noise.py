from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import rows, table

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.events.camera import Camera, record
from snn_deploy.data.events.camera_noise import Noise, contrast, rested

CAMERA = Camera(size=6, zoom=1.5, radius=1.0, duration=1000, steps=8, threshold=0.2, dark=0.1)
STILL = Camera(size=20, radius=0.0, duration=1_000_000)
NOISE = Noise(mismatch=0.2, rate=300.0, refractory=40, seed=3)


def images(count=3, size=4):
    return np.random.default_rng(0).integers(0, 17, (count, size, size)) / 16.0


def by_rule(place, t, refractory):
    last, seen = {}, []
    for pixel, time in zip(place, t, strict=True):
        kept = pixel not in last or time - last[pixel] >= refractory
        if kept:
            last[pixel] = time
        seen.append(kept)
    return seen


@given(
    events=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=60),
    refractory=st.integers(1, 30),
)
def test_pixels_rest_as_the_rule_says(events, refractory):
    t, place = (np.array([e[axis] for e in sorted(events)], np.int64) for axis in (0, 1))
    assert rested(place, t, refractory).tolist() == by_rule(place.tolist(), t.tolist(), refractory)


def test_rest_by_hand():
    place, t = np.array([7, 7, 9, 7, 7]), np.array([0, 9, 9, 10, 19])
    assert rested(place, t, 10).tolist() == [True, False, True, True, False]


def test_a_rest_drops_events_and_leaves_the_others_where_they_were():
    free, resting = (
        record(images(), replace(CAMERA, noise=Noise(refractory=us)), range(3)) for us in (0, 60)
    )
    for events, fewer in zip(free, resting, strict=True):
        whole = table(events, CAMERA.sensor)
        kept = by_rule((whole["y"] * 6 + whole["x"]).tolist(), whole["t"].tolist(), 60)
        assert 0 < sum(kept) < len(kept)
        assert (
            table(fewer, CAMERA.sensor)[["x", "y", "t", "p"]].tolist()
            == whole[kept][["x", "y", "t", "p"]].tolist()
        )


def test_events_without_cause_are_as_many_as_stated_and_evenly_spread():
    rate = 5.0
    recordings = record(np.zeros((40, 8, 8)), replace(STILL, noise=Noise(rate=rate)))
    counts = np.array([len(events) for events in recordings])
    expected = rate * STILL.size**2  # in one second
    assert counts.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / 40))
    assert counts.var() == pytest.approx(expected, rel=0.9)
    events = np.concatenate([table(e, STILL.sensor) for e in recordings])
    for values, bins in ((events["t"], 10), (events["x"], 20), (events["y"], 20), (events["p"], 2)):
        share = np.histogram(values, bins)[0] * bins / len(events)
        assert np.abs(share - 1).max() < 5 * np.sqrt(bins / len(events))


def test_thresholds_differ_from_pixel_to_pixel_and_not_from_image_to_image():
    drawn = contrast(Noise(mismatch=0.1, seed=5), 10_000)
    assert drawn.mean() == pytest.approx(1, abs=0.005)
    assert drawn.std() == pytest.approx(0.1, rel=0.05)
    assert contrast(Noise(mismatch=1.0), 10_000).min() == pytest.approx(0.1)
    assert contrast(Noise(), 10_000) == 1.0
    # The same image twice: the same events, though not those of equal pixels.
    shown = np.repeat(images(1), 2, axis=0)
    first, second = record(shown, replace(CAMERA, noise=Noise(mismatch=0.2)))
    assert rows(first, CAMERA.sensor) == rows(second, CAMERA.sensor)
    assert rows(first, CAMERA.sensor) != rows(record(shown, CAMERA)[0], CAMERA.sensor)


def test_one_pixel_with_another_threshold():
    """A pixel's events are those of a camera whose every threshold is that pixel's."""
    noise = Noise(mismatch=0.3, seed=1)
    events = table(record(images(1), replace(CAMERA, noise=noise))[0], CAMERA.sensor)
    factors = contrast(noise, 36)
    for pixel in range(36):
        alone = replace(CAMERA, threshold=CAMERA.threshold * factors[pixel])
        all_alike = table(record(images(1), alone)[0], CAMERA.sensor)
        own, expected = (e[(e["y"] == pixel // 6) & (e["x"] == pixel % 6)] for e in (events, all_alike))
        assert own[["t", "p"]].tolist() == expected[["t", "p"]].tolist()


def test_noise_belongs_to_an_image_and_its_number():
    camera = replace(CAMERA, noise=NOISE)
    together = record(images(), camera, [7, 8, 9])
    for n in range(3):
        alone = record(images()[n : n + 1], camera, [7 + n])[0]
        assert rows(alone, CAMERA.sensor) == rows(together[n], CAMERA.sensor)
    other = record(images()[:1], camera, [8])[0]
    assert rows(other, CAMERA.sensor) != rows(together[0], CAMERA.sensor)
    seed = record(images()[:1], replace(camera, noise=replace(NOISE, seed=4)), [7])[0]
    assert rows(seed, CAMERA.sensor) != rows(together[0], CAMERA.sensor)


def test_steps_are_longer_than_the_clock():
    with pytest.raises(ConfigError, match="a step takes 2 us at least"):
        Camera(duration=100, steps=51)
