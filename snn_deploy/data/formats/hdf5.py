"""Arrays in HDF5 files of strangers.

Only what lies in the file itself is read: links to other files, virtual data sets and data in other files are
refused, and so are chunks that need more memory than a part.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.formats.base import MAX_EVENTS

MAX_CHUNK_BYTES = 64 << 20
MAX_ENTRY_BYTES = 1024
MAX_RATIO = 1100
"""Unpacked to stored bytes: above what zlib can do (1,032); what is more was never written."""

_CHUNK_BYTES = 8
"""Of the description of a chunk in a file, at least."""

_VECTOR_BYTES = 16
"""Of the description of a vector: length, address, number."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file; errors of the library become what is wrong with the file.

    Raises:
        DataError: it is no such file or is damaged.
    """
    with named_damage("it is no readable HDF5 file"), h5py.File(path, "r") as file:
        yield file


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """The array ``name``, which lies in the file itself.

    Raises:
        DataError: there is none, or it lies elsewhere.
    """
    here: Any = file
    for part in name.split("/"):
        if not isinstance(here, h5py.Group) or not isinstance(here.get(part, getlink=True), h5py.HardLink):
            raise DataError(f"it has no '{name}' of its own")
        here = here[part]
    if not isinstance(here, h5py.Dataset):
        raise DataError(f"'{name}' is no array")
    if here.external or here.is_virtual:
        raise DataError(f"'{name}' lies in other files")
    if here.dtype.itemsize > MAX_ENTRY_BYTES:
        raise DataError(f"'{name}' has entries of {here.dtype.itemsize} bytes; limit: {MAX_ENTRY_BYTES}")
    if here.chunks and math.prod(here.chunks) * here.dtype.itemsize > MAX_CHUNK_BYTES:
        raise DataError(f"'{name}' has chunks of {here.chunks}; the limit is {MAX_CHUNK_BYTES} bytes")
    if here.ndim and here.shape[0] > MAX_EVENTS:
        raise DataError(f"'{name}' has {here.shape[0]} entries; the limit is {MAX_EVENTS}")
    stored, size = here.id.get_storage_size(), os.fstat(file.id.get_vfd_handle()).st_size
    if here.size * here.dtype.itemsize > MAX_RATIO * stored + MAX_CHUNK_BYTES or (here.size and not stored):
        raise DataError(f"'{name}' announces {here.size} values; {stored} bytes are stored of them")
    if here.chunks and here.size > math.prod(here.chunks) * (size // _CHUNK_BYTES + 1):
        raise DataError(f"'{name}' announces more chunks of {here.chunks} than {size} bytes can hold")
    return here


def vector(data: h5py.Dataset, index: int) -> NDArray[Any]:
    """Entry ``index`` of an array of vectors, or of texts as bytes ``[length]``.

    Where the description of a vector is not packed we read it, and the heap it lies in, ourselves ("HDF5 File
    Format Specification", III.E): on damage the library makes room for any length, or looks for ever.

    Raises:
        DataError: it is damaged.
    """
    base = h5py.check_vlen_dtype(data.dtype)
    kind = np.dtype("S1") if base in {bytes, str} or base is None else np.dtype(base)
    place = _place(data, index)
    if place is None:
        return np.frombuffer(np.asarray(data[index]).tobytes(), kind)
    length, address, number = struct.unpack("<IQI", _at(data, place, _VECTOR_BYTES))
    if not length:
        return np.empty(0, kind)
    content = _heap_object(data, address, number)
    if length * kind.itemsize > len(content):
        raise DataError(f"'{data.name}' announces {length} numbers and has {len(content)} bytes")
    return np.frombuffer(content, kind, length)


def _place(data: h5py.Dataset, index: int) -> int | None:
    """Where in the file the vector ``index`` is described; None if it is packed, or no vector."""
    if h5py.check_vlen_dtype(data.dtype) is None:
        return None
    if data.chunks is None:
        start = data.id.get_offset()
        return None if start is None else start + index * _VECTOR_BYTES
    if data.id.get_create_plist().get_nfilters():
        return None
    start = data.id.get_chunk_info_by_coord((index,)).byte_offset
    return None if start is None else start + index % data.chunks[0] * _VECTOR_BYTES


def _at(data: h5py.Dataset, place: int, count: int) -> bytes:
    """``count`` bytes of the file of ``data``."""
    content = os.pread(data.file.id.get_vfd_handle(), count, place) if 0 <= place < 1 << 62 else b""
    if len(content) != count:
        raise DataError(f"'{data.name}' lies beyond the end of the file")
    return content


def _heap_object(data: h5py.Dataset, address: int, number: int) -> bytes:
    """Object ``number`` of the heap at ``address``."""
    start = data.file.userblock_size + address
    mark, size = struct.unpack("<4s4xQ", _at(data, start, 16))
    if mark != b"GCOL" or not 16 <= size <= MAX_CHUNK_BYTES:
        raise DataError(f"'{data.name}' has no heap at byte {start}")
    heap, at = _at(data, start, size), 16
    while at + 16 <= size:
        found, length = struct.unpack_from("<H6xQ", heap, at)
        if found in {0, number}:
            if found and at + 16 + length <= size:
                return heap[at + 16 : at + 16 + length]
            break
        at += 16 + length + -length % 8
    raise DataError(f"'{data.name}' has no object {number} in the heap at byte {start}")
