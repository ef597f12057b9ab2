"""AEDAT 4.0 files to frames in one pass, against the reader and the pipeline."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.recordings import aedat4, some_events

from snn_deploy.core.errors import MissingOptionalError, SnnDeployError
from snn_deploy.data.events.pipeline import Binner, Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.events.timeline import GAP
from snn_deploy.data.formats import aedat4 as module
from snn_deploy.data.formats.aedat4 import aedat4_frames, read_aedat4
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.chosen import any_frames
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.data.sets.recorded import build_frames
from snn_deploy.data.sets.recordings import file_recording

pytest.importorskip("flatbuffers")
pytest.importorskip("lz4.frame")

SENSOR = Sensor(2, 7, 9)
STEPS = 4
MODES = [*itertools.product(("time", "count"), (True, False))]
RIGHT = some_events(3, 40, height=7, width=9, duration=5000)


def binner(**options) -> Binner:
    return Binner(SENSOR, STEPS, FrameOptions(**options))


def built(path, at_once, **options):
    """Frames and what is known of them, or the refusal."""
    recording = file_recording(path, path.parent, read_aedat4, SENSOR, (Cut(3),), at_once)
    blocks = []
    try:
        told = build_frames([recording], binner(**options), blocks.append, where="here")
    except SnnDeployError as error:
        return type(error), str(error), str(getattr(error, "problems", ""))
    return np.concatenate(blocks).tolist(), {name: value.tolist() for name, value in told.items()}


@st.composite
def packets(draw):
    """Packets of events, now and then late, after a gap, beyond the sensor or of no polarity."""
    odd = draw(st.sampled_from([0, 0, 0, 1]))
    step = st.sampled_from([0, 0, 1, 7, 900, GAP, GAP + 1, -3, -600] if odd else [0, 0, 1, 7, 900, GAP])
    events, t = [], draw(st.integers(0, 2000))
    for _ in range(draw(st.integers(0, 40))):
        x, y = draw(st.integers(-odd, 8 + odd)), draw(st.integers(-odd, 6 + odd))
        events.append((x, y, t, draw(st.integers(0, 1))))
        t += draw(step)
    bounds = sorted(draw(st.lists(st.integers(0, len(events)), max_size=4)))
    return [events[a:b] for a, b in itertools.pairwise([0, *bounds, len(events)])]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=packets(), compression=st.sampled_from([0, 1]), mode=st.sampled_from(MODES))
def test_frames_and_refusals_are_those_of_the_reader(tmp_path, parts, compression, mode):
    path = tmp_path / "a.aedat4"
    path.write_bytes(aedat4(parts, compression=compression))
    binning, binary = mode
    options = {"binning": binning, "binary": binary}
    assert built(path, aedat4_frames, **options) == built(path, None, **options)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(at=st.integers(0, 1 << 16), value=st.integers(0, 255), compression=st.sampled_from([0, 1]))
def test_damaged_files_are_refused_in_the_same_words(tmp_path, at, value, compression):
    content = bytearray(aedat4([RIGHT[:20], RIGHT[20:]], compression=compression))
    content[at % len(content)] = value
    path = tmp_path / "a.aedat4"
    path.write_bytes(content)
    assert built(path, aedat4_frames, binary=False) == built(path, None, binary=False)


@pytest.mark.parametrize(("binning", "binary"), MODES)
def test_one_pass_makes_them(binning, binary, tmp_path):
    options, path = {"binning": binning, "binary": binary}, tmp_path / "a.aedat4"
    for seed, events in enumerate([1, 2, 3, 5, 50, 999]):
        drawn = some_events(seed, events, height=7, width=9, start=12345)
        path.write_bytes(aedat4([[], drawn[:7], drawn[7:11], [], drawn[11:]]))
        made = aedat4_frames(path, binner(**options))
        parts, whole = list(checked(read_aedat4(path), SENSOR)), (Cut(0),)
        (counts,) = binner(**options).count(parts, whole, binner(**options).measure(parts, whole))
        assert np.array_equal(made.frames, binner(**options).entries(counts)[0])
        assert made.events == events


def test_what_needs_a_second_look_is_left_to_the_reader(tmp_path, monkeypatch):
    path = tmp_path / "a.aedat4"
    files = {
        "right": RIGHT,
        "gap": [(1, 1, 5, 0), (1, 1, 6 + GAP, 0)],
        "late": [(1, 1, 5, 0), (1, 1, 4, 0), (1, 1, 9, 0)],
        "right of it": [(9, 1, 5, 0)],
        "left of it": [(-1, 1, 5, 0)],
        "below it": [(1, 7, 5, 0)],
        "above it": [(1, -1, 5, 0)],
        "before time": [(1, 1, -5, 0)],
        "after time": [(1, 1, 2**53 + 1, 0)],
        "full": [(1, 1, 5, 0)] * 256,
        "empty": [],
    }
    for name, events in files.items():
        path.write_bytes(aedat4([events], compression=0))
        assert (aedat4_frames(path, binner(binary=False)) is not None) == (name == "right"), name
    path.write_bytes(aedat4([[(1, 1, 5, 0)] * 256]))
    assert aedat4_frames(path, binner()).frames.sum() == 1
    assert any_frames(path, binner()).events == 256
    assert any_frames(path.rename(tmp_path / "a.AEDAT"), binner()).events == 256
    (tmp_path / "a.AEDAT").rename(path)
    for options in ({"crop": 5}, {"downsample": 2}, {"denoise_us": 9}, {"window": 9}, {"centre": True}):
        assert aedat4_frames(path, binner(**options)) is None
    assert aedat4_frames(path, Binner(Sensor(2, 1, (1 << 15) + 1), 1, FrameOptions())) is None
    assert aedat4_frames(tmp_path / "gone.aedat4", binner()) is None
    assert any_frames(path.rename(tmp_path / "a.npy"), binner()) is None
    (tmp_path / "a.npy").rename(path)
    monkeypatch.setattr(module, "MAX_HELD", 255)
    assert aedat4_frames(path, binner()) is None


def test_an_event_of_no_polarity_is_refused_by_the_reader(tmp_path):
    path = tmp_path / "a.aedat4"
    content = aedat4([[(1, 1, 5, 1)]], compression=0, table=False)
    at = content.rindex(b"\x05\0\0\0\0\0\0\0\1\0\1\0\1") + 12
    path.write_bytes(content[:at] + b"\2" + content[at + 1 :])
    assert aedat4_frames(path, binner()) is None
    assert "values from 2 to 2" in built(path, aedat4_frames)[2]


def test_lz4_is_missed_by_the_reader(tmp_path, monkeypatch):
    path = tmp_path / "a.aedat4"
    path.write_bytes(aedat4([RIGHT]))
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    assert built(path, aedat4_frames)[0] is MissingOptionalError
