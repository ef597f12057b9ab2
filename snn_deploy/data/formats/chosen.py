"""The reader of a file, by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.pipeline import Binner, Made
from snn_deploy.data.formats.aedat import version_of
from snn_deploy.data.formats.aedat2 import read_aedat2
from snn_deploy.data.formats.aedat3 import read_aedat3
from snn_deploy.data.formats.aedat4 import aedat4_frames, read_aedat4
from snn_deploy.data.formats.base import Columns, Reader
from snn_deploy.data.formats.bits40 import bits40_frames, read_bits40
from snn_deploy.data.formats.dat import read_dat
from snn_deploy.data.formats.evt import read_evt
from snn_deploy.data.formats.hdf5_events import read_hdf5
from snn_deploy.data.formats.layout import NOTHING_SAID, Layout
from snn_deploy.data.formats.mat import read_mat
from snn_deploy.data.formats.numpy_files import read_npy, read_npz
from snn_deploy.data.formats.text import read_text

LayoutReader = Callable[[Path, Layout], Iterator[Columns]]


def read_aedat(path: Path, _layout: Layout = NOTHING_SAID) -> Iterator[Columns]:
    """The events of an AEDAT file of version 2.0, 3.1 or 4.0."""
    known: dict[str, Reader] = {"2.0": read_aedat2, "3.1": read_aedat3, "4.0": read_aedat4}
    version = version_of(path)
    if version not in known:
        raise DataError(f"it is AEDAT {version}; known: {', '.join(known)}")
    yield from known[version](path)


def _fixed(reader: Reader) -> LayoutReader:
    """A reader of a format whose columns are fixed."""
    return lambda path, _layout: reader(path)


READERS: Mapping[str, LayoutReader] = {
    ".aedat": read_aedat,
    ".aedat4": read_aedat,
    ".bin": _fixed(read_bits40),
    ".raw": _fixed(read_evt),
    ".dat": _fixed(read_dat),
    ".csv": read_text,
    ".txt": read_text,
    ".npy": read_npy,
    ".npz": read_npz,
    ".hdf5": read_hdf5,
    ".h5": read_hdf5,
    ".mat": read_mat,
}
"""Readers by the ending of a file's name, in lower case."""


_AT_ONCE: Mapping[str, Callable[[Path, Binner], Made | None]] = {
    ".aedat": aedat4_frames,
    ".aedat4": aedat4_frames,
    ".bin": bits40_frames,
}


def any_frames(path: Path, binner: Binner) -> Made | None:
    """Frames of a whole file in one pass; None where its format, the file or the frames need more."""
    at_once = _AT_ONCE.get(path.suffix.lower())
    return None if at_once is None else at_once(path, binner)


def read_any(path: Path, layout: Layout = NOTHING_SAID) -> Iterator[Columns]:
    """The events of a file in any known format, in parts; ``layout`` names columns where the format does not.

    Raises:
        DataError: the file's name ends otherwise.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"its name ends in '{path.suffix}'; known: {', '.join(READERS)}")
    yield from reader(path, layout)
