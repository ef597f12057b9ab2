"""Events per row: the product of activity with a fan-out map.

For source activity ``x [rows, n]`` with quantum ``q`` and fan-out map ``f [n]``:

    sites[r] = Σ_i [x[r, i] ≠ 0] f[i]          units[r] = Σ_i |x[r, i]| / q · f[i]

A site is what a core that reads a weight once per active source pays; a unit is what hardware pays that sends
one message per unit of value. Both are integers and both are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from snn_deploy.synapses.events import (
    EXACT_FLOAT32,
    Activity,
    EdgeClass,
    flat_rows,
    join_classes,
    sum_by_group,
)
from snn_deploy.synapses.maps import FanOut


@dataclass(frozen=True, slots=True)
class Reduced:
    """Activity as far as it must be read element by element; the rest follows from sums over channels.

    Attributes:
        edge_class, quantum: see :class:`~snn_deploy.synapses.events.Activity`.
        active: non-zero elements per row.
        sites: non-zero elements per group of channels and position, ``[rows, groups, *spatial]``.
        units: units likewise; None for analog activity; ``sites`` itself where every site is one unit.
        sites_nonzero, units_nonzero: events per row over weights that are not zero; None unless pruned.
        largest: most units in one element.
    """

    edge_class: EdgeClass
    quantum: float | None
    active: torch.Tensor
    sites: torch.Tensor
    units: torch.Tensor | None
    sites_nonzero: torch.Tensor | None
    units_nonzero: torch.Tensor | None
    largest: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole numbers in floating point, one per row. ``units`` are None for analog activity."""

    active: torch.Tensor
    sites: torch.Tensor
    sites_nonzero: torch.Tensor
    units: torch.Tensor | None
    units_nonzero: torch.Tensor | None


def reduce(activity: Activity, fan: FanOut) -> Reduced:
    """Everything that must be read from ``activity``, whose rows are ``[channels, *spatial]`` or ``[n]``."""
    units = sites_nonzero = units_nonzero = None
    sites = activity.sites_by_group(fan.groups)
    if fan.pruned:
        sites_nonzero = _product(activity.sites, fan, 1, used=True)
    if activity.edge_class == "graded" and activity.units is not None:
        units = sum_by_group(activity.units, fan.groups)
        units_nonzero = _product(activity.units, fan, activity.largest, used=True) if fan.pruned else None
    elif activity.edge_class != "analog":
        units, units_nonzero = sites, sites_nonzero
    return Reduced(
        activity.edge_class,
        activity.quantum,
        activity.active,
        sites,
        units,
        sites_nonzero,
        units_nonzero,
        activity.largest,
    )


def join(parts: Sequence[Reduced]) -> Reduced:
    """Successive rows of one edge as one; the class is that of all of them."""
    edge_class, quantum = join_classes([(p.edge_class, p.quantum, bool(p.active.any())) for p in parts])
    sites = torch.cat([part.sites for part in parts])
    units: torch.Tensor | None = sites
    if edge_class == "analog":
        units = None
    elif any(part.units is not part.sites for part in parts):
        units = torch.cat([part.units.to(sites.dtype) for part in parts if part.units is not None])
    return Reduced(
        edge_class,
        quantum,
        torch.cat([part.active for part in parts]),
        sites,
        units,
        _cat([part.sites_nonzero for part in parts]),
        None if units is None else _cat([part.units_nonzero for part in parts]),
        max(part.largest for part in parts),
    )


def _cat(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None


def count_rows(reduced: Reduced, fan: FanOut) -> Rows:
    """Events of ``reduced`` over the weights of ``fan``."""
    sites = _product(reduced.sites, fan, 1)
    nonzero = sites if reduced.sites_nonzero is None else reduced.sites_nonzero
    if reduced.units is None:
        return Rows(reduced.active, sites, nonzero, None, None)
    units = sites if reduced.units is reduced.sites else _product(reduced.units, fan, reduced.largest)
    units_nonzero = units if reduced.units_nonzero is None else reduced.units_nonzero
    return Rows(reduced.active, sites, nonzero, units, units_nonzero)


def _product(amount: torch.Tensor, fan: FanOut, largest: int, *, used: bool = False) -> torch.Tensor:
    """``amount`` times the map by group, or times that of the weights ``used``: float32 where it is exact."""
    targets = fan.nonzero if used else fan.by_group
    if largest * fan.dense < EXACT_FLOAT32 and amount.dtype == torch.float32 and not amount.is_cuda:
        last = amount.ndim > 2 and not amount.is_contiguous()
        return torch.from_numpy(flat_rows(amount.detach()).numpy() @ fan.rounded(used, last))
    return times(amount, targets)


def times(amount: torch.Tensor, fan: torch.Tensor) -> torch.Tensor:
    """Exact ``amount [rows, *shape] · fan [*shape]``, float64 whole numbers; both hold whole numbers >= 0.

    float64 is exact below 2^53. Large 0/1 masks in float32 are multiplied in slices whose total stays below
    2^24, where float32 is exact and twice as fast; NumPy does that, because torch may be set to round the
    factors to bfloat16 first (``torch.set_float32_matmul_precision``).
    """
    last = amount.ndim > 2 and not amount.is_contiguous()
    flat = flat_rows(amount.detach())
    weights = (fan.movedim(0, -1) if last else fan).flatten().to(amount.device)
    mask = flat.dtype == torch.float32 and not flat.is_cuda and flat.numel() > _LARGE
    if not mask or float(flat.max()) > 1 or int(weights.max()) >= EXACT_FLOAT32:
        return flat.double() @ weights.double()
    rows, factors = flat.numpy(), weights.numpy().astype(np.float32)
    total = np.zeros(rows.shape[0])
    for start, stop in _slices(weights):
        total += rows[:, start:stop] @ factors[start:stop]
    return torch.from_numpy(total)


_LARGE = 1 << 14


def _slices(fan: torch.Tensor) -> list[tuple[int, int]]:
    """Cut ``fan`` into runs whose sum stays below 2^24."""
    cumulative = fan.cumsum(0).numpy()
    slices, start, base = [], 0, 0
    while start < cumulative.size:
        stop = int(np.searchsorted(cumulative, base + EXACT_FLOAT32, side="left"))
        slices.append((start, stop))
        start, base = stop, int(cumulative[stop - 1])
    return slices
