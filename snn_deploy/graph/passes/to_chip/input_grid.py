"""The integers that stand for a network's input: ``x = scale n``.

Spikes stay 0 and 1. Counts, and frames that are counts times one number, are exact as graded spikes of up to
8 bits. Anything else is rounded to 255 levels of its largest value; then the error is stated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

LEVELS = 255
_TOLERANCE = 1e-4
"""Distance from an integer, in units of the grid, that float32 frames may have."""


@dataclass(frozen=True, slots=True)
class InputGrid:
    """``x = scale n`` with n in ``range``; ``error`` is the largest rounding error, 0 when exact."""

    scale: float
    range: tuple[int, int]
    error: float

    def units(self, x: torch.Tensor) -> torch.Tensor:
        """The integers n of x, as float32."""
        return (x.double() / self.scale).round_().float()

    def on(self, x: torch.Tensor) -> InputGrid:
        """The same grid with the error that it has on the samples x."""
        error = float((x.double() - self.scale * self.units(x).double()).abs().max())
        return replace(self, error=error if error > _TOLERANCE * self.scale else 0.0)


def input_grid(x: torch.Tensor) -> InputGrid:
    """The grid of the samples x. Its range is the smallest power of two that holds them, so that inputs of
    the same kind fit as well."""
    magnitudes = torch.unique(x.abs())
    nonzero = magnitudes[magnitudes > 0].double()
    if not len(nonzero):
        return InputGrid(1.0, (0, 1), 0.0)
    largest = float(nonzero[-1])
    for unit in (1.0, float(nonzero[0])):
        counts = nonzero / unit
        if largest / unit < LEVELS + 0.5 and bool(((counts - counts.round()).abs() <= _TOLERANCE).all()):
            return InputGrid(unit, _range_of(x, round(largest / unit)), 0.0)
    return InputGrid(largest / LEVELS, _range_of(x, LEVELS), 0.0).on(x)


def _range_of(x: torch.Tensor, largest: int) -> tuple[int, int]:
    high = (1 << largest.bit_length()) - 1
    return (-high if bool((x < 0).any()) else 0, high)
