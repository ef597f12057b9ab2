"""Recordings in numpy, HDF5 and MATLAB files."""

from __future__ import annotations

import zipfile

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from support.data import real_data
from support.events import rows
from support.recordings import some_events

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats import hdf5, hdf5_events, mat5, numpy_files
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.hdf5_events import read_hdf5
from snn_deploy.data.formats.layout import Layout
from snn_deploy.data.formats.mat import read_mat
from snn_deploy.data.formats.numpy_files import read_npy, read_npz

SENSOR = Sensor(2, 128, 128)
EVENTS = some_events(2, 70)
TABLE = np.array(EVENTS)
X, Y, T, P = TABLE.T
FIELDS = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?"), ("more", "<f4")])
STRUCTURED = np.array([(t, x, y, p, 0.5) for x, y, t, p in EVENTS], FIELDS)


def read(path, reader, **options):
    return [e for part in checked(reader(path, **options), SENSOR) for e in rows(part, SENSOR)]


def npy(tmp_path, array):
    path = tmp_path / "a.npy"
    np.save(path, array)
    return path


@pytest.mark.parametrize("part", [1, 9, 1 << 18])
@pytest.mark.parametrize(
    "array", [STRUCTURED, TABLE[:, [0, 1, 3, 2]], TABLE[:, [0, 1, 3, 2]].astype(np.float32)]
)
def test_npy(tmp_path, monkeypatch, array, part):
    monkeypatch.setattr(numpy_files, "PART", part)
    assert read(npy(tmp_path, array), read_npy) == EVENTS


def test_milliseconds_become_microseconds(tmp_path):
    array = np.array([[1, 2, 0, 3], [4, 5, 1, 4.25]])
    assert read(npy(tmp_path, array), read_npy, layout=Layout(unit="ms")) == [
        (1, 2, 3000, 0),
        (4, 5, 4250, 1),
    ]


def test_npz(tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", t=T, x=X.astype(np.uint8), y=Y, p=P)
        assert read(tmp_path / "a.npz", read_npz) == EVENTS


def objects(tmp_path):
    array = np.empty(2, object)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    return tmp_path / "a.npy"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 5)), r"float64 of shape \(3, 5\); events have x, y, p, t"),
        (np.zeros(3), r"of shape \(3,\)"),
        (np.zeros(2, [("x", int), ("p", int)]), "without t, y"),
        (np.full((2, 4), 0.5), "x has values that are no whole numbers"),
        (np.full((2, 4), np.nan), "no whole numbers"),
        (np.full((2, 4), 1e300), "no whole numbers"),
        (np.zeros((2, 4), complex), "x is of type complex128"),
        (np.zeros((0, 4)), "there is no event in it"),
        (np.array(3.0), "there is no event in it"),
        (np.full((1, 4), 128), "x: values from 128 to 128"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        read(npy(tmp_path, array), read_npy)


def test_pickles_are_refused(tmp_path):
    with pytest.raises(DataError, match="it is no array of numbers"):
        read(objects(tmp_path), read_npy)
    np.savez(tmp_path / "a.npz", x=np.empty(1, object), y=Y, t=T, p=P)
    with pytest.raises(DataError, match="it is no archive of vectors"):
        read(tmp_path / "a.npz", read_npz)


def test_damaged_numpy_files_are_refused(tmp_path, monkeypatch):
    path = npy(tmp_path, TABLE)
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:50], b"", b"x" * 99):
        path.write_bytes(content)
        with pytest.raises(DataError, match="it is no array of numbers"):
            read(path, read_npy)
    archive = tmp_path / "a.npz"
    np.savez(archive, x=X, y=Y, t=T)
    with pytest.raises(DataError, match="it lacks p"):
        read(archive, read_npz)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("p.npy", b"no array")
    with pytest.raises(DataError, match="p is of type"):
        read(archive, read_npz)
    archive.write_bytes(b"no archive")
    with pytest.raises(DataError, match="it is no archive of vectors"):
        read(archive, read_npz)
    np.savez(archive, x=X, y=Y, t=T, p=P)
    monkeypatch.setattr(numpy_files, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(DataError, match="the limit is 100"):
        read(archive, read_npz)
    archive.rename(path)
    with pytest.raises(DataError, match=r"name it \.npz"):
        read(path, read_npy)


def hdf(tmp_path, **options):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data/0", data=STRUCTURED, **options)
        file["target/0"] = 3
    return path


@pytest.mark.parametrize("part", [1, 9, 1 << 18])
@pytest.mark.parametrize("options", [{}, {"chunks": (16,), "compression": "lzf"}])
def test_hdf5(tmp_path, monkeypatch, options, part):
    monkeypatch.setattr(hdf5_events, "PART", part)
    assert read(hdf(tmp_path, **options), read_hdf5) == EVENTS


def external(file):
    file.create_dataset("data/0", (4,), "i1", external=[("secret", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "i1")
    layout[:] = h5py.VirtualSource("other.h5", "data", (4,))
    file.create_virtual_dataset("data/0", layout)


def linked(file):
    file["data/0"] = h5py.ExternalLink("other.h5", "data")


def large_chunks(file):
    file.create_dataset("data/0", (1 << 25, 4), "f8", chunks=(1 << 25, 4), compression="gzip")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (external, "lies in other files"),
        (virtual, "lies in other files"),
        (linked, "it has no 'data/0' of its own"),
        (large_chunks, "has chunks of"),
        (lambda file: file.create_group("data/0"), "'data/0' is no array"),
        (lambda file: file.create_dataset("data", data=1), "it has no 'data/0' of its own"),
        (lambda file: file.create_dataset("data/0", data=1), "there is no event in it"),
        (lambda file: file.create_dataset("data/0", data=np.zeros((3, 5))), r"shape \(3, 5\)"),
        (lambda file: file.create_dataset("data/0", data=["text"]), "events have"),
    ],
)
def test_hdf5_files_that_lie_elsewhere_or_hold_something_else_are_refused(tmp_path, make, message):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(DataError, match=message):
        read(path, read_hdf5)


def test_damaged_hdf5_files_are_refused(tmp_path):
    path = hdf(tmp_path, chunks=(16,), compression="gzip")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"x" * 999):
        path.write_bytes(content)
        with pytest.raises(DataError, match="HDF5 file"):
            read(path, read_hdf5)
    with pytest.raises(DataError, match="cannot be read: "):
        read(tmp_path / "absent.hdf5", read_hdf5)


