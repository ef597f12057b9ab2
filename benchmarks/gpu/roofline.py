"""What a device can do at most: bytes a second of a copy, operations a second of a product in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from bench import by_turns

Result = TypeVar("Result")


def finished(work: Callable[[], Result], device: torch.device) -> Result:
    """What ``work`` gives, once the device is done with it."""
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result


def best(work: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    """Least seconds of ``work``, after a first time that warms up."""
    return by_turns({"work": lambda: finished(work, device)}, rounds + 1)["work"].wall


def copy_rate(device: torch.device, elements: int) -> float:
    """GB/s of a copy on the device, read and written."""
    x = torch.zeros(elements, device=device)
    y = torch.empty_like(x)
    return 2 * x.nbytes / best(lambda: y.copy_(x), device) / 1e9


def product_rate(device: torch.device, side: int) -> float:
    """TFLOP/s of a product of two square matrices in bfloat16."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    return 2 * side**3 / best(lambda: a @ a, device) / 1e12
