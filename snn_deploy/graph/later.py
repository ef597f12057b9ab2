"""Values over time, some steps later: what loops and delays show."""

from __future__ import annotations

import torch


def later(x: torch.Tensor, steps: int = 1) -> torch.Tensor:
    """``x [T, ...]`` so many steps later, zero before."""
    return torch.cat([torch.zeros_like(x[:steps]), x[: max(0, len(x) - steps)]])
