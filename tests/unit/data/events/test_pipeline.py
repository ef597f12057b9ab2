from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.events import recording

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.events import pipeline
from snn_deploy.data.events.frames import Extent
from snn_deploy.data.events.pipeline import Binner, Cut
from snn_deploy.data.events.recording import Events, Sensor, coordinates, make_events
from snn_deploy.data.options.frames import FrameOptions

SENSOR = Sensor(2, 6, 7)
COUNTS = FrameOptions(binary=False)
WHOLE = (Cut(0),)


def events(seed=0, count=400):
    return recording(seed, count, SENSOR, 5000)


def counted(parts, options=COUNTS, timesteps=4, cuts=WHOLE):
    """Exact counts of each cut of a recording given in parts."""
    binner = Binner(SENSOR, timesteps, options)
    extents = binner.measure(binner.shown(parts), cuts)
    return list(binner.count(binner.shown(parts), cuts, extents))


def to_counts(given_events, timesteps, options):
    (counts,) = counted([given_events], options, timesteps)
    return counts


def changed(**options):
    return FrameOptions(binary=False, **options)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_downsampled_frames_are_summed_blocks(seed, factor):
    plain = to_counts(events(seed), 4, COUNTS)
    small = to_counts(events(seed), 4, changed(downsample=factor))
    padded = np.pad(plain, ((0, 0), (0, 0), (0, -6 % factor), (0, -7 % factor)))
    blocks = padded.reshape(4, 2, padded.shape[2] // factor, factor, padded.shape[3] // factor, factor)
    np.testing.assert_array_equal(small, blocks.sum((3, 5)))


def test_merged_polarity_is_the_sum_of_the_channels():
    merged = to_counts(events(), 4, changed(polarity="merged"))
    np.testing.assert_array_equal(merged, to_counts(events(), 4, COUNTS).sum(1, keepdims=True))


def test_order_is_denoise_crop_downsample_merge():
    # The second event survives thanks to a neighbour that the crop removes; it lands in the block (0, 0).
    given_events = make_events([1, 2, 6], [2, 2, 5], [0, 10, 11], [0, 1, 1], SENSOR)
    options = changed(denoise_us=20, crop=4, downsample=2, polarity="merged")
    # The crop's corner is (row 1, column 1), so (row 2, column 2) becomes (1, 1), then (0, 0).
    assert to_counts(given_events, 1, options).tolist() == [[[[1, 0], [0, 0]]]]


@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([{}, {"crop": 4}, {"downsample": 2}]))
def test_centred_samples_are_recordings_moved_by_their_medians(seed, count, options):
    """Oracle: sort the coordinates, move the events, drop what leaves the sensor, bin as if never centred."""
    given_events = events(seed, count)
    x, y, p = coordinates(given_events, SENSOR)
    middle = (count - 1) // 2
    x, y = x - np.sort(x)[middle] + 3, y - np.sort(y)[middle] + 3
    inside = (x >= 0) & (x < 7) & (y >= 0) & (y < 6)
    moved = make_events(x[inside], y[inside], given_events.t[inside], p[inside], SENSOR)
    cut = (Cut(0, 1000, 6001, exact=True),)
    (centred,) = counted([given_events], changed(centre=True, **options), 3, cut)
    (expected,) = counted([moved], changed(**options), 3, cut)
    np.testing.assert_array_equal(centred, expected)


def test_noise_does_not_move_the_centre_and_nothing_is_left_where_nothing_was():
    # Two events support a third; the lone one at the right border would move the median column by 2.
    given_events = make_events([0, 1, 0, 6], [0, 0, 0, 0], [0, 1, 2, 900], [0, 0, 0, 0], SENSOR)
    options = changed(denoise_us=20, centre=True)
    (counts,) = counted([given_events], options, 1)
    assert np.argwhere(counts).tolist() == [[0, 0, 3, 3], [0, 0, 3, 4]]
    (empty,) = counted([given_events], options, 1, (Cut(0, 500, 800, exact=True),))
    assert not empty.any()


def test_binning_is_chosen():
    skewed = make_events([0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 100], [0, 0, 0, 0], SENSOR)
    per_frame = {
        name: to_counts(skewed, 2, changed(**options)).sum((1, 2, 3)).tolist()
        for name, options in {
            "time": {},
            "count": {"binning": "count"},
            "fixed time": {"window": 2},
            "fixed count": {"binning": "count", "window": 1},
        }.items()
    }
    assert per_frame == {"time": [3, 1], "count": [2, 2], "fixed time": [2, 1], "fixed count": [1, 1]}


