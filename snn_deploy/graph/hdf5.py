"""Access to HDF5 files that nobody vouches for.

Links that leave their place are refused, and sizes are checked before anything is read.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from snn_deploy.errors import DataError, Problem

MAX_ELEMENTS = 1 << 28


class FormatFaultError(Exception):
    """One entry that a format does not allow; collected by the reader, so that all are reported at once."""

    def __init__(
        self, where: str, what: str, rule: str = "", source: str = "", try_instead: str = ""
    ) -> None:
        self.problem = Problem(where, what, rule, source, try_instead)
        super().__init__(what)


def integers(group: h5py.Group, name: str, where: str) -> npt.NDArray[np.int64]:
    """A dataset of integer values (stored as integers or floats), as int64.

    Raises:
        DataError: missing, empty, too large, not numeric, or kept outside the file.
        FormatFaultError: values that are no integers, or need more than 32 bits.
    """
    dataset = child(group, name, h5py.Dataset, where)
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{where}: '{name}' keeps its data outside the file.")
    if dataset.dtype.kind not in "iufb" or dataset.size is None or dataset.size > MAX_ELEMENTS:
        raise DataError(f"{where}: '{name}' is {dataset.dtype} with {dataset.size} elements.")
    if dataset.size == 0:
        raise DataError(f"{where}: '{name}' is empty.")
    values = np.asarray(dataset[()])
    whole = np.rint(values) if values.dtype.kind == "f" else values
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (whole == values).all()):
        raise FormatFaultError(
            where, f"'{name}' holds values that are no integers", "integers", try_instead="round them first"
        )
    if np.abs(whole.astype(np.float64)).max() >= 2**31:
        raise FormatFaultError(where, f"'{name}' exceeds 32 bits", "32-bit integers")
    return whole.astype(np.int64)


def text(group: h5py.Group, name: str, where: str) -> str:
    """One short string, or an array of one.

    Raises:
        DataError: missing, or something else.
    """
    dataset = child(group, name, h5py.Dataset, where)
    if dataset.size != 1 or dataset.is_virtual or dataset.external:
        raise DataError(f"{where}: '{name}' is not one short string.")
    value = np.asarray(dataset[()]).reshape(-1)[0]
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value))[:80]


def child(group: h5py.Group, name: str, kind: type, where: str) -> Any:
    """A member of ``group`` that lies in the same file and is of ``kind``.

    Raises:
        DataError: missing, a link, or something else.
    """
    link = group.get(name, getlink=True)
    if link is None:
        raise DataError(f"{where}: '{name}' is missing.")
    if not isinstance(link, h5py.HardLink):
        raise DataError(f"{where}: '{name}' is a link out of its place.")
    member = group[name]
    if not isinstance(member, kind):
        raise DataError(f"{where}: '{name}' is not a {kind.__name__.lower()}.")
    return member
