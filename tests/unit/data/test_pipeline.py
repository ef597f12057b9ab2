from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.events import recording

from snn_deploy.data import pipeline
from snn_deploy.data.cache import Cached, content_digest
from snn_deploy.data.events import Sensor, make_events
from snn_deploy.data.pipeline import FrameOptions, assemble, build_frames, pack, to_counts
from snn_deploy.errors import ConfigError

SENSOR = Sensor(2, 6, 7)
COUNTS = FrameOptions(binary=False)


def events(seed=0, count=400):
    return recording(seed, count, SENSOR, 5000)


def frames_of(options, recordings, timesteps=4):
    return build_frames(iter(recordings), len(recordings), SENSOR, timesteps, options)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_downsampled_frames_are_summed_blocks(seed, factor):
    plain = to_counts(events(seed), SENSOR, 4, COUNTS)
    small = to_counts(events(seed), SENSOR, 4, COUNTS.model_copy(update={"downsample": factor}))
    padded = np.pad(plain, ((0, 0), (0, 0), (0, -6 % factor), (0, -7 % factor)))
    blocks = padded.reshape(4, 2, padded.shape[2] // factor, factor, padded.shape[3] // factor, factor)
    np.testing.assert_array_equal(small, blocks.sum((3, 5)))


def test_merged_polarity_is_the_sum_of_the_channels():
    merged = to_counts(events(), SENSOR, 4, COUNTS.model_copy(update={"polarity": "merged"}))
    np.testing.assert_array_equal(merged, to_counts(events(), SENSOR, 4, COUNTS).sum(1, keepdims=True))


def test_order_is_denoise_crop_downsample_merge():
    # The second event survives thanks to a neighbour that the crop removes; it lands in the block (0, 0).
    given_events = make_events([1, 2, 6], [2, 2, 5], [0, 10, 11], [0, 1, 1], SENSOR)
    options = FrameOptions(denoise_us=20, crop=4, downsample=2, polarity="merged", binary=False)
    counts = to_counts(given_events, SENSOR, 1, options)
    # The crop's corner is (row 1, column 1), so (row 2, column 2) becomes (1, 1), then (0, 0).
    assert counts.tolist() == [[[[1, 0], [0, 0]]]]


def test_binning_is_chosen():
    skewed = make_events([0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 100], [0, 0, 0, 0], SENSOR)
    per_frame = {
        binning: to_counts(skewed, SENSOR, 2, COUNTS.model_copy(update={"binning": binning})).sum((1, 2, 3))
        for binning in ("time", "count")
    }
    assert per_frame["time"].tolist() == [3, 1]
    assert per_frame["count"].tolist() == [2, 2]


def test_binary_frames_say_where_events_were():
    counted, _ = frames_of(COUNTS, [events(0), events(1)])
    binary, limited = frames_of(FrameOptions(), [events(0), events(1)])
    assert counted.dtype == binary.dtype == np.uint8
    assert counted.max() > 1
    np.testing.assert_array_equal(binary, counted > 0)
    assert limited == 0


def hot_pixel(count):
    zero = np.zeros(count, int)
    return make_events(zero, zero, zero, zero, SENSOR)


@pytest.mark.parametrize(("count", "entry", "entries"), [(255, 255, 0), (256, 255, 1), (600, 255, 1)])
def test_counts_above_255_are_limited_and_counted(count, entry, entries):
    frames, limited = frames_of(COUNTS, [hot_pixel(count), events()], timesteps=1)
    assert frames[0, 0, 0, 0, 0] == entry
    assert limited == entries
    data = dataset(frames, COUNTS, limited)
    assert data.notes == (
        ("about it",)
        if not entries
        else ("about it", "1 frame entries had more than 255 events and were limited to that.")
    )


def dataset(frames, options, limited=0, parts=((0,), (1,), ())):
    tensors = pack(frames, np.array([3, 8]), limited)
    content = Cached(tensors, content_digest(tensors))
    return assemble("test", content, [np.array(p, np.int64) for p in parts], options, ["about it"])


def test_digest_sees_content_split_and_augmentation():
    frames, _ = frames_of(FrameOptions(), [events(0), events(1)])
    variants = [
        dataset(frames, FrameOptions()),
        dataset(frames[::-1].copy(), FrameOptions()),
        dataset(frames, FrameOptions(), parts=((1,), (0,), ())),
        dataset(frames, FrameOptions(), parts=((0, 1), (), ())),
        dataset(frames, FrameOptions(augment={"shift": 1})),
    ]
    assert len({data.digest for data in variants}) == len(variants)
    assert variants[0].digest == dataset(frames.copy(), FrameOptions()).digest


def test_splits_and_augmentation_arrive():
    import torch

    frames, _ = frames_of(FrameOptions(), [events(0), events(1)])
    data = dataset(frames, FrameOptions(augment={"shift": 1, "drop": 0.5}))
    assert data.shape == (2, 6, 7)
    assert (data.train.labels.tolist(), data.validation.labels.tolist(), len(data.test)) == ([3], [8], 0)
    x = data.validation.batch(torch.tensor([0]))
    assert torch.equal(x[:, 0], torch.from_numpy(frames[1]).float())
    changed = data.augment(x, torch.Generator().manual_seed(0))
    assert changed.shape == x.shape
    assert 0 < changed.sum() < x.sum()
    assert dataset(frames, FrameOptions()).augment is None


def test_frames_that_would_not_fit_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(pipeline, "MAX_BYTES", 2 * 4 * 2 * 6 * 7 - 1)
    with pytest.raises(ConfigError, match="Frames of 2 recordings need"):
        frames_of(FrameOptions(), [events(0), events(1)])


def test_crop_larger_than_the_sensor_is_a_config_error():
    with pytest.raises(ConfigError, match="Cannot crop 6x7 to 7x7"):
        frames_of(FrameOptions(crop=7), [events()])


@pytest.mark.parametrize(
    "wrong",
    [
        {"denoise_us": 0},
        {"crop": 0},
        {"downsample": 0},
        {"polarity": "both"},
        {"binning": "events"},
        {"augment": {"shift": -1}},
        {"augment": {"drop": 1}},
        {"augment": {"flip": True}},
        {"colour": 1},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        FrameOptions.model_validate(wrong)
