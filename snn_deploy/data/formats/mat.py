"""Recordings in MATLAB files (version 5 to 7.2): ``.mat``.

Two layouts are known, both from conversions of AEDAT 2.0 (CIFAR10-DVS, ASL-DVS): a matrix ``out1`` with the
columns t, x, y, p, or vectors ``ts``, ``x``, ``y`` and ``pol``. Polarity may be 0 and 1, or -1 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.formats.base import PART, Columns
from snn_deploy.data.formats.layout import NOTHING_SAID, Layout, UnknownLayoutError, events_of, heading
from snn_deploy.data.formats.mat5 import Found, read_arrays

_MATRIX = "out1"
_ORDER = ("t", "x", "y", "p")
_VECTORS = {"x": "x", "y": "y", "t": "ts", "p": "pol"}


def read_mat(path: Path, layout: Layout = NOTHING_SAID) -> Iterator[Columns]:
    """The events of a file, in parts."""
    said = frozenset(layout.names.values()) if layout.names else frozenset({_MATRIX, *_VECTORS.values()})
    with named_damage("it is no readable MATLAB file of version 5 to 7.2"):
        columns = _columns(read_arrays(path, said), layout)
    unit = layout.unit or heading(layout.names["t"] if layout.names else "t")[1]
    for start in range(0, len(columns["t"]), PART):
        yield events_of({field: column[start : start + PART] for field, column in columns.items()}, unit)


def _columns(found: dict[str, Found], layout: Layout) -> dict[str, NDArray[Any]]:
    if layout.names is None and _MATRIX in found:
        return _of_matrix(found[_MATRIX], layout)
    names = layout.names or _VECTORS
    if lacking := sorted(set(names.values()) - found.keys()):
        here = ", ".join(f"{name} {array.shape}" for name, array in list(found.items())[:20])
        raise UnknownLayoutError(
            f"it lacks {', '.join(lacking)}; known: {_MATRIX}, or {', '.join(_VECTORS.values())}; "
            f"found: {here}"
        )
    columns = {field: values for field in names if (values := found[names[field]].values) is not None}
    if len({len(vector) for vector in columns.values()}) > 1:
        sizes = ", ".join(f"{names[field]} {len(vector)}" for field, vector in columns.items())
        raise DataError(f"its vectors differ in length: {sizes}")
    return columns


def _of_matrix(found: Found, layout: Layout) -> dict[str, NDArray[Any]]:
    order = layout.order or _ORDER
    if len(found.shape) != 2 or found.shape[1] != len(order) or found.values is None:
        raise UnknownLayoutError(f"'{_MATRIX}' of shape {found.shape}; known: the columns t, x, y, p")
    columns = found.values.reshape(len(order), found.shape[0])
    return {field: columns[order.index(field)] for field in _VECTORS}
