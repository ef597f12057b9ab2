"""How this process gets its memory."""

from __future__ import annotations

import functools

import torch

LARGE_BLOCK = 31 << 20
"""Bytes."""


@functools.cache
def keep_freed_memory() -> None:
    """Let later blocks of memory reuse freed ones instead of fresh pages, which cost more than what is
    computed in them. glibc hands blocks larger than the largest one ever freed (up to 32 MiB) back to the
    system, mallopt(3): so free one of nearly that size. Elsewhere this does nothing.
    """
    torch.empty(LARGE_BLOCK, dtype=torch.uint8)
