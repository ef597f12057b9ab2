"""Recordings in MATLAB files (version 5 to 7.2), read by scipy: ``.mat``.

Two layouts are known, both from conversions of AEDAT 2.0 (CIFAR10-DVS, ASL-DVS): a matrix ``out1`` with the
columns t, x, y, p, or vectors ``ts``, ``x``, ``y`` and ``pol``. Polarity may be 0 and 1, or -1 and 1.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.base import Columns
from snn_deploy.data.formats.numpy_files import whole_numbers

MAX_VALUES = 1 << 28

_MATRIX = "out1"
_VECTORS = ("x", "y", "ts", "pol")


def read_mat(path: Path) -> Iterator[Columns]:
    """The events of a file."""
    from scipy.io.matlab import MatReadError

    faults = (ValueError, TypeError, KeyError, IndexError, NotImplementedError, EOFError, zlib.error)
    try:
        columns = _columns(path)
    except (*faults, MatReadError) as error:
        raise DataError(f"it is no readable MATLAB file of version 5 to 7.2: {error}") from None
    x, y, t, p = (whole_numbers(c, n) for c, n in zip(columns, ("x", "y", "t", "p"), strict=True))
    yield Columns(x, y, t, np.maximum(p, 0) if (p == -1).any() else p)


def _columns(path: Path) -> tuple[NDArray[Any], ...]:
    from scipy.io import loadmat, whosmat

    shapes = {name: shape for name, shape, _ in whosmat(path)}
    names = [_MATRIX] if _MATRIX in shapes else list(_VECTORS)
    if lacking := sorted(set(names) - shapes.keys()):
        raise DataError(f"it lacks {', '.join(lacking)}; known: {_MATRIX}, or {', '.join(_VECTORS)}")
    if any(math.prod(shapes[name]) > MAX_VALUES for name in names):
        raise DataError(f"more than {MAX_VALUES} values")
    values = loadmat(path, variable_names=names)
    if names != [_MATRIX]:
        return tuple(np.asarray(values[name]).reshape(-1) for name in names)
    matrix = np.asarray(values[_MATRIX])
    if matrix.ndim != 2 or matrix.shape[1] != 4:
        raise DataError(f"'{_MATRIX}' of shape {matrix.shape}; known: the columns t, x, y, p")
    return matrix[:, 1], matrix[:, 2], matrix[:, 0], matrix[:, 3]
