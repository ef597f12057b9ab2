"""The reader of a file, by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.aedat import version_of
from snn_deploy.data.formats.aedat2 import read_aedat2
from snn_deploy.data.formats.aedat3 import read_aedat3
from snn_deploy.data.formats.aedat4 import read_aedat4
from snn_deploy.data.formats.base import Columns, Reader
from snn_deploy.data.formats.bits40 import read_bits40
from snn_deploy.data.formats.hdf5 import read_hdf5
from snn_deploy.data.formats.mat import read_mat
from snn_deploy.data.formats.numpy_files import read_npy, read_npz


def read_aedat(path: Path) -> Iterator[Columns]:
    """The events of an AEDAT file of version 2.0, 3.1 or 4.0."""
    known: dict[str, Reader] = {"2.0": read_aedat2, "3.1": read_aedat3, "4.0": read_aedat4}
    version = version_of(path)
    if version not in known:
        raise DataError(f"it is AEDAT {version}; known: {', '.join(known)}")
    yield from known[version](path)


READERS: Mapping[str, Reader] = {
    ".aedat": read_aedat,
    ".aedat4": read_aedat,
    ".bin": read_bits40,
    ".npy": read_npy,
    ".npz": read_npz,
    ".hdf5": read_hdf5,
    ".h5": read_hdf5,
    ".mat": read_mat,
}
"""Readers by the ending of a file's name, in lower case."""


def read_any(path: Path) -> Iterator[Columns]:
    """The events of a file in any known format, in parts.

    Raises:
        DataError: the file's name ends otherwise.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"its name ends in '{path.suffix}'; known: {', '.join(READERS)}")
    yield from reader(path)
