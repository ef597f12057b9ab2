"""Loops that are compiled to machine code when they are first run, and kept on disk for later processes.

The code lies beside Python's own bytecode, or in the user's cache folder where that cannot be written
(``NUMBA_CACHE_DIR`` chooses); where nothing can be written, each process compiles anew. Floating-point
operations stay as they are written: nothing is reordered, and nothing is fused but what says so.

Importing this module costs what numba costs, so modules of loops are imported by what runs them, when it
does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Loops = TypeVar("Loops", bound=Callable[..., Any])


def compiled(function: Loops) -> Loops:
    """``function`` in machine code, of arrays and numbers; other Python threads run beside it."""
    try:
        return cast(Loops, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # there is no folder that can be written
        return cast(Loops, njit(nogil=True, error_model="numpy")(function))


def inlined(function: Loops) -> Loops:
    """``function`` as a part of each compiled one that calls it."""
    return cast(Loops, njit(inline="always", error_model="numpy")(function))
