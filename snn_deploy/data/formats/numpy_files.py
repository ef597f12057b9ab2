"""Recordings as numpy arrays, ``.npy`` and ``.npz``; pickled objects are refused.

An ``.npy`` file has an array with the fields x, y, p and t (and any others), or ``[E, 4]`` numbers in this
order, as tonic has DVS-Gesture. An ``.npz`` file has four vectors x, y, p and t, as spikingjelly writes them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.base import PART, Columns

MAX_ARCHIVE_BYTES = 4 << 30
"""Of the unpacked vectors of an ``.npz`` file, which are read as a whole."""

FIELDS = ("x", "y", "p", "t")

_EXACT = 2.0**53


def read_npy(path: Path, *, milliseconds: bool = False) -> Iterator[Columns]:
    """The events of a memory-mapped array, in parts.

    Args:
        path: the file.
        milliseconds: whether its time stamps are milliseconds, not microseconds.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"it is no array of numbers: {_first_line(error)}") from None
    if not isinstance(array, np.ndarray):
        raise DataError("it is an archive, not an array; name it .npz")
    for start in range(0, len(array) if array.ndim else 0, PART):
        yield from_array(np.asarray(array[start : start + PART]), milliseconds=milliseconds)


def from_array(array: NDArray[Any], *, milliseconds: bool = False) -> Columns:
    """Columns of a structured array ``[E]`` or of numbers ``[E, 4]``: x, y, p, t.

    Raises:
        DataError: it is neither, or holds values that are no whole numbers.
    """
    if array.dtype.names is not None:
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
    """The events of an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        if lacking := sorted(set(FIELDS) - sizes.keys()):
            raise DataError(f"it lacks {', '.join(lacking)}; events have {', '.join(FIELDS)}")
        if (total := sum(sizes[name] for name in FIELDS)) > MAX_ARCHIVE_BYTES:
            raise DataError(f"{total} bytes unpacked; the limit is {MAX_ARCHIVE_BYTES}")
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: whole_numbers(np.asarray(arrays[name]), name) for name in FIELDS}
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"it is no archive of vectors: {_first_line(error)}") from None
    yield Columns(columns["x"], columns["y"], columns["t"], columns["p"])


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
