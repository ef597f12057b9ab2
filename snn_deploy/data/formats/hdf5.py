"""Recordings in HDF5 files: ``data/0`` with the fields x, y, p and t (tonic's cache), and spikes of SHD.

Only what lies in the file itself is read: links to other files, virtual data sets and data in other files are
refused, and so are chunks that need more memory than a part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.base import MAX_EVENTS, PART, Columns
from snn_deploy.data.formats.numpy_files import from_array

MAX_CHUNK_BYTES = 64 << 20


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file; errors of the library become what is wrong with the file.

    Raises:
        DataError: it is no such file or is damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"it is no readable HDF5 file: {error}") from None


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
    if here.chunks and math.prod(here.chunks) * here.dtype.itemsize > MAX_CHUNK_BYTES:
        raise DataError(f"'{name}' has chunks of {here.chunks}; the limit is {MAX_CHUNK_BYTES} bytes")
    if here.ndim and here.shape[0] > MAX_EVENTS:
        raise DataError(f"'{name}' has {here.shape[0]} entries; the limit is {MAX_EVENTS}")
    return here


def read_hdf5(path: Path) -> Iterator[Columns]:
    """The events of ``data/0``, in parts."""
    with open_hdf5(path) as file:
        data = dataset(file, "data/0")
        for start in range(0, len(data) if data.ndim else 0, PART):
            yield from_array(np.asarray(data[start : start + PART]))
