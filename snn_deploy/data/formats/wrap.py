"""Counters that begin again at 0 when their bits are used up, continued."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Wrapping:
    """Continues numbers of ``bits`` bits: between neighbours lies less than half a turn, forward or, in a
    recording out of order, back. The first number is taken as it is."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._last: int | None = None
        self._turns = 0

    def unwrap(self, numbers: NDArray[np.integer]) -> NDArray[np.int64]:
        """The next numbers, continued."""
        if not len(numbers):
            return numbers.astype(np.int64)
        first, last, half = int(numbers[0]), int(numbers[-1]), 1 << (self._bits - 1)
        before = first if self._last is None else self._last
        self._last = last
        wide = numbers.astype(np.int64)
        if before <= first and last - before < half and (numbers[1:] >= numbers[:-1]).all():
            return wide + (self._turns << self._bits) if self._turns else wide
        steps = np.diff(wide, prepend=before)
        turns = self._turns + np.cumsum((steps < -half).astype(np.int64) - (steps >= half))
        self._turns = int(turns[-1])
        return wide + (turns << self._bits)