@given(
    seed=st.integers(0, 2**32),
    ends=st.lists(st.integers(0, 400), max_size=4),
    options=st.sampled_from([{}, {"binning": "count"}, {"denoise_us": 300}, {"crop": 4, "window": 700}]),
    bounds=st.lists(st.integers(900, 6100), min_size=2, max_size=8, unique=True),
    exact=st.booleans(),
)
def test_cuts_are_samples_of_their_own_however_a_recording_is_divided(seed, ends, options, bounds, exact):
    """Overlapping cuts too, and each as if its events were all there is."""
    recorded = events(seed)
    shown = next(iter(Binner(SENSOR, 3, changed(**options)).shown([recorded])))
    pairs = sorted(zip(bounds[::2], bounds[1::2], strict=False))
    cuts = tuple(Cut(0, min(pair), max(pair), exact) for pair in pairs)
    cuts = tuple(sorted(cuts, key=lambda cut: cut.start))
    ends = sorted(ends)
    parts = [recorded[a:b] for a, b in zip([0, *ends], [*ends, 400], strict=True)]
    found = counted(parts, changed(**options), 3, cuts)
    assert len(found) == len(cuts)
    plain = FrameOptions(
        binary=False, **{k: v for k, v in options.items() if k in {"binning", "window", "despeckle"}}
    )
    for cut, counts in zip(cuts, found, strict=True):
        inside = shown[(shown.t >= cut.start) & (shown.t < cut.stop)]
        view_sensor = Binner(SENSOR, 3, changed(**options)).view.sensor
        alone = Binner(view_sensor, 3, plain)
        extents = [Extent(len(inside), cut.start, cut.stop)] if exact else alone.measure([inside], WHOLE)
        if plain.window:  # windows begin where the cut says
            extents = [extents[0]._replace(first=cut.start)]
        (expected,) = alone.count([inside], WHOLE, extents)
        np.testing.assert_array_equal(counts, expected)


def test_an_exact_cut_is_divided_itself():
    few = make_events([0, 0], [0, 0], [1010, 1050], [0, 0], SENSOR)
    cut = Cut(0, 1000, 1100, exact=True)
    (counts,) = counted([few], timesteps=10, cuts=(cut,))
    assert counts.sum((1, 2, 3)).tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0, 0]


def test_time_that_goes_back_between_parts_is_refused():
    late = [Events(np.array([t]), np.zeros(1, np.int32)) for t in (5, 9, 7)]
    with pytest.raises(DataError, match="goes back from 9 to 7 us"):
        Binner(SENSOR, 2, COUNTS).measure(late, WHOLE)
    # Where it is in no sample it does not matter.
    assert Binner(SENSOR, 2, COUNTS).measure(late, (Cut(0, 0, 6),)) == [Extent(1, 5, 5)]


def entries(counts, options=COUNTS):
    return Binner(SENSOR, 1, options).entries(counts)


def test_binary_frames_say_where_events_were():
    counts = to_counts(events(), 1, COUNTS)
    frames, limited = entries(counts, FrameOptions())
    assert frames.dtype == np.uint8
    assert counts.max() > 1
    np.testing.assert_array_equal(frames, counts > 0)
    assert limited == 0


def hot_pixel(count):
    zero = np.zeros(count, int)
    return make_events(zero, zero, zero, zero, SENSOR)


@pytest.mark.parametrize(("count", "entry", "limits"), [(255, 255, 0), (256, 255, 1), (600, 255, 1)])
def test_counts_above_255_are_limited_and_counted(count, entry, limits):
    frames, limited = entries(to_counts(hot_pixel(count), 1, COUNTS))
    assert frames.dtype == np.uint8
    assert frames[0, 0, 0, 0] == entry
    assert limited == limits


def test_frames_that_would_not_fit_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(pipeline, "MAX_SAMPLE", 4 * 2 * 6 * 7 - 1)
    with pytest.raises(ConfigError, match=r"A sample of shape \(4, 2, 6, 7\) has 336 entries"):
        Binner(SENSOR, 4, COUNTS)
    with pytest.raises(ConfigError, match="has 336 entries"):
        Binner(SENSOR, 4, changed(centre=True, crop=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"crop": 7}, "Cannot crop 6x7 to 7x7"), ({"resize": (6, 8)}, "Cannot resize 6x7 to 6x8")],
)
def test_sizes_larger_than_the_sensor_are_config_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        Binner(SENSOR, 1, FrameOptions(**options))


@pytest.mark.parametrize(
    "wrong",
    [
        {"denoise_us": 0},
        {"crop": 0},
        {"downsample": 0},
        {"resize": [0]},
        {"resize": [3, 3], "downsample": 2},
        {"window": 0},
        {"polarity": "both"},
        {"binning": "events"},
        {"augment": {"shift": -1}},
        {"augment": {"drop": 1}},
        {"augment": {"flip": True}},
        {"augment": {"turn": 1}},
        {"colour": 1},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        FrameOptions.model_validate(wrong)


def test_flips_are_for_data_whose_mirror_image_is_of_the_same_class():
    class Mirrored(FrameOptions):
        mirrored = True

    with pytest.raises(ValidationError, match="another class"):
        FrameOptions(augment={"flip": True})
    assert Mirrored(augment={"flip": True}).augment.flip
