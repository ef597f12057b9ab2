from __future__ import annotations

import os
import socket

import numpy as np
import pytest
import torch
from support.data import real_data

from snn_deploy.core.errors import DataError
from snn_deploy.data.options.sets import NmnistOptions
from snn_deploy.data.sets.nmnist import SENSOR, nmnist
from snn_deploy.data.sets.roots import default_root


def encode(events):
    """The public format: x, y, then polarity in the top bit of the 23-bit time stamp, big end first."""
    return b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, t, p in events)


def some_events(seed, count=50):
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, 1 << 19, count))
    columns = (random.integers(0, 34, count), random.integers(0, 34, count), t, random.integers(0, 2, count))
    return [tuple(int(v) for v in event) for event in zip(*columns, strict=True)]


def make_set(root, train=4, test=2):
    for part, count in (("Train", train), ("Test", test)):
        for digit in range(10):
            folder = root / part / str(digit)
            folder.mkdir(parents=True)
            for n in range(count):
                (folder / f"{n + 1:05d}.bin").write_bytes(encode(some_events(100 * digit + n)))
    return root


@pytest.fixture
def root(tmp_path):
    return make_set(tmp_path / "NMNIST")


def load(root, tmp_path, timesteps=3, **options):
    options = {"root": root, "validation": 0.25} | options
    return nmnist(NmnistOptions(**options), timesteps=timesteps, cache=tmp_path / "cache")


