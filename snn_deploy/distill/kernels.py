"""How the operations of a training run: reproducible to the bit, or as fast as they can."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch


def before_cublas() -> None:
    """Ask cuBLAS for results that repeat, as ``deterministic`` wants them. It looks once, at its first use in
    a process: this comes before any work on a device."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextlib.contextmanager
def kernels(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """On CUDA, let cuDNN try which algorithms are fastest, or with ``deterministic`` use those only that give
    the same numbers every time; an operation without such an algorithm then raises. CPU runs are
    reproducible either way.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=not deterministic, deterministic=deterministic, allow_tf32=True
    )
    torch.use_deterministic_algorithms(deterministic)
    try:
        with flags:
            yield
    finally:
        torch.use_deterministic_algorithms(before)
