"""Arrays of numbers in MATLAB files of version 5 to 7.2 ("MAT-File Format", The MathWorks; level 5).

::

    text (116 bytes)   where (8)   version (uint16, 0x0100)   "MI", which says the order of bytes
    elements:  type (uint32)   size (uint32)   content, up to a multiple of 8 bytes
               or, in short:   type (uint16)   size (uint16, at most 4)   content (4 bytes)
    array (type 14):  flags (class, complex)   shape   name   values, in the order of Fortran
    packed (type 15): an element, by zlib

Written for files of strangers: sizes are checked before anything is read, and values are kept in the type
that the file has. Everything that is no array of real numbers is left alone.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError

MAX_VALUES = 1 << 26
"""Of one array: half a gibibyte of the largest type."""

_HEADER = 128
_ARRAY, _PACKED = 14, 15
_INT32, _UINT32, _INT8 = 5, 6, 1
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMBERS = range(6, 16)
"""Classes of arrays of numbers: double, single, and integers of 8 to 64 bits."""

_COMPLEX = 1 << 11
_MAX_AXES = 32
_MAX_NAME = 63
_INPUT = 1 << 16


class Found(NamedTuple):
    """An array: its class number, shape and, where it was asked for, its values ``[prod(shape)]``."""

    kind: int
    shape: tuple[int, ...]
    values: NDArray[np.number] | None


def read_arrays(path: Path, names: frozenset[str]) -> dict[str, Found]:
    """Every array of a file by its name, with the values of those in ``names``.

    Raises:
        DataError: an array in ``names`` holds no real numbers, or too many.
        ValueError, struct.error, zlib.error: it is no such file, or is damaged.
    """
    found: dict[str, Found] = {}
    with path.open("rb") as file:
        order = _order(file.read(_HEADER))
        size = path.stat().st_size
        while (start := file.tell()) < size:
            kind, length = struct.unpack(f"{order}II", _exactly(file, 8))
            if length > size - file.tell():
                raise ValueError(f"an element of {length} bytes; {size - file.tell()} are left")
            if kind in {_ARRAY, _PACKED}:
                name, array = _array(_Unpacked(file, length) if kind == _PACKED else file, order, names, kind)
                found[name] = array
            file.seek(start + 8 + (length if kind == _PACKED else length + -length % 8))
    return found


class _Stream(Protocol):
    def read(self, count: int, /) -> bytes: ...


def _order(header: bytes) -> str:
    mark = header[126:128]
    order = {b"IM": "<", b"MI": ">"}.get(mark)
    if order is None or struct.unpack(f"{order}H", header[124:126]) != (0x0100,):
        raise ValueError("it has no header of a MATLAB file of version 5 to 7.2")
    return order


class _Unpacked:
    """What an element of ``length`` bytes unpacks to, read in parts."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length
        self._zlib = zlib.decompressobj()
        self._input = b""

    def read(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count and not self._zlib.eof:
            if not self._input:
                self._input = self._file.read(min(self._left, _INPUT))
                self._left -= len(self._input)
                if not self._input:
                    break
            part = self._zlib.decompress(self._input, count)
            self._input = self._zlib.unconsumed_tail
            count -= len(part)
            parts.append(part)
        return b"".join(parts)


def _array(stream: _Stream, order: str, names: frozenset[str], kind: int) -> tuple[str, Found]:
    if kind == _PACKED:
        inner, _ = struct.unpack(f"{order}II", _exactly(stream, 8))
        if inner != _ARRAY:
            return "", Found(0, (), None)
    flags = struct.unpack(f"{order}II", _small(stream, order, _UINT32, 8))[0]
    axes = _small(stream, order, _INT32, 4 * _MAX_AXES)
    shape = struct.unpack(f"{order}{len(axes) // 4}i", axes[: len(axes) // 4 * 4])
    name = _small(stream, order, _INT8, _MAX_NAME).decode("ascii", "replace")
    if name not in names:
        return name, Found(flags & 255, shape, None)
    if flags & 255 not in _NUMBERS or flags & _COMPLEX:
        raise DataError(f"'{name}' is of type object, not of real numbers (class {flags & 255})")
    if min(shape, default=0) < 0 or math.prod(shape) > MAX_VALUES:
        raise DataError(f"'{name}' of shape {shape} has more than {MAX_VALUES} values")
    return name, Found(flags & 255, shape, _values(stream, order, name, math.prod(shape)))


def _values(stream: _Stream, order: str, name: str, count: int) -> NDArray[np.number]:
    kind, size, content = _tag(stream, order)
    dtype = np.dtype(order + _TYPES[kind]) if kind in _TYPES else None
    if dtype is None or size != count * dtype.itemsize:
        raise DataError(f"'{name}' has {size} bytes of type {kind} for {count} values")
    content = _exactly(stream, size) if content is None else content[:size]
    return np.frombuffer(content, dtype)


def _small(stream: _Stream, order: str, kind: int, limit: int) -> bytes:
    """The content of an element of ``kind``, at most ``limit`` bytes."""
    found, size, content = _tag(stream, order)
    if found != kind or size > limit:
        raise ValueError(f"an element of type {found} and {size} bytes; here one of type {kind} is")
    if content is None:
        return _exactly(stream, size + -size % 8)[:size]
    return content[:size]


def _tag(stream: _Stream, order: str) -> tuple[int, int, bytes | None]:
    """Type and size of an element, and the content of a short one."""
    data = _exactly(stream, 8)
    kind, size = struct.unpack(f"{order}II", data)
    if kind >> 16:
        return kind & 0xFFFF, min(kind >> 16, 4), data[4:]
    return kind, size, None


def _exactly(stream: _Stream, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise ValueError(f"it ends within an element: {len(data)} of {count} bytes")
    return data