def test_splits_labels_and_frames(root, tmp_path):
    data = load(root, tmp_path)
    assert data.shape == tuple(SENSOR)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [30, 10, 20]
    assert data.validation.labels.tolist() == list(range(10))
    assert data.test.labels.tolist() == [d for d in range(10) for _ in range(2)]
    events = np.array(some_events(301))  # the second file of digit 3
    first, last = events[0, 2], events[-1, 2]
    expected = np.zeros((3, 2, 34, 34))
    k = np.minimum((events[:, 2] - first) // ((last - first) // 3), 2)
    expected[k, events[:, 3], events[:, 1], events[:, 0]] = 1
    np.testing.assert_array_equal(data.test.batch(torch.tensor([7]))[:, 0].numpy(), expected)


def test_options_shape_the_frames(root, tmp_path):
    data = load(root, tmp_path, crop=32, downsample=2, polarity="merged", denoise_us=10_000, binning="count")
    assert data.shape == (1, 16, 16)


def test_a_part_of_the_set_is_called_one(root, tmp_path):
    notes = load(root, tmp_path).notes
    assert "25% of the training recordings of each class are held out for validation" in notes[0]
    assert "40 training and 20 test recordings of 60,000 and 10,000" in notes[1]


def test_digest_depends_on_content_not_on_place(root, tmp_path):
    first = load(root, tmp_path)
    moved = root.rename(tmp_path / "elsewhere")
    assert load(moved, tmp_path).digest == first.digest
    assert load(moved, tmp_path, validation=0.5).digest != first.digest
    file = moved / "Train" / "4" / "00002.bin"
    file.write_bytes(encode(some_events(9, 60)))
    assert load(moved, tmp_path).digest != first.digest


def test_second_load_reads_no_recording(root, tmp_path, monkeypatch):
    first = load(root, tmp_path)
    monkeypatch.setattr("snn_deploy.data.sets.nmnist.read_bits40", None)
    second = load(root, tmp_path)
    assert second.digest == first.digest
    assert torch.equal(second.train.frames, first.train.frames)


def test_network_is_not_touched(root, tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load(root, tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError) as caught:
        load(tmp_path / "nowhere", tmp_path)
    assert caught.value.exit_code == 7
    assert str(tmp_path / "nowhere") in caught.value.message
    assert "-o data.root=PATH" in caught.value.hint


def test_incomplete_folder_lists_everything_missing(root, tmp_path):
    for file in (root / "Train" / "8").iterdir():
        file.unlink()
    (root / "Test").rename(root / "test-of-old")
    with pytest.raises(DataError) as caught:
        load(root, tmp_path)
    assert [p.where for p in caught.value.problems] == ["Train/8", *(f"Test/{d}" for d in range(10))]


DAMAGE = {
    "empty": (b"", "there is no event in it"),
    "cut": (encode([(1, 1, 5, 0)])[:-1], "4 bytes are left at its end; a recording has whole events"),
    "wide": (encode([(34, 1, 5, 0)]), "x: values from 34 to 34; rule: 0 to 33"),
    "high": (encode([(1, 200, 5, 0)]), "y: values from 200 to 200; rule: 0 to 33"),
}


def damage(root):
    for digit, (content, _) in enumerate(DAMAGE.values()):
        (root / "Train" / str(digit) / "00002.bin").write_bytes(content)
    (root / "Test" / "9" / "folder.bin").mkdir()


def test_all_damaged_recordings_are_named_at_once(root, tmp_path):
    damage(root)
    with pytest.raises(DataError) as caught:
        load(root, tmp_path)
    assert caught.value.message.startswith("5 of 61 recordings")
    assert "data.skip_damaged=true" in caught.value.hint
    expected = [(f"Train/{digit}/00002.bin", text) for digit, (_, text) in enumerate(DAMAGE.values())]
    expected.append(("Test/9/folder.bin", "cannot be read: Is a directory"))
    for problem, (where, text) in zip(caught.value.problems, expected, strict=True):
        assert problem.where == where
        assert problem.what.startswith(text)
    assert not list((tmp_path / "cache").iterdir())


def test_damaged_recordings_are_left_out_when_asked_and_named(root, tmp_path):
    whole = load(root, tmp_path)
    damage(root)
    for _ in range(2):  # built, then read from the cache
        data = load(root, tmp_path, skip_damaged=True)
        names = [*(f"Train/{digit}/00002.bin" for digit in range(4)), "Test/9/folder.bin"]
        assert data.notes[-1] == f"5 of 61 recordings are damaged and left out: {', '.join(names)}."
        assert len(data.train) + len(data.validation) == 36
        # What is left is as it was, in its part of the set.
        assert len(data.test) == 20
        assert torch.equal(data.test.batch(torch.arange(20)), whole.test.batch(torch.arange(20)))


def test_many_damaged_recordings_are_counted(root, tmp_path):
    for file in (root / "Train").rglob("*.bin"):
        file.write_bytes(b"x")
    with pytest.raises(DataError, match="40 of 60 recordings") as caught:
        load(root, tmp_path)
    assert len(caught.value.problems) == 20
    assert caught.value.message.endswith("The first 20 are:")


def test_recording_that_vanished_is_named(root, tmp_path):
    (root / "Train" / "0" / "link.bin").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"link\.bin' cannot be read"):
        load(root, tmp_path)


def test_too_few_recordings_to_validate(tmp_path):
    root = make_set(tmp_path / "small", train=1, test=1)
    with pytest.raises(DataError, match="leaves no sample for the validation part"):
        load(root, tmp_path)


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path))
    monkeypatch.delenv("SNN_DEPLOY_DATA", raising=False)
    assert default_root("NMNIST") == tmp_path / "NMNIST"
    monkeypatch.setenv("SNN_DEPLOY_DATA", os.fspath(tmp_path / "data"))
    assert default_root("NMNIST") == tmp_path / "data" / "NMNIST"


def test_real_recordings(tmp_path):
    data = load(real_data("NMNIST"), tmp_path, timesteps=8, binary=False, validation=0.1)
    assert data.shape == (2, 34, 34)
    assert len(data.train) + len(data.validation) == 1000
    assert len(data.test) == 100
    # Every event is in a frame: as many as the files have groups of five bytes, less what was limited.
    files = sorted((real_data("NMNIST") / "Test").rglob("*.bin"))
    events = sum(file.stat().st_size for file in files) // 5
    x = data.test.batch(torch.arange(100))
    assert x.max() < 255
    assert x.sum().item() == events
