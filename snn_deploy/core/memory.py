"""How this process gets its memory, and how much of it one piece of work may hold."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

LARGE_BLOCK = 31 << 20
"""Bytes."""
BUDGET_SHARE = 4
BUDGET_LIMIT = 2 << 30
BUDGET_VARIABLE = "SNN_DEPLOY_MEMORY"
_SMALLEST = 64 << 20
_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


@functools.cache
def keep_freed_memory() -> None:
    """Let later blocks of memory reuse freed ones instead of fresh pages, which cost more than what is
    computed in them. glibc hands blocks larger than the largest one ever freed (up to 32 MiB) back to the
    system, mallopt(3): so free one of nearly that size. Elsewhere this does nothing.
    """
    np.empty(LARGE_BLOCK, dtype=np.uint8)


def return_freed_memory() -> None:
    """Give freed blocks, which glibc keeps for later ones, back to the system: malloc_trim(3). Elsewhere this
    does nothing."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (TypeError, OSError):
        return None
    return found


def budget() -> int:
    """Bytes that recordings held at one time may take: a quarter of the free memory, 64 MiB to 2 GiB.

    ``$SNN_DEPLOY_MEMORY``, a number of MiB, replaces the choice.
    """
    if (named := os.environ.get(BUDGET_VARIABLE, "")).isdigit() and int(named):
        return int(named) << 20
    return max(_SMALLEST, min(free() // BUDGET_SHARE, BUDGET_LIMIT))


def free() -> int:
    """Bytes that this process can still get: those of the machine, of its control group (version 2) and of
    its address space, whichever is least."""
    return max(0, min(_of_machine(), _of_group(), _of_address_space()))


def _of_machine() -> int:
    try:
        rows = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        return int(rows["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return BUDGET_SHARE * BUDGET_LIMIT


def _of_group() -> int:
    try:
        limit, used = ((_GROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return int(limit) - int(used)
    except (OSError, ValueError):
        return _of_machine()


def _of_address_space() -> int:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return _of_machine()
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return limit - pages * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return _of_machine()
