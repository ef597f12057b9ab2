from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.images import idx

from snn_deploy.core.errors import DataError
from snn_deploy.data.sets import idx as module
from snn_deploy.data.sets.idx import idx_sha256, read_idx


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(0, 5)] * 3)))
def test_idx_files_come_back(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("idx")
    (folder / "a").write_bytes(idx(array))
    (folder / "a.gz").write_bytes(gzip.compress(idx(array)))
    np.testing.assert_array_equal(read_idx(folder / "a", 3), array)
    np.testing.assert_array_equal(read_idx(folder / "a.gz", 3), array)
    assert idx_sha256(array) == hashlib.sha256(idx(array)).hexdigest()


def header(*words):
    return struct.pack(f">{len(words)}I", *words)


FAULTS = {
    "empty": (b"", "0 bytes are shorter than its header"),
    "short header": (header(0x803, 2, 2), "12 bytes are shorter than its header"),
    "other type": (header(0xD03, 1, 1, 1) + b"\0", "begins with 0x00000d03, not with 0x00000803"),
    "other dimensions": (header(0x801, 1, 1, 1), "begins with 0x00000801, not with 0x00000803"),
    "too short": (header(0x803, 1, 2, 2) + b"abc", "announces 4 values and has 3"),
    "too long": (header(0x803, 1, 2, 2) + b"abcde", "announces 4 values and has more"),
    "huge": (
        header(0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1),
        "announces 79228162458924105385300197375 values",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("packed", [True, False])
def test_untrue_header_is_refused(tmp_path, fault, packed):
    content, reason = FAULTS[fault]
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError) as caught:
        read_idx(path, 3)
    assert reason in caught.value.message


def test_no_more_is_unpacked_than_announced(tmp_path, monkeypatch):
    read = []

    class Counting(gzip.GzipFile):
        def read(self, size=-1):
            data = super().read(size)
            read.append((size, len(data)))
            return data

    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(0x803, 1, 2, 2) + bytes(50_000_000)))
    monkeypatch.setattr(module.gzip, "open", Counting)
    with pytest.raises(DataError, match="announces 4 values and has more"):
        read_idx(path, 3)
    assert read == [(16, 16), (5, 5)]


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip"])
def test_damaged_archive(tmp_path, damage):
    content = bytearray(gzip.compress(idx(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))))
    if damage == "cut":
        del content[-12:]
    elif damage == "flipped":
        content[-6] ^= 1  # in the checksum
    else:
        content[:2] = b"PK"
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "a.gz", 3)
