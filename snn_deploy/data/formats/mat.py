"""Recordings in MATLAB files (version 5 to 7.2): ``.mat``.

Two layouts are known, both from conversions of AEDAT 2.0 (CIFAR10-DVS, ASL-DVS): a matrix ``out1`` with the
columns t, x, y, p, or vectors ``ts``, ``x``, ``y`` and ``pol``. Polarity may be 0 and 1, or -1 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.formats.base import PART, Columns
from snn_deploy.data.formats.mat5 import Found, read_arrays
from snn_deploy.data.formats.numpy_files import whole_numbers

_MATRIX = "out1"
_VECTORS = ("x", "y", "ts", "pol")


def read_mat(path: Path) -> Iterator[Columns]:
    """The events of a file, in parts."""
    with named_damage("it is no readable MATLAB file of version 5 to 7.2"):
        columns = _columns(read_arrays(path, frozenset({_MATRIX, *_VECTORS})))
    signed = bool((columns[3] == -1).any())
    for start in range(0, len(columns[2]), PART):
        x, y, t, p = (
            whole_numbers(column[start : start + PART], name)
            for column, name in zip(columns, ("x", "y", "t", "p"), strict=True)
        )
        yield Columns(x, y, t, np.maximum(p, 0) if signed else p)


def _columns(found: dict[str, Found]) -> tuple[NDArray[Any], ...]:
    names = [_MATRIX] if _MATRIX in found else list(_VECTORS)
    if lacking := sorted(set(names) - found.keys()):
        raise DataError(f"it lacks {', '.join(lacking)}; known: {_MATRIX}, or {', '.join(_VECTORS)}")
    values = [v for name in names if (v := found[name].values) is not None]
    if names != [_MATRIX]:
        if len({len(vector) for vector in values}) > 1:
            sizes = ", ".join(f"{name} {len(v)}" for name, v in zip(names, values, strict=True))
            raise DataError(f"its vectors differ in length: {sizes}")
        return tuple(values)
    shape = found[_MATRIX].shape
    if len(shape) != 2 or shape[1] != 4:
        raise DataError(f"'{_MATRIX}' of shape {shape}; known: the columns t, x, y, p")
    t, x, y, p = values[0].reshape(4, shape[0])
    return x, y, t, p
