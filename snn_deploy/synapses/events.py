"""What activity means in events: the class of its values, its sites and its units.

Three kinds of event are told apart:

* a **site** is a non-zero element;
* a **unit** is one quantum of value;
* the **class** of an edge says which values occur: ``binary`` {0, q}, ``signed unary`` {-q, 0, q},
  ``graded`` (whole multiples of q), ``analog`` (anything else; it has no units).

Values of a single magnitude are binary or signed unary whatever that magnitude is: it folds into the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isfinite
from typing import Any, Literal

import torch

from snn_deploy.core.errors import DataError

Shape = tuple[int, ...]

EdgeClass = Literal["binary", "signed unary", "graded", "analog"]
CLASSES: tuple[EdgeClass, ...] = ("binary", "signed unary", "graded", "analog")
"""From the narrowest to the widest."""

WHOLE = 1e-5
"""How far, relative to max(1, |k|), value / quantum may lie from the whole number k: float32 pooling."""

EXACT_FLOAT32 = 1 << 24
"""Every integer up to here is a float32; a sum of non-negative integers below it is exact in any order."""

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Activity:
    """Activity of one edge, one row per step and sample.

    Attributes:
        values: ``[rows, *shape]``, what entered the weights, in any order in memory; float32 or float64.
        edge_class: which values occur.
        quantum: value of one unit; None for analog activity, and where nothing was active and none is known.
        units: number of units per element, whole numbers; None where there are none.
        largest: the highest of them.
    """

    values: torch.Tensor
    edge_class: EdgeClass
    quantum: float | None
    units: torch.Tensor | None = None
    largest: int = 1

    @cached_property
    def sites(self) -> torch.Tensor:
        """1 where an element is not zero, in a floating dtype."""
        if self.units is not None and self.largest <= 1:
            return self.units
        return (self.values != 0).to(self.values.dtype)

    @cached_property
    def _grouped(self) -> dict[int, torch.Tensor]:
        return {}

    def sites_by_group(self, groups: int) -> torch.Tensor:
        """Sites summed over the channels of each group: ``[rows, groups, *spatial]``."""
        if groups not in self._grouped:
            self._grouped[groups] = sum_by_group(self.sites, groups)
        return self._grouped[groups]

    @cached_property
    def active(self) -> torch.Tensor:
        """Number of sites per row, whole numbers; from a sum over channels where there is one."""
        parts = flat_rows(next(iter(self._grouped.values()), self.sites))
        exact = self.values[:1].numel() < EXACT_FLOAT32
        return parts.sum(1, dtype=None if exact else torch.float64)


def sum_by_group(amount: torch.Tensor, groups: int) -> torch.Tensor:
    """Sum ``amount [rows, channels, *spatial]`` over the channels of each group."""
    channels = amount.shape[1] // groups
    if channels == 1:
        return amount
    split = torch.unflatten(amount, 1, (groups, channels))
    return split.sum(2, dtype=None if channels < EXACT_FLOAT32 else torch.float64).contiguous()


def flat_rows(values: torch.Tensor) -> torch.Tensor:
    """``values [rows, *shape]`` as ``[rows, n]`` without a copy, where they lie channels first or last."""
    last = values.ndim > 2 and not values.is_contiguous()
    return (values.movedim(1, -1) if last else values).reshape(values.shape[0], -1)


def mask(values: torch.Tensor) -> Activity:
    """Activity of ``values [rows, *shape]`` that are known to be 0 or 1."""
    return Activity(values, "binary", 1.0, units=values)


def classify(values: torch.Tensor, quantum: Fraction | None) -> Activity:
    """Decide the class of ``values [rows, *shape]`` whose structural quantum is ``quantum``.

    Raises:
        DataError: a value is not finite.
    """
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    if quantum == 1 and _is_binary(values):
        return mask(values)
    low, high = (float(v) for v in torch.aminmax(values)) if values.numel() else (0.0, 0.0)
    if not isfinite(low) or not isfinite(high):
        raise DataError("The recorded activity holds values that are not finite.")
    largest = max(-low, high)
    if largest == 0.0:
        return Activity(values, "binary", None if quantum is None else float(quantum))
    for candidate in (quantum, Fraction(largest)):
        if candidate is not None and (found := _in_units(values, candidate, low, high)):
            return found
    return Activity(values, "analog", None)


def _is_binary(values: torch.Tensor) -> bool:
    """Whether every value is 0 or 1, by blocks that stay in the cache; NumPy compares faster on a CPU."""
    tensor = flat_rows(values.detach()).reshape(-1)
    flat: Any = tensor if tensor.is_cuda else tensor.numpy()
    blocks = (flat[start : start + _BLOCK] for start in range(0, tensor.numel(), _BLOCK))
    return all(bool(((block == 0) | (block == 1)).all()) for block in blocks)


def _in_units(values: torch.Tensor, quantum: Fraction, low: float, high: float) -> Activity | None:
    """The activity in whole multiples of ``quantum``; None where some value is none."""
    power_of_two = quantum.numerator == 1 and quantum.denominator & (quantum.denominator - 1) == 0
    multiples = values if quantum == 1 else values * float(1 / quantum)
    if not power_of_two:
        multiples = values.double() / float(quantum)
    whole = multiples.round()
    if not torch.equal(multiples, whole):
        outside = (multiples - whole).abs() > WHOLE * whole.abs().clamp(min=1.0)
        if bool((outside | ((whole == 0) & (values != 0))).any()):
            return None
    bottom, top = round(low / float(quantum)), round(high / float(quantum))
    edge_class: EdgeClass = "graded" if max(-bottom, top) > 1 else "binary" if bottom >= 0 else "signed unary"
    return Activity(
        values, edge_class, float(quantum), whole if bottom >= 0 else whole.abs(), max(-bottom, top)
    )


def join_classes(
    parts: Sequence[tuple[EdgeClass, float | None, bool]],
) -> tuple[EdgeClass, float | None]:
    """Class and quantum of one edge over several parts of a run, each (class, quantum, was anything active).

    The widest class holds. Active parts whose quanta differ by more than :data:`WHOLE` make it analog.
    """
    active = [part for part in parts if part[2]]
    if not active:
        return parts[0][:2]
    widest = max((edge_class for edge_class, _, _ in parts), key=CLASSES.index)
    quantum = active[0][1]
    if widest == "analog" or quantum is None:
        return "analog", None
    if any(other is None or abs(other - quantum) > WHOLE * quantum for _, other, _ in active):
        return "analog", None
    return widest, quantum
