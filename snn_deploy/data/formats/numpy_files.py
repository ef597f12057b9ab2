"""Recordings as numpy arrays, ``.npy`` and ``.npz``; pickled objects are refused.

An ``.npy`` file has an array with the fields x, y, p and t (and any others), or ``[E, 4]`` numbers in this
order, as tonic has DVS-Gesture. An ``.npz`` file has four vectors x, y, p and t, as spikingjelly writes them.
A layout may name them otherwise.
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
from snn_deploy.data.formats.layout import (
    FIELDS,
    NOTHING_SAID,
    Layout,
    UnknownLayoutError,
    events_of,
    from_array,
    heading,
)

MAX_ARCHIVE_BYTES = 4 << 30
"""Of the unpacked vectors of an ``.npz`` file."""

_ARCHIVE = b"PK\x03\x04"


def read_npy(path: Path, layout: Layout = NOTHING_SAID) -> Iterator[Columns]:
    """The events of a memory-mapped array, in parts."""
    with path.open("rb") as file:
        if file.read(len(_ARCHIVE)) == _ARCHIVE:
            raise DataError("it is an archive, not an array; name it .npz")
    with named_damage("it is no array of numbers"):
        array = np.lib.format.open_memmap(path, "r")
    for start in range(0, len(array) if array.ndim else 0, PART):
        yield from_array(np.asarray(array[start : start + PART]), layout)


def read_npz(path: Path, layout: Layout = NOTHING_SAID) -> Iterator[Columns]:
    """The events of an archive, in parts."""
    with (
        named_damage("it is no archive of vectors"),
        path.open("rb") as file,
        zipfile.ZipFile(file) as archive,
    ):
        sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        names = {field: name for field in FIELDS if (name := layout.name(field, list(sizes))) is not None}
        if lacking := sorted(set(FIELDS) - names.keys()):
            raise UnknownLayoutError(
                f"it lacks {', '.join(lacking)}; events have {', '.join(FIELDS)}; found: "
                f"{', '.join(list(sizes)[:20])}"
            )
        if (total := sum(sizes[name] for name in names.values())) > MAX_ARCHIVE_BYTES:
            raise DataError(f"{total} bytes unpacked; the limit is {MAX_ARCHIVE_BYTES}")
        vectors = {field: _Vector(archive.open(f"{name}.npy"), name) for field, name in names.items()}
        if len(counts := {vector.count for vector in vectors.values()}) > 1:
            raise DataError(f"its vectors differ in length: {sorted(counts)}")
        for _ in range(0, counts.pop(), PART):
            columns = {field: vector.part() for field, vector in vectors.items()}
            yield events_of(columns, layout.unit or heading(names["t"])[1])


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
