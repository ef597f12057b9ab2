"""How the operations of a training run: reproducible to the bit, or as fast as they can."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch


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
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=not deterministic, deterministic=deterministic, allow_tf32=True
    )
    torch.use_deterministic_algorithms(deterministic)
    try:
        with flags:
            yield
    finally:
        torch.use_deterministic_algorithms(before)
