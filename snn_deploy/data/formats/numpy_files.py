"""Recordings as numpy arrays, ``.npy`` and ``.npz``; pickled objects are refused.

An ``.npy`` file has an array with the fields x, y, p and t (and any others), or ``[E, 4]`` numbers in this
order, as tonic has DVS-Gesture. An ``.npz`` file has four vectors x, y, p and t, as spikingjelly writes them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.formats.base import PART, Columns, read_exactly

MAX_ARCHIVE_BYTES = 4 << 30
"""Of the unpacked vectors of an ``.npz`` file."""

_ARCHIVE = b"PK\x03\x04"

FIELDS = ("x", "y", "p", "t")

_EXACT = 2.0**53


def read_npy(path: Path, *, milliseconds: bool = False) -> Iterator[Columns]:
    """The events of a memory-mapped array, in parts.

    Args:
        path: the file.
        milliseconds: whether its time stamps are milliseconds, not microseconds.
    """
    with path.open("rb") as file:
        if file.read(len(_ARCHIVE)) == _ARCHIVE:
            raise DataError("it is an archive, not an array; name it .npz")
    with named_damage("it is no array of numbers"):
        array = np.lib.format.open_memmap(path, "r")
    for start in range(0, len(array) if array.ndim else 0, PART):
        yield from_array(np.asarray(array[start : start + PART]), milliseconds=milliseconds)


def from_array(array: NDArray[Any], *, milliseconds: bool = False) -> Columns:
    """Columns of a structured array ``[E]`` or of numbers ``[E, 4]``: x, y, p, t.

    Raises:
        DataError: it is neither, or holds values that are no whole numbers.
    """
    if array.dtype.names is not None:
        shaped = [name for name in FIELDS if name in array.dtype.names and array.dtype[name].subdtype]
        if shaped:
            raise DataError(
                f"{', '.join(shaped)} of several numbers per event; events have {', '.join(FIELDS)}"
            )
        if array.ndim != 1 or (lacking := sorted(set(FIELDS) - set(array.dtype.names))):
            missing = f", without {', '.join(lacking)}" if array.ndim == 1 else ""
            raise DataError(f"an array of shape {array.shape}{missing}; events have {', '.join(FIELDS)}")
        columns = {name: np.ascontiguousarray(array[name]) for name in FIELDS}
    elif array.ndim == 2 and array.shape[1] == len(FIELDS):
        columns = dict(zip(FIELDS, array.T, strict=True))
    else:
        raise DataError(f"{array.dtype} of shape {array.shape}; events have {', '.join(FIELDS)} or [E, 4]")
    if milliseconds:
        columns["t"] = np.rint(columns["t"].astype(np.float64) * 1000)
    numbers = {name: whole_numbers(column, name) for name, column in columns.items()}
    return Columns(numbers["x"], numbers["y"], numbers["t"], numbers["p"])


def whole_numbers(column: NDArray[Any], name: str) -> NDArray[Any]:
    """``column`` as integers; numbers with a fraction, infinities and NaN are refused by ``name``."""
    if column.dtype.kind in "iub":
        return column
    if column.dtype.kind != "f":
        raise DataError(f"{name} is of type {column.dtype}; events have whole numbers")
    values = column.astype(np.float64)
    if not (np.abs(values) <= _EXACT).all() or (values != np.rint(values)).any():
        raise DataError(f"{name} has values that are no whole numbers")
    return values.astype(np.int64)


def read_npz(path: Path) -> Iterator[Columns]:
    """The events of an archive, in parts."""
    with (
        named_damage("it is no archive of vectors"),
        path.open("rb") as file,
        zipfile.ZipFile(file) as archive,
    ):
        sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        if lacking := sorted(set(FIELDS) - sizes.keys()):
            raise DataError(f"it lacks {', '.join(lacking)}; events have {', '.join(FIELDS)}")
        if (total := sum(sizes[name] for name in FIELDS)) > MAX_ARCHIVE_BYTES:
            raise DataError(f"{total} bytes unpacked; the limit is {MAX_ARCHIVE_BYTES}")
        vectors = {name: _Vector(archive.open(f"{name}.npy"), name) for name in FIELDS}
        if len(counts := {vector.count for vector in vectors.values()}) > 1:
            raise DataError(f"its vectors differ in length: {sorted(counts)}")
        for _ in range(0, counts.pop(), PART):
            columns = {name: whole_numbers(vector.part(), name) for name, vector in vectors.items()}
            yield Columns(columns["x"], columns["y"], columns["t"], columns["p"])


class _Vector:
    """A vector of numbers in an archive, unpacked part by part."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        try:
            version = np.lib.format.read_magic(file)
        except ValueError:
            raise DataError(f"{name} is of type bytes, no array") from None
        head = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, self._dtype = head(file)
        if len(shape) != 1:
            raise DataError(f"{name} of shape {shape} is no vector")
        if self._dtype.kind not in "iubf":
            raise DataError(f"it is no archive of vectors: {name} is of type {self._dtype}")
        self._file, self._name = file, name
        self.count = self._left = int(shape[0])

    def part(self) -> NDArray[Any]:
        """The next values, :data:`PART` of them until few are left."""
        count = min(PART, self._left)
        self._left -= count
        data = read_exactly(self._file, count * self._dtype.itemsize, self._name)
        return np.frombuffer(data, self._dtype)
