"""Files ``.ts`` of the UEA and UCR archives of time series (Bagnall et al. 2018, arXiv 1811.00075)::

    # comments
    @problemName ...   @timeStamps false   @dimensions D   @classLabel true NAME ...
    @data
    v,v,v,...:v,v,...:...:NAME           one series: its D dimensions over time, and its class

Words behind an ``@`` are told apart without regard to capitals. The series of a file may differ in length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage

MAX_BYTES = 1 << 28
_MAX_CLASSES = 10_000


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """``series``: float32 ``[L, D]`` each; ``labels``: int64, into ``classes``."""

    series: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def read_series(path: Path) -> SeriesFile:
    """All series of a file.

    Raises:
        DataError: missing, larger than 256 MiB, damaged, with time stamps or gaps, or without classes.
    """
    with named_damage(f"'{path}' is damaged", unreadable=f"'{path}' cannot be read"):
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"'{path}' has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read.")
        lines = enumerate(path.read_text("utf-8").splitlines(), start=1)
        classes = _header(lines, path)
        found = [_line(line, number, classes, path) for number, line in lines if line.strip()]
    if not found:
        raise DataError(f"'{path}' has no series behind @data.")
    if len({series.shape[1] for series, _ in found}) > 1:
        raise DataError(f"The series of '{path}' differ in their number of dimensions.")
    labels = np.array([label for _, label in found], np.int64)
    return SeriesFile(tuple(series for series, _ in found), labels, classes)


def _header(lines: Iterator[tuple[int, str]], path: Path) -> tuple[str, ...]:
    """Read up to ``@data``; the names of the classes."""
    classes: tuple[str, ...] = ()
    for _, line in lines:
        word, *values = line.split() or ["#"]
        word = word.lower()
        if word == "@data":
            if not 0 < len(classes) <= _MAX_CLASSES:
                raise DataError(f"'{path}' names {len(classes)} classes; 1 to {_MAX_CLASSES:,} are read.")
            return classes
        if word == "@timestamps" and values[:1] != ["false"]:
            raise DataError(f"'{path}' has time stamps; series at even steps are read.")
        if word == "@classlabel" and values[:1] == ["true"]:
            classes = tuple(values[1:])
    raise DataError(f"'{path}' has no line @data.")


def _line(line: str, number: int, classes: tuple[str, ...], path: Path) -> tuple[NDArray[np.float32], int]:
    *dimensions, label = line.strip().split(":")
    where = f"Line {number} of '{path}'"
    if label not in classes:
        raise DataError(f"{where} is of the class '{label[:40]}', which the file does not name.")
    values = [np.array(dimension.split(","), np.float32) for dimension in dimensions]
    if not values or len({len(value) for value in values}) > 1:
        raise DataError(f"{where} has dimensions of different lengths.")
    series = np.stack(values, axis=1)
    if not np.isfinite(series).all():
        raise DataError(f"{where} has gaps; whole series of finite numbers are read.")
    return series, classes.index(label)
