"""A quantity known between bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """``low <= mid <= high`` in SI units.

    Sums and multiples of intervals add and scale the bounds: the extremes of every term may coincide, so a
    sum is never narrower than its parts warrant.
    """

    low: float
    mid: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.mid <= self.high:
            raise ValueError(f"not an interval: {self.low} <= {self.mid} <= {self.high}")

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __mul__(self, factor: float) -> Interval:
        if factor < 0:
            raise ValueError(f"a quantity is not negative: {factor}")
        return Interval(self.low * factor, self.mid * factor, self.high * factor)

    def over(self, other: Interval) -> Interval:
        """Quotient of two positive intervals that are independent of each other."""
        return Interval(self.low / other.high, self.mid / other.mid, self.high / other.low)


ZERO = Interval(0.0, 0.0, 0.0)


def total(intervals: Iterable[Interval]) -> Interval:
    """Sum of intervals; zero of none."""
    result = ZERO
    for interval in intervals:
        result = result + interval
    return result
