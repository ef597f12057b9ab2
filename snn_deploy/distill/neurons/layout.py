"""How numbers of neurons over time lie in memory."""

from __future__ import annotations

import torch


def steps_in_a_row(x: torch.Tensor) -> bool:
    """Whether one step's elements fill one piece of memory after the other's, in the same order."""
    sizes = sorted(zip(x.stride()[1:], x.shape[1:], strict=True))
    reached = 1
    for stride, size in sizes:
        if size != 1 and stride != reached:
            return False
        reached *= size
    return len(x) == 1 or x.stride(0) == reached
