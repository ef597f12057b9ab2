"""Which column of a table of events is which, and the unit of its time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.base import Columns

FIELDS = ("x", "y", "p", "t")

UNITS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
"""Microseconds of a unit of time."""

_NAMES = {
    "x": ("x", "xs", "x_coordinate", "col", "column"),
    "y": ("y", "ys", "y_coordinate", "row"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
}
_UNIT_WORDS = {"us": "us", "µs": "us", "usec": "us", "ms": "ms", "s": "s", "sec": "s", "ns": "ns"}
_HEADING = re.compile(r"([a-z_]+?)[_ ]*[\[(]?(us|µs|usec|ms|sec|s|ns)?[\])]?")

_EXACT = 2.0**53


HOW = (
    "Name the columns: -o data.columns='[t, x, y, p]' (their order, '_' for others) or '{x: NAME, ...}', "
    "and their time: -o data.time_unit=us (docs/data.md)."
)


class UnknownLayoutError(DataError):
    """A sound file whose columns are not known: what was found is said, and how to name them."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint=HOW)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a person says of columns that a file does not name.

    Attributes:
        order: ``x``, ``y``, ``p`` and ``t`` in the order of the columns, ``_`` for one to pass over.
        names: the name of each of the four in the file.
        unit: of the time; None is that of the format.
    """

    order: tuple[str, ...] | None = None
    names: Mapping[str, str] | None = None
    unit: str | None = None

    @classmethod
    def of(cls, columns: tuple[str, ...] | dict[str, str] | None, unit: str | None) -> Layout:
        """As options say it: columns in their order, or each by its name."""
        if isinstance(columns, dict):
            return cls(names=columns, unit=unit)
        return cls(order=columns, unit=unit)

    def name(self, field: str, found: Sequence[str]) -> str | None:
        """Which of the names ``found`` is that of ``field``."""
        if self.names is not None:
            return self.names[field] if self.names[field] in found else None
        if field in found:
            return field
        lower = {heading(name)[0]: name for name in found}
        return next((lower[known] for known in _NAMES[field] if known in lower), None)


NOTHING_SAID = Layout()


def heading(text: str) -> tuple[str, str | None]:
    """Name and unit of a column's heading, such as ``timestamp[us]`` or ``t_ms``."""
    plain = text.strip().strip("\"'").lower()
    if match := _HEADING.fullmatch(plain):
        known = any(match[1] in names for names in _NAMES.values())
        if known and match[2] and plain not in {name for names in _NAMES.values() for name in names}:
            return match[1], _UNIT_WORDS[match[2]]
    return plain, None


def events_of(columns: Mapping[str, NDArray[Any]], unit: str | None = None) -> Columns:
    """Columns x, y, p and t as whole numbers, time in microseconds, polarity -1 as 0 (OFF).

    Raises:
        DataError: a column holds values that are no whole numbers.
    """
    x, y, p = (whole_numbers(columns[name], name) for name in ("x", "y", "p"))
    t = columns["t"]
    if unit not in {None, "us"}:
        t = np.rint(t.astype(np.float64) * UNITS[str(unit)])
    try:
        t = whole_numbers(t, "t")
    except DataError as error:
        hint = " (in another unit? data.time_unit: s, ms or ns)" if columns["t"].dtype.kind == "f" else ""
        raise DataError(f"{error.message}{hint}") from None
    return Columns(x, y, t, signless(p))


def signless(p: NDArray[Any]) -> NDArray[Any]:
    """Polarities with -1 as 0: both stand for OFF."""
    return np.where(p == -1, 0, p) if p.dtype.kind == "i" else p


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


def from_array(array: NDArray[Any], layout: Layout = NOTHING_SAID) -> Columns:
    """Columns of a structured array ``[E]``, or of numbers ``[E, 4]`` in the order that ``layout`` says, by
    default x, y, p, t.

    Raises:
        UnknownLayoutError: it is neither.
        DataError: it holds values that are no whole numbers.
    """
    if array.dtype.names is not None:
        return _from_fields(array, layout)
    order = layout.order or FIELDS
    if array.ndim == 2 and array.shape[1] == len(order) and array.dtype.kind in "iubfc":
        return events_of({name: array[:, order.index(name)] for name in FIELDS}, layout.unit)
    raise UnknownLayoutError(
        f"{array.dtype} of shape {array.shape}; events have {', '.join(FIELDS)} or [E, {len(order)}]"
    )


def _from_fields(array: NDArray[Any], layout: Layout) -> Columns:
    names = array.dtype.names or ()
    chosen = {field: name for field in FIELDS if (name := layout.name(field, names)) is not None}
    lacking = sorted(set(FIELDS) - chosen.keys())
    if array.ndim != 1 or lacking:
        missing = f", without {', '.join(lacking)}" if array.ndim == 1 else ""
        found = ", ".join(names[:20])
        raise UnknownLayoutError(
            f"an array of shape {array.shape}{missing}; events have {', '.join(FIELDS)}; found: {found}"
        )
    if shaped := [name for name in chosen.values() if array.dtype[name].subdtype]:
        raise DataError(f"{', '.join(shaped)} of several numbers per event; events have {', '.join(FIELDS)}")
    columns = {field: np.ascontiguousarray(array[name]) for field, name in chosen.items()}
    return events_of(columns, layout.unit or heading(chosen["t"])[1])
