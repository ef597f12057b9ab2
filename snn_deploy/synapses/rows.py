"""Events per row: the product of activity with a fan-out map.

For source activity ``x [rows, n]`` with quantum ``q`` and fan-out map ``f [n]``:

    sites[r] = Σ_i [x[r, i] ≠ 0] f[i]          units[r] = Σ_i |x[r, i]| / q · f[i]

A site is what a core that reads a weight once per active source pays; a unit is what hardware pays that sends
one message per unit of value. Both are integers and both are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.synapses.events import EXACT_FLOAT32, Activity, Shape, sum_by_group
from snn_deploy.synapses.maps import FanOut


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole numbers in floating point, one per row. ``units`` are None for analog activity."""

    active: torch.Tensor
    sites: torch.Tensor
    sites_nonzero: torch.Tensor
    units: torch.Tensor | None
    units_nonzero: torch.Tensor | None


def count_rows(activity: Activity, fan: FanOut, shape: Shape) -> Rows:
    """Events of ``activity``, whose rows have ``shape [channels, *spatial]``, over the weights of ``fan``."""
    grouped = activity.sites_by_group(fan.groups, shape)
    if fan.dense < EXACT_FLOAT32 and grouped.dtype == torch.float32 and not grouped.is_cuda:
        every, used = fan.rounded
        sites = _times32(grouped, every)
        nonzero = _times32(activity.sites, used) if fan.pruned else sites
    else:
        sites = times(grouped, fan.by_group)
        nonzero = times(activity.sites, fan.nonzero) if fan.pruned else sites
    if activity.edge_class == "analog":
        return Rows(activity.active, sites, nonzero, None, None)
    if activity.edge_class != "graded":
        return Rows(activity.active, sites, nonzero, sites, nonzero)
    units = times(sum_by_group(activity.units, fan.groups, shape), fan.by_group)
    return Rows(
        activity.active, sites, nonzero, units, times(activity.units, fan.nonzero) if fan.pruned else units
    )


def _times32(amount: torch.Tensor, fan: npt.NDArray[np.float32]) -> torch.Tensor:
    """``amount · fan`` in float32, by NumPy; see :func:`times`."""
    return torch.from_numpy(amount.detach().flatten(1).numpy() @ fan)


def times(amount: torch.Tensor, fan: torch.Tensor) -> torch.Tensor:
    """Exact ``amount [rows, *shape] · fan [*shape]``, float64 whole numbers; both hold whole numbers >= 0.

    float64 is exact below 2^53. Large 0/1 masks in float32 are multiplied in slices whose total stays below
    2^24, where float32 is exact and twice as fast; NumPy does that, because torch may be set to round the
    factors to bfloat16 first (``torch.set_float32_matmul_precision``).
    """
    flat, weights = amount.detach().flatten(1), fan.flatten().to(amount.device)
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
