"""Numbers that every batch needs, kept on the device: made anew, they would cross the bus each time."""

from __future__ import annotations

from functools import lru_cache

import torch

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


@lru_cache(maxsize=256)
def constant(numbers: Numbers, device: torch.device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """``numbers`` as a tensor on ``device``, to be read only."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, device=device, dtype=dtype)
