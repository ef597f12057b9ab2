"""N-MNIST's bytes to frames in one pass, against the readers and the pipeline."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.pipeline import Binner, Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.bits40 import bits40_frames, read_bits40
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.data.sets.recorded import build_frames
from snn_deploy.data.sets.recordings import file_recording

SENSOR = Sensor(2, 7, 9)
STEPS = 4


def written(path: Path, x, y, p, t) -> Path:
    """A file of events, byte by byte."""
    rows = [x, y, np.asarray(p) << 7 | np.asarray(t) >> 16, np.asarray(t) >> 8 & 255, np.asarray(t) & 255]
    path.write_bytes(np.stack([np.broadcast_to(row, np.shape(x)) for row in rows], 1).astype("u1").tobytes())
    return path


def drawn(path: Path, events: int, seed: int) -> Path:
    """Events in order of time, several at once now and then."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, max(1, events), events)) * 1000 + 77
    return written(
        path, rng.integers(0, 9, events), rng.integers(0, 7, events), rng.integers(0, 2, events), t
    )


def piece_by_piece(path: Path, binner: Binner) -> np.ndarray:
    parts, whole = list(checked(read_bits40(path), SENSOR)), (Cut(0),)
    (counts,) = binner.count(parts, whole, binner.measure(parts, whole))
    return binner.entries(counts)[0]


@pytest.mark.parametrize(("binning", "binary"), [*itertools.product(("time", "count"), (True, False))])
def test_frames_are_those_of_the_pipeline(binning, binary, tmp_path):
    binner = Binner(SENSOR, STEPS, FrameOptions(binning=binning, binary=binary))
    for seed, events in enumerate([1, 2, 3, 5, 50, 999, 3000]):
        path = drawn(tmp_path / "a.bin", events, seed)
        made = bits40_frames(path, binner)
        assert np.array_equal(made.frames, piece_by_piece(path, binner))
        assert made.events == events


def test_what_needs_a_second_look_is_left_to_the_readers(tmp_path):
    counting = Binner(SENSOR, STEPS, FrameOptions(binary=False))
    path, same = tmp_path / "a.bin", np.full(5, 3)
    t = np.arange(5)
    files = {
        "right": (same, same, 1, t),
        "x": (np.array([3, 3, 9, 3, 3]), same, 1, t),
        "y": (same, np.array([3, 7, 3, 3, 3]), 1, t),
        "overflow": (same, np.array([3, 240, 3, 3, 3]), 1, t),
        "late": (same, same, 1, np.array([0, 3, 2, 4, 5])),
        "wraps": (same, same, 1, np.array([0, 1, (1 << 23) - 1, 1, 2])),
    }
    taken = {name for name, columns in files.items() if bits40_frames(written(path, *columns), counting)}
    assert taken == {"right"}
    full = np.full(300, 3)
    written(path, full, full, 0, np.zeros(300, int))
    assert bits40_frames(path, counting) is None
    assert bits40_frames(path, Binner(SENSOR, STEPS, FrameOptions())).frames.sum() == 1
    for content in (b"", b"1234", b"123456"):
        path.write_bytes(content)
        assert bits40_frames(path, counting) is None
    assert bits40_frames(tmp_path / "gone.bin", counting) is None
    drawn(path, 50, 0)
    for options in ({"crop": 5}, {"downsample": 2}, {"denoise_us": 9}, {"window": 9}, {"centre": True}):
        assert bits40_frames(path, Binner(SENSOR, STEPS, FrameOptions(**options))) is None
    assert bits40_frames(path, Binner(SENSOR, STEPS, FrameOptions(polarity="merged"))) is None
    assert bits40_frames(path, Binner(Sensor(2, 240, 9), STEPS, FrameOptions())).events == 50
    assert bits40_frames(path, Binner(Sensor(2, 241, 9), STEPS, FrameOptions())) is None  # row 240 is none


def test_a_set_is_the_same_either_way_and_names_what_is_damaged(tmp_path):
    paths = [drawn(tmp_path / f"{number}.bin", 40 + number, number) for number in range(6)]
    written(paths[2], np.full(5, 3), np.array([3, 240, 3, 3, 3]), 1, np.arange(5))

    def build(at_once, **options):
        recordings = [
            file_recording(path, tmp_path, read_bits40, SENSOR, (Cut(number),), at_once)
            for number, path in enumerate(paths)
        ]
        blocks = []
        tensors = build_frames(
            recordings, Binner(SENSOR, STEPS, FrameOptions()), blocks.append, where="here", **options
        )
        return np.concatenate(blocks), tensors

    for damage in (False, True):
        if damage:
            paths[1].write_bytes(b"123")
        (fast, told), (slow, expected) = (
            build(bits40_frames, skip_damaged=damage),
            build(None, skip_damaged=damage),
        )
        assert np.array_equal(fast, slow)
        assert told.keys() == expected.keys()
        assert all(torch.equal(told[name], expected[name]) for name in told)
    with pytest.raises(DataError, match="1 of 6"):
        build(bits40_frames)
