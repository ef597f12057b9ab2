"""Tables of events in the layouts that people have, and what is said of others."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from support.events import rows
from support.recordings import some_events

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats import text
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.chosen import read_any
from snn_deploy.data.formats.layout import Layout, UnknownLayoutError

SENSOR = Sensor(2, 180, 240)
EVENTS = some_events(2, 90, height=180, width=240)
X, Y, T, P = np.array(EVENTS).T


def read(path, **layout):
    return [e for part in checked(read_any(path, Layout(**layout)), SENSOR) for e in rows(part, SENSOR)]


def as_text(columns, separator=",", heading=""):
    return heading + "".join(separator.join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


SECONDS = [f"{t / 1e6:.6f}" for t in T]
V2E = "#!events.txt\n# Format is time (float s), x, y, polarity (0=off, 1=on)\n# timestamp[s] x y polarity\n"


@pytest.mark.parametrize("part", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("content", "layout"),
    [
        (as_text([T, X, Y, P]), {}),
        (as_text([T, X, Y, 2 * P - 1], " "), {}),
        (as_text([X, Y, P, T], ";", "x;y;pol;ts\n"), {}),
        (as_text([X, Y, P, T, T], "\t", "X\tY\tPolarity\tt_us\tmore\n"), {}),
        (as_text([SECONDS, X, Y, P], " ", V2E), {}),
        (as_text([SECONDS, X, Y, P], ","), {"unit": "s"}),
        (as_text([T / 1000, X, Y, P], ",", "timestamp[ms],x,y,p\n"), {}),
        (as_text([T, P, X, P, Y], ","), {"order": ("t", "_", "x", "p", "y")}),
        (as_text([T, P, X, Y], ",", "when,sign,col_a,row_a\n"),
         {"names": {"t": "when", "p": "sign", "x": "col_a", "y": "row_a"}}),
        ("% a comment\n\n" + as_text([T, X, Y, P], ", ", "t, x, y, p\n"), {}),
    ],
)  # fmt: skip
def test_text(tmp_path, monkeypatch, content, layout, part):
    monkeypatch.setattr(text, "LINES", part)
    (tmp_path / "a.csv").write_text(content)
    assert read(tmp_path / "a.csv", **layout) == EVENTS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2,3\n", "3 columns; without a heading they are t, x, y, p"),
        ("a,b,c,d\n1,2,3,4\n", "4 columns under 'a b c d'"),
        ("1,2,3,1\n2,3\n", "near event 1 it is no table of numbers"),
        ("1,2,3,x\n", "there is no event in it"),
        ("0.5,2,3,1\n", r"t has values that are no whole numbers \(in another unit"),
        ("1,2,3,7\n", "p: values from 7 to 7"),
        ("x" * 9000, "a line of more than 4096"),
        ("", "there is no event in it"),
    ],
)
def test_other_text_is_refused(tmp_path, content, message):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.txt")


FIELDS = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
STRUCTURED = np.array(list(zip(X, Y, P, T, strict=True)), FIELDS)


def prophesee(file):
    file["CD/events"] = STRUCTURED
    file["CD/indexes"] = np.zeros(3)


def dsec(file):
    for name, values in {"x": X, "y": Y, "p": P, "t": T - 400}.items():
        file.create_dataset(f"events/{name}", data=values, chunks=(16,), compression="gzip")
    file["t_offset"] = 400
    file["ms_to_idx"] = np.arange(3)


def short(file):
    for name, values in {"xs": X, "ys": Y, "ps": 2 * P - 1, "ts": T}.items():
        file[f"events/{name}"] = values.astype(np.int32)


def v2e(file):
    file["events"] = np.stack([T, X, Y, P], 1).astype(np.uint32)
    file["frame"] = np.zeros((2, 4, 4), np.uint8)


def named(file):
    for name, values in {"a": X, "b/c": Y, "d": P, "when": T / 1000}.items():
        file[name] = values


@pytest.mark.parametrize(
    ("make", "layout"),
    [
        (prophesee, {}), (dsec, {}), (short, {}), (v2e, {}),
        (named, {"names": {"x": "a", "y": "b/c", "p": "d", "t": "when"}, "unit": "ms"}),
    ],
)  # fmt: skip
def test_hdf5(tmp_path, make, layout):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    assert read(tmp_path / "a.h5", **layout) == EVENTS


def test_unknown_hdf5_files_say_what_is_in_them(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        named(file)
    with pytest.raises(
        UnknownLayoutError,
        match=r"found: a \(90,\), b/c \(90,\), d .*\nhint: Name the columns",
    ):
        read(tmp_path / "a.h5")
    with pytest.raises(DataError, match="it has no 'nothing' of its own"):
        read(tmp_path / "a.h5", names={"x": "a", "y": "b/c", "p": "nothing", "t": "when"})


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_numbers_in_another_order(tmp_path, kind):
    np.save(tmp_path / "a.npy", np.stack([T, X, Y, 2 * P - 1], 1).astype(kind))
    assert read(tmp_path / "a.npy", order=("t", "x", "y", "p")) == EVENTS
    np.save(tmp_path / "a.npy", np.stack([T, X, Y], 1))
    with pytest.raises(UnknownLayoutError, match=r"of shape \(90, 3\)"):
        read(tmp_path / "a.npy")
    np.savez(tmp_path / "b.npz", xs=X, ys=Y, pol=P, timestamps=T)
    assert read(tmp_path / "b.npz") == EVENTS


DAVIS = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n#End Of ASCII Header\r\n"


def test_davis(tmp_path):
    """Columns from the right, rows from below, 1 is ON; frames and pulses are left out."""
    words = []
    for x, y, t, p in EVENTS:
        words += [(1 << 31 | 5, t), (1 << 10, t), ((179 - y) << 22 | (239 - x) << 12 | p << 11, t)]
    (tmp_path / "a.aedat").write_bytes(DAVIS + b"".join(struct.pack(">II", *word) for word in words))
    assert read(tmp_path / "a.aedat") == EVENTS
    (tmp_path / "a.aedat").write_bytes(DAVIS.replace(b"DAVIS240C", b"CochleaAMS") + bytes(8))
    with pytest.raises(DataError, match="it is of the chip 'CochleaAMS'; known: DVS128"):
        read(tmp_path / "a.aedat")
