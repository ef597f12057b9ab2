"""From recordings on a disk to a data set: parts, memory, caches, damage, splits and digests."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from support.recordings import AEDAT2_HEADER, aedat2, some_events

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.pipeline import Binner, Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats import base
from snn_deploy.data.formats.aedat2 import read_aedat2
from snn_deploy.data.loading.cache import Cached, content_digest
from snn_deploy.data.options.frames import FrameOptions, RecordedOptions
from snn_deploy.data.sets import recorded
from snn_deploy.data.sets.recorded import assemble, build_frames, recorded_set
from snn_deploy.data.sets.recordings import file_recording

SENSOR = Sensor(2, 128, 128)
WHOLE = (Cut(0),)
COUNTS = FrameOptions(binary=False, downsample=16)


def recordings(root, contents, cuts=WHOLE):
    root.mkdir(exist_ok=True)
    made = []
    for number, content in enumerate(contents):
        path = root / f"{number}.aedat"
        path.write_bytes(content)
        made.append(file_recording(path, root, read_aedat2, SENSOR, cuts))
    return made


def build(made, options=COUNTS, timesteps=3, **more):
    blocks = []
    binner = Binner(SENSOR, timesteps, options)
    tensors = build_frames(made, binner, blocks.append, where="here", **more)
    return np.concatenate(blocks), {name: tensor.tolist() for name, tensor in tensors.items()}


EVENTS = [some_events(seed, 300) for seed in range(4)]


@pytest.mark.parametrize("options", [{}, {"binning": "count"}, {"denoise_us": 3000}, {"window": 4000}])
def test_the_size_of_parts_does_not_matter(tmp_path, monkeypatch, options):
    cuts = (Cut(1, 2_000, 30_000), Cut(2, 25_000, 49_000), Cut(0, 30_000, 40_000, exact=True))
    made = recordings(tmp_path, map(aedat2, EVENTS), cuts)
    chosen = COUNTS.model_copy(update=options)
    frames, tensors = build(made, chosen)
    assert frames.shape == (12, 3, 2, 8, 8)
    assert frames.any()
    assert tensors["labels"] == [1, 2, 0] * 4
    assert tensors["recording"] == [n for n in range(4) for _ in cuts]
    assert tensors["start"] == [2_000, 25_000, 30_000] * 4
    for part in (1, 37, 299):
        monkeypatch.setattr(base.record_parts, "__defaults__", (part,))
        again, same = build(made, chosen)
        np.testing.assert_array_equal(again, frames)
        assert same == tensors


def test_memory_does_not_grow_with_a_recording(tmp_path):
    """Eight million events of 12 bytes go through less than 40 MiB."""
    count = 8_000_000
    path = tmp_path / "long.aedat"
    with path.open("wb") as file:
        file.write(AEDAT2_HEADER)
        file.truncate(len(AEDAT2_HEADER) + 8 * count)  # a sparse file: one pixel, at time 0
    made = [file_recording(path, tmp_path, read_aedat2, SENSOR, WHOLE)]
    binner = Binner(SENSOR, 2, COUNTS)
    blocks = []
    tracemalloc.start()
    try:
        tensors = build_frames(made, binner, blocks.append, where="here")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20
    assert int(tensors["limited"]) == 1
    parts = binner.shown(made[0].events())
    (counted,) = binner.count(parts, WHOLE, binner.measure(binner.shown(made[0].events()), WHOLE))
    assert counted.sum() == counted[0, 1, 7, 7] == count


def test_samples_that_a_recording_does_not_hold_are_damage(tmp_path):
    cuts = (Cut(0, 1_000, 20_000), Cut(0, 60_000, 70_000), Cut(0, 80_000, 90_000))
    with pytest.raises(DataError) as caught:
        build(recordings(tmp_path, [aedat2(EVENTS[0])], cuts))
    what = caught.value.problems[0].what
    assert "60000 to 70000 us: no event" in what
    assert "80000 to 90000 us: no event" in what


def test_empty_windows_are_samples(tmp_path):
    frames, _ = build(recordings(tmp_path, [aedat2(EVENTS[0])], (Cut(0, 60_000, 70_000, exact=True),)))
    assert frames.shape[0] == 1
    assert not frames.any()


def test_all_damaged_is_too_much_to_skip(tmp_path):
    made = recordings(tmp_path, [b"", b""])
    with pytest.raises(DataError, match="2 of 2 recordings in 'here' are damaged"):
        build(made, skip_damaged=True)


def test_many_skipped_recordings_are_counted(tmp_path):
    contents = [aedat2(EVENTS[0])] * 3 + [b""] * 25
    data = load(recordings(tmp_path / "r", contents), tmp_path, skip_damaged=True)
    assert data.notes[-1].startswith("25 of 28 recordings are damaged and left out: 3.aedat, 4.aedat, ")
    assert data.notes[-1].endswith("22.aedat and 5 more.")


def by_number(samples):
    return [np.flatnonzero(samples.recording % 3 == part) for part in range(3)]


def load(made, tmp_path, divide=by_number, timesteps=3, **options):
    return recorded_set(
        "test",
        made,
        SENSOR,
        RecordedOptions(downsample=16, **options),
        divide,
        timesteps=timesteps,
        classes=["a"],
        notes=["about it"],
        cache=tmp_path / "cache",
        where=str(tmp_path),
    )


def test_what_decides_about_frames_is_in_the_cache_key(tmp_path, monkeypatch):
    made = recordings(tmp_path / "r", map(aedat2, EVENTS))
    built = []
    original = recorded.build_frames
    monkeypatch.setattr(
        recorded, "build_frames", lambda *args, **options: built.append(1) or original(*args, **options)
    )

    def builds(expected, *args, **options):
        load(*args, **options)
        assert len(built) == expected

    builds(1, made, tmp_path)
    builds(1, made, tmp_path, augment={"shift": 1})
    builds(2, made, tmp_path, timesteps=4)
    builds(3, made, tmp_path, binning="count")
    builds(4, made, tmp_path, window=100)
    builds(5, made, tmp_path, skip_damaged=True)
    again = recordings(tmp_path / "r", map(aedat2, EVENTS))  # written anew: other times of change
    builds(6, again, tmp_path)
    builds(7, recordings(tmp_path / "r", map(aedat2, EVENTS), (Cut(0, 1, 40_000),)), tmp_path)
    builds(7, recordings_as_they_are(tmp_path / "r", (Cut(0, 1, 40_000),)), tmp_path)


def recordings_as_they_are(root, cuts):
    return [file_recording(path, root, read_aedat2, SENSOR, cuts) for path in sorted(root.glob("*.aedat"))]


def test_an_empty_part_of_the_set_is_refused(tmp_path):
    made = recordings(tmp_path / "r", map(aedat2, EVENTS[:2]))
    with pytest.raises(DataError, match="leaves no sample for the test part of 'test'"):
        load(made, tmp_path)


def dataset(frames, options=FrameOptions(), limited=0, parts=((0,), (1,), ())):  # noqa: B008
    tensors = {
        "frames": torch.from_numpy(frames),
        "labels": torch.tensor([3, 8]),
        "limited": torch.tensor([limited]),
    }
    content = Cached(tensors, content_digest(tensors))
    chosen = [np.array(p, np.int64) for p in parts]
    return assemble("test", content, chosen, options, list("0123456789"), ["about it"], Sensor(2, 6, 7))


FRAMES = np.random.default_rng(0).integers(0, 2, (2, 4, 2, 6, 7)).astype(np.uint8)


def test_digest_sees_content_split_and_augmentation():
    variants = [
        dataset(FRAMES),
        dataset(FRAMES[::-1].copy()),
        dataset(FRAMES, parts=((1,), (0,), ())),
        dataset(FRAMES, parts=((0, 1), (), ())),
        dataset(FRAMES, FrameOptions(augment={"shift": 1})),
    ]
    assert len({data.digest for data in variants}) == len(variants)
    assert variants[0].digest == dataset(FRAMES.copy()).digest


def test_splits_classes_and_augmentation_arrive():
    data = dataset(FRAMES, FrameOptions(augment={"shift": 1, "drop": 0.5}))
    assert (data.shape, data.classes) == ((2, 6, 7), tuple("0123456789"))
    assert (data.train.labels.tolist(), data.validation.labels.tolist(), len(data.test)) == ([3], [8], 0)
    x = data.validation.batch(torch.tensor([0]))
    assert torch.equal(x[:, 0], torch.from_numpy(FRAMES[1]).float())
    changed = data.augment(x, torch.Generator().manual_seed(0))
    assert changed.shape == x.shape
    assert 0 < changed.sum() < x.sum()
    assert dataset(FRAMES).augment is None


def test_limited_entries_are_noted():
    assert dataset(FRAMES).notes == ("about it",)
    noted = dataset(FRAMES, limited=4).notes
    assert noted == ("about it", "4 frame entries had more than 255 events and were limited to that.")
