"""Float64 values with a bound on what float32 executions differ from them, and decisions on a threshold.

A threshold is **undecided** where |h - threshold| <= e_h and e_h > 0: there, and only there, float32
executions may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from snn_deploy.graph.dynamics import Fire
from snn_deploy.graph.later import later
from snn_deploy.graph.semantics import Spikes

UNIT = 2.0**-24
MANTISSA = 2.0**24
_FRACTION, _LEADING, _EXPONENT = (1 << 52) - 1, 1 << 52, 0x7FF
"""Of float64: the bits behind the point, the one before it, the width of the exponent."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """``value`` in float64 and the bound ``error`` on what a float32 execution differs from it."""

    value: torch.Tensor
    error: torch.Tensor

    def samples(self, which: torch.Tensor) -> Rounded:
        """Some of the samples of ``[T, B, *shape]``."""
        return Rounded(self.value[:, which], self.error[:, which])

    def steps(self) -> Iterator[Rounded]:
        """Every step as a sequence of one, ``[1, B, *shape]``."""
        return (
            Rounded(*pair)
            for pair in zip(torch.split(self.value, 1), torch.split(self.error, 1), strict=True)
        )

    def previous(self) -> Rounded:
        """One step later, zero at first."""
        return Rounded(later(self.value), later(self.error))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a spiking layer compares with its float32 ``threshold``; ``many``: with multiples of it too;
    ``rounded``: with the points half-way between ``levels + 1`` multiples."""

    membrane: Rounded
    threshold: torch.Tensor
    fires_at: str
    spikes: Spikes = "one"
    levels: int | None = None

    @classmethod
    def of(cls, fire: Fire, membrane: Rounded) -> Self:
        """What neurons that ``fire`` so compare."""
        return cls(membrane, float32(fire.threshold), fire.fires_at, fire.spikes, fire.levels)

    def fires(self) -> torch.Tensor:
        """Spikes of exact arithmetic."""
        h = self.membrane.value
        if self.spikes != "one":
            ratio = h / self.threshold + self._half
            whole = torch.ceil(ratio) - 1.0 if self.fires_at == ">" else torch.floor(ratio)
            return whole.clamp(0.0, self.levels)
        return (h > self.threshold if self.fires_at == ">" else h >= self.threshold).double()

    def undecided(self) -> torch.Tensor:
        """Where float32 executions may differ."""
        h, error = self.membrane.value, self.membrane.error
        nearest = self.threshold
        if self.spikes != "one":  # the quotient rounds, except where it is a whole number, or a half
            step, half = self.threshold, self._half
            nearest = step * ((h / step + half).round().clamp(1.0, self.levels) - half)
            error = error + torch.where(h == nearest, 0.0, 2 * UNIT * (h.abs() + half * step.abs()))
        return (error > 0) & ((h - nearest).abs() <= error)

    @property
    def _half(self) -> float:
        return 0.5 if self.spikes == "rounded" else 0.0


def exact(value: torch.Tensor) -> Rounded:
    """A value that every execution is given, such as spikes or recorded inputs."""
    value = value.double()
    return Rounded(value, value.new_zeros(()).expand_as(value))


def gamma(n: torch.Tensor | float) -> Any:
    """``n u / (1 - n u)`` for ``n`` roundings."""
    return n * UNIT / (1.0 - n * UNIT)


def lowest_bit(value: torch.Tensor) -> torch.Tensor:
    """The largest power of two that divides each element; infinite for zero. Not for numbers below 2^-970."""
    bits = value.double().contiguous().view(torch.int64)
    whole = (bits & _FRACTION) | _LEADING
    low = (whole & -whole).double()
    unit = (((bits >> 52) & _EXPONENT) - 52).clamp(min=1) << 52
    return torch.where(value == 0, torch.inf, low * unit.view(torch.float64))


def is_power_of_two(value: torch.Tensor) -> torch.Tensor:
    """Elements that are a power of two, of either sign, or zero."""
    return (value.double().contiguous().view(torch.int64) & _FRACTION) == 0


def is_float32(value: torch.Tensor) -> torch.Tensor:
    """Elements that float32 holds exactly."""
    return value.float().double() == value


def float32(value: Any) -> torch.Tensor:
    """``value`` rounded to float32, in float64."""
    return torch.from_numpy(np.asarray(value, np.float64).astype(np.float32).astype(np.float64))


def add(terms: Sequence[Rounded], slack: int = 0) -> Rounded:
    """Sum of the inputs of a node."""
    if len(terms) == 1:
        return terms[0]
    values = torch.stack([term.value for term in terms])
    error = torch.stack([term.error for term in terms]).sum(0)
    magnitude = values.abs().sum(0)
    count = (values != 0).sum(0)
    is_exact = magnitude <= MANTISSA * torch.stack([lowest_bit(v) for v in values]).amin(0)
    bound = gamma((count - 1).clamp(min=0) + slack * (count > 0)) * magnitude
    return Rounded(values.sum(0), error + torch.where(is_exact, 0.0, bound))
