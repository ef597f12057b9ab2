"""Fixed, stratified splits without random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray


def stratified_split(labels: NDArray[np.integer], fractions: Sequence[float]) -> list[NDArray[np.int64]]:
    """Divide the samples into ``len(fractions)`` parts, class by class, spread evenly over their order.

    The j-th sample of a class (j = 1, 2, ...) goes to the part that lacks most, that is with the largest
    ``fraction j - (samples of the class it has)``; the first such part at a tie. With P parts, a
    part is never more than ``1 - 1/P`` samples per class above its share.

    Returns:
        Sorted sample indices of each part.
    """
    share = np.asarray(fractions, np.float64) / np.sum(fractions)
    part = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        given = np.zeros(len(share))
        for j, member in enumerate(members, start=1):
            chosen = int(np.argmax(share * j - given))
            given[chosen] += 1
            part[member] = chosen
    return [np.flatnonzero(part == p) for p in range(len(share))]


def spread(total: int, count: int | None) -> torch.Tensor:
    """``count`` indices evenly spread over ``total``, so that sets sorted by class are sampled fairly; all of
    them for None."""
    if count is None or count >= total:
        return torch.arange(total)
    return torch.arange(count) * total // count
