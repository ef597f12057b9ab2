"""Integer arrays as C text: the narrowest type that holds them, packed where four bits do."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np

from snn_deploy.graph.lava.net import IntArray

_WIDTH = 100
_TYPES = (("int8_t", 8), ("int16_t", 16), ("int32_t", 32))


@dataclass(frozen=True, slots=True)
class Table:
    """A constant array.

    Attributes:
        ctype: of one entry.
        text: the entries, broken into lines.
        size: number of entries.
        bytes: what it takes in memory.
    """

    ctype: str
    text: str
    size: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Weights:
    r"""Weights ``[rows, width]`` as :math:`W = unit\, q`, q in ``table``.

    ``packed``: two values a byte, the even column in the low half, rows padded to whole bytes.
    """

    unit: int
    table: Table
    width: int
    packed: bool

    @property
    def stride(self) -> int:
        """Entries of the table from one row to the next."""
        return (self.width + 1) // 2 if self.packed else self.width


def common_unit(*matrices: IntArray) -> int:
    """The greatest common divisor of all entries; 1 where all are 0."""
    return max(1, int(np.gcd.reduce([int(np.gcd.reduce(np.abs(m), axis=None)) for m in matrices])))


def weights(matrix: IntArray, unit: int) -> Weights:
    """``matrix [rows, width]`` in units of ``unit``, which divides it, in as few bits as hold it."""
    q = matrix // unit
    packed = bool(q.size) and int(q.min()) >= -8 and int(q.max()) <= 7
    return Weights(unit, _packed(q) if packed else table(q), int(matrix.shape[1]), packed)


def table(values: IntArray) -> Table:
    """``values``, flattened, in the narrowest signed type that holds them all.

    Raises:
        OverflowError: more than 32 bits.
    """
    flat = values.reshape(-1)
    low, high = (int(flat.min()), int(flat.max())) if flat.size else (0, 0)
    for ctype, bits in _TYPES:
        if -(1 << bits - 1) <= low and high < 1 << bits - 1:
            return Table(ctype, lines([str(int(v)) for v in flat]), flat.size, flat.size * bits // 8)
    raise OverflowError(f"values from {low} to {high} need more than 32 bits")


def _packed(q: IntArray) -> Table:
    even = q if q.shape[1] % 2 == 0 else np.pad(q, ((0, 0), (0, 1)))
    pairs = (even[:, 0::2] & 15) | ((even[:, 1::2] & 15) << 4)
    return Table("uint8_t", lines([f"0x{int(v):02x}" for v in pairs.reshape(-1)]), pairs.size, pairs.size)


def lines(words: list[str]) -> str:
    """``words`` as the entries of a C array."""
    return textwrap.fill(", ".join(words) + ",", _WIDTH, subsequent_indent="    ")
