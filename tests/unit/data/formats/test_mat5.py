"""Arrays of MATLAB files, against what scipy writes and a file written by hand, big end first."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from scipy.io import savemat

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats import mat5
from snn_deploy.data.formats.mat5 import read_arrays

KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 4), (0, 4), (2, 3, 4)])
def test_every_type_of_numbers(tmp_path, kind, shape, packed):
    array = (np.arange(np.prod(shape)) % 100).astype(kind).reshape(shape)
    path = tmp_path / "a.mat"
    more = {"text": "abc", "cell": np.array([1, "a"], object), "struct": {"a": 1}, "flag": np.array([True])}
    savemat(path, {"before": np.eye(3), **more, "wanted": array}, do_compression=packed)
    found = read_arrays(path, frozenset({"wanted"}))
    assert set(found) >= {"before", "text", "cell", "struct", "flag", "wanted"}
    assert found["before"].values is None
    assert found["wanted"].shape == shape
    np.testing.assert_array_equal(found["wanted"].values.reshape(shape, order="F"), array)


def test_big_end_first_and_short_elements(tmp_path):
    """``a = [1; 258]`` as uint16 stored in a short element, the name too; written field by field."""
    body = struct.pack(">IIII", 6, 8, 11, 0)  # flags: class uint16
    body += struct.pack(">IIii", 5, 8, 2, 1)  # shape
    body += struct.pack(">HH", 1, 1) + b"a\0\0\0"  # name; in a short element the size comes first
    body += struct.pack(">HHHH", 4, 4, 1, 258)
    path = tmp_path / "a.mat"
    path.write_bytes(b"text".ljust(124) + b"\x01\x00MI" + struct.pack(">II", 14, len(body)) + body)
    np.testing.assert_array_equal(read_arrays(path, frozenset("a"))["a"].values, [1, 258])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([1j]), "not of real numbers"),
        ("text", "not of real numbers"),
        ({"a": 1}, "not of real numbers"),
    ],
)
def test_what_is_no_number_is_refused_only_where_it_is_wanted(tmp_path, value, message):
    savemat(tmp_path / "a.mat", {"a": value})
    assert read_arrays(tmp_path / "a.mat", frozenset("b"))["a"].values is None
    with pytest.raises(DataError, match=message):
        read_arrays(tmp_path / "a.mat", frozenset("a"))


def test_sizes_are_checked_before_anything_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.zeros((1000, 4))}, do_compression=True)
    monkeypatch.setattr(mat5, "MAX_VALUES", 3999)
    with pytest.raises(DataError, match="more than 3999 values"):
        read_arrays(path, frozenset("a"))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 132, 2**31)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="an element of 2147483648 bytes"):
        read_arrays(path, frozenset("a"))