def test_the_real_dvs_gesture_recording():
    """Compared with the columns of the file as h5py gives them."""
    path = real_data("DVSGesture-one-recording") / "0_0.hdf5"
    parts = list(checked(read_hdf5(path), SENSOR))
    with h5py.File(path) as file:
        data = file["data/0"][()]
    assert sum(map(len, parts)) == 213_025
    expected = (data["p"].astype(int) * 128 + data["y"]) * 128 + data["x"]
    np.testing.assert_array_equal(np.concatenate([part.address for part in parts]), expected)
    np.testing.assert_array_equal(np.concatenate([part.t for part in parts]), data["t"])


@pytest.mark.parametrize("polarity", [P, 2 * P - 1])
@pytest.mark.parametrize("kind", [np.int32, float])
def test_mat(tmp_path, kind, polarity):
    path = tmp_path / "a.mat"
    savemat(path, {"out1": np.stack([T, X, Y, polarity], 1).astype(kind)}, do_compression=True)
    assert read(path, read_mat) == EVENTS
    vectors = {"ts": T, "x": X, "y": Y, "pol": polarity}
    savemat(path, {name: value[:, None].astype(kind) for name, value in vectors.items()})
    assert read(path, read_mat) == EVENTS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"out1": np.zeros((4, 3))}, r"'out1' of shape \(4, 3\)"),
        ({"x": [1], "y": [1]}, "it lacks pol, ts"),
        ({"out1": np.array([["a", "b", "c", "d"]], object)}, "is of type object"),
        ({"out1": np.full((1, 4), 2)}, "p: values from 2 to 2"),
    ],
)
def test_other_mat_files_are_refused(tmp_path, content, message):
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.mat", read_mat)


def test_damaged_mat_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    savemat(path, {"out1": np.stack([T, X, Y, P], 1)}, do_compression=True)
    whole = path.read_bytes()
    for content in (whole[:-30], whole[:40], b"", b"MATLAB 7.3 MAT-file" + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"it is no readable MATLAB file|cannot be read: could not read"):
            read(path, read_mat)
    path.write_bytes(whole)
    monkeypatch.setattr(mat5, "MAX_VALUES", 10)
    with pytest.raises(DataError, match="more than 10 values"):
        read(path, read_mat)


@pytest.mark.parametrize("chunks", [None, (2,), (5,)])
def test_a_vector_that_announces_more_than_the_file_holds_is_refused(tmp_path, chunks):
    path = tmp_path / "a.h5"
    values = [np.arange(n, dtype=np.uint16) for n in (3, 0, 5, 2, 4)]
    with h5py.File(path, "w") as file:
        data = file.create_dataset("units", (5,), h5py.vlen_dtype(np.uint16), chunks=chunks)
        for row, value in enumerate(values):
            data[row] = value
    content = path.read_bytes()
    with hdf5.open_hdf5(path) as file:
        for row, value in enumerate(values):
            np.testing.assert_array_equal(hdf5.vector(file["units"], row), value)
        place = hdf5._place(file["units"], 3)
    assert content[place : place + 4] == b"\2\0\0\0"
    path.write_bytes(content[:place] + b"\xff\xff\xff\x0c" + content[place + 4 :])
    with (
        hdf5.open_hdf5(path) as file,
        pytest.raises(DataError, match="announces 218103807 numbers and has 4 bytes"),
    ):
        hdf5.vector(file["units"], 3)
