"""Geometry of the charts: positions in percent of a track, so that drawings scale and their text does not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snn_deploy.report import format as fmt


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis; ``anchor`` keeps the labels at both ends inside the track."""

    at: float
    label: str

    @property
    def anchor(self) -> str:
        """SVG text anchor."""
        return "start" if self.at < 2 else "end" if self.at > 98 else "middle"


@dataclass(frozen=True, slots=True)
class LogAxis:
    """Maps ``low .. high`` (both positive) to 0 .. 100 logarithmically."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float], *, room: float = 1.6) -> LogAxis:
        """An axis that holds all positive ``values`` with some room at both ends."""
        positive = [value for value in values if value > 0]
        if not positive:
            return cls(0.1, 10.0)
        return cls(min(positive) / room, max(positive) * room)

    def at(self, value: float) -> float:
        """Position of ``value``, clamped to the track."""
        if value <= self.low:
            return 0.0
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(100 * min(share, 1.0), 3)

    def ticks(self, unit: str, *, at_most: int = 7) -> tuple[Tick, ...]:
        """Powers of ten inside the axis, thinned to every second, third, sixth ... decade."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        decades = range(first, last + 1)
        for step in (1, 2, 3, 6, 9):
            chosen = [d for d in decades if d % step == 0]
            if len(chosen) <= at_most:
                break
        return tuple(Tick(self.at(10.0**d), fmt.power_of_ten(d, unit)) for d in chosen)


@dataclass(frozen=True, slots=True)
class LinearAxis:
    """Maps ``low .. high`` to 0 .. 100."""

    low: float
    high: float

    @classmethod
    def of_fractions(cls, values: Sequence[float]) -> LinearAxis:
        """An axis for accuracies: whole steps around the values, inside 0 .. 1, never narrower than 2 %."""
        low, high = min(values), max(values)
        step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 5 or s == 0.5)
        high = min(max(math.ceil(high / step) * step, 0.02), 1.0)
        return cls(max(min(math.floor(low / step) * step, high - 0.02), 0.0), high)

    def at(self, value: float) -> float:
        """Position of ``value``, clamped to the track."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 3)

    def percent_ticks(self) -> tuple[Tick, ...]:
        """Up to seven round percentages."""
        width = self.high - self.low
        step = next(s for s in (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if width / s <= 6.001)
        first = math.ceil(self.low / step - 1e-9)
        values = [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]
        decimals = 0 if step >= 0.01 else 1 if step >= 0.005 else 2
        return tuple(Tick(self.at(v), fmt.percent(v, decimals)) for v in values)


def wilson(fraction: float, samples: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927, score interval): what the number of samples leaves open.

    With z = 1.96: (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)
    """
    z = 1.959964
    centre = fraction + z * z / (2 * samples)
    half = z * math.sqrt(fraction * (1 - fraction) / samples + (z / (2 * samples)) ** 2)
    scale = 1 + z * z / samples
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def level(value: float, low: float, high: float, levels: int) -> int:
    """Colour level of a ``value`` on a log scale from ``low`` to ``high``: 1 .. levels; 0 for 0."""
    if value <= 0:
        return 0
    if high <= low:
        return levels
    share = math.log(value / low) / math.log(high / low)
    return 1 + min(int(share * levels), levels - 1)


def polyline(values: Sequence[float], low: float, high: float, along: Sequence[float] | None = None) -> str:
    """SVG points of a curve in a box of 100 x 100, ``high`` at the top; ``along`` are places from 0 at the
    left to 100 at the right, by default evenly spread."""
    places = along or [100 * i / max(len(values) - 1, 1) for i in range(len(values))]
    scale = (high - low) or 1.0
    return " ".join(
        f"{x:.3f},{100 - 100 * (value - low) / scale:.3f}" for x, value in zip(places, values, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of 100 x 100 points with the value at its end."""

    name: str
    css: str
    points: str
    last: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over the same places; ``range`` are the values at the bottom and at the top of the box."""

    curves: tuple[Curve, ...]
    range: tuple[str, str]

    @classmethod
    def of_fractions(
        cls, series: Iterable[tuple[str, str, Sequence[float]]], along: Sequence[float] | None = None
    ) -> Plot:
        """The (name, class, values) of accuracies, without those that are empty, on one zoomed axis; see
        :func:`polyline` for ``along``."""
        known = [(name, css, values) for name, css, values in series if values]
        axis = LinearAxis.of_fractions([v for _, _, values in known for v in values] or [0.0, 1.0])
        return cls(
            tuple(
                Curve(name, css, polyline(values, axis.low, axis.high, along), fmt.percent(values[-1]))
                for name, css, values in known
            ),
            (fmt.percent(axis.low, 0), fmt.percent(axis.high, 0)),
        )

    @classmethod
    def from_zero(cls, name: str, css: str, values: Sequence[float]) -> Plot:
        """One curve of positive values."""
        top = max(values)
        return cls((Curve(name, css, polyline(values, 0.0, top), fmt.si(values[-1])),), ("0", fmt.si(top)))


def binned(rows: Sequence[Sequence[float]], columns: int) -> tuple[list[list[float]], int]:
    """Rows with neighbouring columns averaged until at most ``columns`` are left, and how many make one."""
    width = len(rows[0]) if rows else 0
    size = max(1, math.ceil(width / columns))
    result = []
    for row in rows:
        chunks = [row[i : i + size] for i in range(0, width, size)]
        result.append([sum(chunk) / len(chunk) for chunk in chunks])
    return result, size
