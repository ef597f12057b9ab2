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
        wide = numbers.astype(np.int64)
        if not len(wide):
            return wide
        last = int(wide[0]) if self._last is None else self._last
        self._last = int(wide[-1])
        if wide[0] < last or (wide[1:] < wide[:-1]).any() or int(wide[-1]) - last >= 1 << (self._bits - 1):
            steps, half = np.diff(wide, prepend=last), 1 << (self._bits - 1)
            turns = self._turns + np.cumsum((steps < -half).astype(np.int64) - (steps >= half))
            self._turns = int(turns[-1])
            return wide + (turns << self._bits)
        return wide + (self._turns << self._bits) if self._turns else wide
