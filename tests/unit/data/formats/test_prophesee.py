"""EVT 2.0, EVT 3.0 and DAT: hand-made words, and files of an independent writer."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import rows
from support.judges import judged
from support.prophesee import HEADER, dat, evt2, evt3
from support.recordings import some_events

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats import evt
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.chosen import read_any
from snn_deploy.data.formats.wrap import Wrapping

SENSOR = Sensor(2, 720, 1280)
EVENTS = some_events(3, 300, height=720, width=1280, duration=30_000_000)
ROW = [(x, 7, 5000, 1) for x in (3, 4, 9, 14, 22)] + [(30, 7, 5000, 0), (31, 7, 5001, 1)]


def read(path):
    return [e for part in checked(read_any(path), SENSOR) for e in rows(part, SENSOR)]


def written(tmp_path, content, name="a.raw"):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize("part", [1, 7, 1 << 18])
@pytest.mark.parametrize("events", [EVENTS, ROW], ids=["random", "a row"])
@pytest.mark.parametrize(("write", "name"), [(evt2, "a.raw"), (evt3, "a.raw"), (dat, "a.dat")])
def test_what_is_written_is_read_however_it_is_divided(tmp_path, monkeypatch, write, name, events, part):
    monkeypatch.setattr(evt, "PART", part)
    assert read(written(tmp_path, write(events), name)) == events


def test_evt3_by_hand(tmp_path):
    """Two vectors behind one base; a new upper part of the time begins with a lower one of 0."""
    words = [
        0x0001, 0x2005,  # before the first time: left out
        0x8001, 0x6010, 0x0002, 0x3805, 0x4801, 0x5003,  # at 4112, row 2: 5, 16; then 17, 18; ON
        0x8002, 0x2009,  # at 8192
        0x6001, 0x2809,
    ]  # fmt: skip
    content = HEADER.format("format EVT3;height=720;width=1280").encode() + struct.pack(
        f"<{len(words)}H", *words
    )
    expected = [
        (5, 2, 4112, 1),
        (16, 2, 4112, 1),
        (17, 2, 4112, 1),
        (18, 2, 4112, 1),
        (9, 2, 8192, 0),
        (9, 2, 8193, 1),
    ]
    assert read(written(tmp_path, content)) == expected


def test_times_go_on_when_they_wrap(tmp_path):
    """EVT 3.0 every 16.8 s, EVT 2.0 every 4.8 h, DAT every 71.6 min."""
    long = [(1, 2, t, 1) for t in range(0, 60_000_000, 3_000_000)]
    assert read(written(tmp_path, evt3(long))) == long
    longer = [(1, 2, t, 1) for t in range(0, 5 * 10**10, 10**9)]
    assert read(written(tmp_path, evt2(longer))) == longer
    assert read(written(tmp_path, dat(longer), "a.dat")) == longer


@given(
    steps=st.lists(st.integers(-100, 500), min_size=1, max_size=60),
    sizes=st.lists(st.integers(0, 9), max_size=20),
)
def test_wrapping_is_the_number_before_it_was_cut(steps, sizes):
    numbers = 2000 + np.cumsum(steps)
    wrapping = Wrapping(10)
    parts = np.split(numbers % 1024, [c for c in np.cumsum(sizes) if c < len(numbers)])
    found = np.concatenate([wrapping.unwrap(part) for part in parts])
    np.testing.assert_array_equal(found, numbers - numbers[0] + numbers[0] % 1024)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no line '% evt 2.0'"),
        (b"\x00" * 64, "no line '% evt 2.0'"),
        (HEADER.format("evt 2.1").encode(), "it is EVT 2.1; known"),
        (HEADER.format("format EVT21;height=1").encode(), "it is EVT 21; known"),
        (b"% evt 3.0\n% end\n\x00", "1 bytes are left"),
        (b"% evt 3.0\n% end\n" + b"\x05\x20" * 9, "there is no event"),
        (b"%" + b"x" * 9000, "its text header has no end"),
    ],
)
def test_other_raw_files_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, content))


def test_other_dat_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="events of type 14 and 16 bytes"):
        read(written(tmp_path, b"% Version 2\n\x0e\x10" + bytes(32), "a.dat"))


WRITER = """
import sys, numpy as np
from expelliarmus import Wizard
wizard = Wizard(encoding=sys.argv[1])
wizard.save(sys.argv[2], np.load(sys.argv[3]))
"""
READER = """
import sys, numpy as np
from expelliarmus import Wizard
found = Wizard(encoding=sys.argv[1]).read(sys.argv[2])
np.save(sys.argv[3], np.stack([found[name].astype(np.int64) for name in "xytp"], 1))
"""


MANY = some_events(5, 3000, height=720, width=1280, duration=16_000_000)
"""Within 16.8 s, where expelliarmus does not continue EVT 3.0."""


@pytest.mark.parametrize(("encoding", "name"), [("evt2", "a.raw"), ("dat", "a.dat")])
def test_files_of_expelliarmus_are_read(tmp_path, encoding, name):
    """Its writer of EVT 3.0 leaves out the upper part of the time, so that it does not read its own files."""
    kinds = np.dtype([("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "u1")], align=True)
    np.save(tmp_path / "in.npy", np.array([(t, x, y, p) for x, y, t, p in MANY], kinds))
    judged("expelliarmus", WRITER, encoding, tmp_path / name, tmp_path / "in.npy")
    assert read(tmp_path / name) == MANY


@pytest.mark.parametrize(
    ("encoding", "name", "write"), [("evt2", "a.raw", evt2), ("evt3", "a.raw", evt3), ("dat", "a.dat", dat)]
)
def test_expelliarmus_reads_the_same(tmp_path, encoding, name, write):
    events = [*ROW, *((x, y, t + 6000, p) for x, y, t, p in MANY)]
    path = written(tmp_path, write(events) if write is not evt3 else evt3(events, trigger=False), name)
    judged("expelliarmus", READER, encoding, path, tmp_path / "out.npy")
    found, ours = np.load(tmp_path / "out.npy"), np.array(read(path))
    if encoding == "evt3":  # it adds an upper part of its own whenever the lower one falls
        found[:, 2] = ours[:, 2]
    np.testing.assert_array_equal(found, ours)


FAERY = """
import sys, faery, numpy as np
found = faery.events_stream_from_file(sys.argv[1]).to_array()
np.save(sys.argv[2], np.stack([found[name].astype(np.int64) for name in ("x", "y", "t", "on")], 1))
"""


@pytest.mark.parametrize("write", [evt2, evt3])
def test_faery_reads_the_same(tmp_path, write):
    """Triggers and vectors included; within 16.8 s, where it does not continue EVT 3.0."""
    events = [*ROW, *((x, y, t + 6000, p) for x, y, t, p in MANY)]
    kind = "evt 2.0" if write is evt2 else "evt 3.0"
    path = written(tmp_path, write(events, f"{kind}\n% geometry 1280x720"))
    judged("faery", FAERY, path, tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.array(read(path)))
