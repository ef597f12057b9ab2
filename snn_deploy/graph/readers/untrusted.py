"""Read an HDF5 file that nobody vouches for: bounded time and memory, nothing outside the file.

HDF5 itself is written for friends. Found by fuzzing HDF5 2.0: it loops for ever on a text heap with a free
block of size 0, and allocates whatever length a text declares. So heaps and lengths are checked in the raw
bytes first; links, virtual and external data are refused; a dataset may not be larger than what the file
stores could unpack to.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import DataError, Problem

MAX_FILE_BYTES = 4 * 2**30
MAX_CONTENT_BYTES = 4 * 2**30
MAX_TEXT = 2**20
MAX_NAME = 256
MAX_RANK = 8
MAX_EXPANSION = 1100
"""A deflated byte becomes at most 1032 (RFC 1951: 258 bytes for two bits)."""

_HEAP = b"GCOL\x01\x00\x00\x00"


class DamageError(ValueError):
    """Something in the file is wrong; ``where`` is its place in the file."""

    def __init__(self, where: str, what: str, rule: str = "") -> None:
        self.problem = Problem(where, what, rule=rule)
        super().__init__(what)


@contextmanager
def open_untrusted(path: Path, kind: str) -> Iterator[tuple[h5py.File, UntrustedFile]]:
    """Open an HDF5 file of ``kind`` (a noun for messages) and check its text heaps.

    Raises:
        DataError: missing, too large, not HDF5; or anything wrong that is met while it is open.
    """
    if not path.is_file():
        raise DataError(f"There is no {kind} file at '{path}'.")
    if not path.stat().st_size:
        raise DataError(f"'{path}' is empty; it is no {kind} file.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"'{path}' is larger than {MAX_FILE_BYTES} bytes.")
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
            h5py.File(_with_sound_heaps(path, content), "r", locking=False) as file,
        ):
            yield file, UntrustedFile(content)
    except DamageError as damage:
        raise DataError(f"'{path}' is not a sound {kind} file.", problems=[damage.problem]) from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise DataError(f"'{path}' is not a readable {kind} file: {error}") from None


def _with_sound_heaps(path: Path, content: mmap.mmap) -> Path:
    """Walk the global heaps, where HDF5 keeps texts."""
    begin = content.find(_HEAP)
    while begin >= 0:
        end = begin + int.from_bytes(content[begin + 8 : begin + 16], "little")
        position = begin + 16
        if end > len(content):
            raise DamageError("file", "has a text heap that reaches beyond its end")
        while position + 16 <= end:
            index = int.from_bytes(content[position : position + 2], "little")
            size = int.from_bytes(content[position + 8 : position + 16], "little")
            step = size if index == 0 else 16 + (size + 7) // 8 * 8
            if step < 16 or position + step > end:
                raise DamageError("file", f"has a text heap with a block of {size} bytes")
            position += step
        begin = content.find(_HEAP, begin + 8)
    return path


class UntrustedFile:
    """Checked access to the groups and datasets of one open file."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._budget = MAX_CONTENT_BYTES

    def group(self, parent: h5py.Group, name: str, where: str) -> h5py.Group:
        """The subgroup ``name``."""
        child = _child(parent, name, where)
        if not isinstance(child, h5py.Group):
            raise DamageError(join(where, name), "is not a group")
        return child

    def dataset(self, parent: h5py.Group, name: str, where: str) -> h5py.Dataset:
        """The dataset ``name``, which must lie in this very file."""
        child = _child(parent, name, where)
        if not isinstance(child, h5py.Dataset):
            raise DamageError(where, "is not a dataset")
        if child.is_virtual or child.external:
            raise DamageError(where, "takes its content from another file")
        return child

    def array(self, dataset: h5py.Dataset, where: str, *, endless: bool = False) -> npt.NDArray[Any]:
        """A dataset of finite numbers; ``endless``: or infinite ones."""
        if dataset.dtype.kind not in "fiub" or dataset.shape is None:
            raise DamageError(where, f"holds {dataset.dtype} instead of numbers")
        if len(dataset.shape) > MAX_RANK:
            raise DamageError(where, f"has {len(dataset.shape)} axes", f"at most {MAX_RANK}")
        self._budget -= int(dataset.size) * max(dataset.dtype.itemsize, 8)
        if self._budget < 0:
            rule = f"at most {MAX_CONTENT_BYTES} bytes in all"
            raise DamageError(where, f"declares the shape {dataset.shape}", rule)
        stored = min(dataset.id.get_storage_size(), len(self._content))
        if dataset.nbytes > MAX_EXPANSION * stored + MAX_TEXT:
            raise DamageError(where, f"declares {dataset.nbytes} bytes, but stores {stored}")
        array = np.asarray(dataset[()])
        if np.isnan(array).any() or not (endless or np.isfinite(array).all()):
            raise DamageError(where, "holds values that are not finite")
        return array

    def text(self, parent: h5py.Group, name: str, where: str) -> str:
        """A single text."""
        dataset = self.dataset(parent, name, where)
        if dataset.shape != () or not h5py.check_string_dtype(dataset.dtype):
            raise DamageError(where, f"'{name}' is not a text")
        self.check_text(dataset, MAX_TEXT, where)
        return _decode(dataset[()], where)

    def name_pairs(self, dataset: h5py.Dataset, most: int, where: str) -> list[tuple[str, str]]:
        """A list of at most ``most`` pairs of names."""
        if dataset.size == 0:
            return []
        if dataset.ndim != 2 or dataset.shape[1] != 2 or not h5py.check_string_dtype(dataset.dtype):
            what = f"has the shape {dataset.shape} of {dataset.dtype}"
            raise DamageError(where, what, "pairs of node names")
        if dataset.shape[0] > most:
            raise DamageError(where, f"lists {dataset.shape[0]} pairs", f"at most {most}")
        self.check_text(dataset, 4 * MAX_NAME, where)
        decoded = ((_decode(a, where), _decode(b, where)) for a, b in dataset[()])
        return [(checked_name(a, where), checked_name(b, where)) for a, b in decoded]

    def check_text(self, dataset: h5py.Dataset, longest: int, where: str) -> None:
        """Texts have at most ``longest`` bytes.

        One of variable length is stored as its length (4 bytes), heap address (8) and index (4).
        """
        if h5py.check_string_dtype(dataset.dtype).length is not None:
            declared = dataset.dtype.itemsize
        else:
            begin, count = dataset.id.get_offset(), int(dataset.size)
            if begin is None or begin + 16 * count > len(self._content):
                raise DamageError(where, "is a text that is not stored in one piece")
            fields = np.frombuffer(self._content[begin : begin + 16 * count], dtype="<u4")
            declared = int(fields[::4].max())
        if declared > longest:
            raise DamageError(where, f"holds a text of {declared} bytes", f"at most {longest} bytes")


def _child(parent: h5py.Group, name: str, where: str) -> Any:
    link = parent.get(checked_name(name, where), getlink=True)
    if link is None:
        raise DamageError(where or "file", f"has no '{name}'")
    if not isinstance(link, h5py.HardLink):
        raise DamageError(join(where, name), "is a link to another place")
    return parent[name]


def join(where: str, name: str) -> str:
    """The place of ``name`` inside ``where``."""
    return f"{where}.{name}" if where else name


def checked_name(name: str | bytes, where: str) -> str:
    """``name`` if HDF5 can store it as one name and people can read it.

    Raises:
        DamageError: empty, too long, unprintable, ``.``, ``..``, or with ``/``.
    """
    if isinstance(name, bytes):
        raise DamageError(where, f"holds the name {name[:40]!r}", "names in UTF-8")
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or "/" in name or name in {".", ".."}:
        rule = f"1 to {MAX_NAME} printable characters without '/'"
        raise DamageError(where, f"holds the name {name[:40]!r}", rule)
    return name


def _decode(value: Any, where: str) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise DamageError(where, "holds a text that is not UTF-8") from None
