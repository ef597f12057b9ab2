"""Loops that are compiled to machine code when they are first run, and kept on disk for later processes.

The code lies beside Python's own bytecode, or in the user's cache folder where that cannot be written
(``NUMBA_CACHE_DIR`` chooses); where nothing can be written, each process compiles anew. Floating-point
operations stay as they are written: nothing is reordered, and nothing is fused but what says so.

A kept file is named by all that its code follows from: types, processor, numba, and the source of the loop's
folder. Numba itself numbers such files in an index, and two processes that compile at the same time may take
the same number: later ones would run the wrong code.

Importing this module costs what numba costs, so modules of loops are imported by what runs them, when it
does.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
from numba import njit
from numba.core import serialize

from snn_deploy.core.files import write_bytes

Loops = TypeVar("Loops", bound=Callable[..., Any])


def compiled(function: Loops) -> Loops:
    """``function`` in machine code, of arrays and numbers; other Python threads run beside it."""
    try:
        made: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # there is no folder that can be written
        return cast(Loops, njit(nogil=True, error_model="numpy")(function))
    place = Path(made._cache.cache_path)
    made._cache._cache_file = _KeptByKey(
        place, f"{function.__name__}-{_source(Path(function.__code__.co_filename))}"
    )
    return cast(Loops, made)


class _KeptByKey:
    """In the place of numba's ``IndexDataCacheFile``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def load(self, key: object) -> Any:
        """What was kept; None where nothing was, or what a disk left of it."""
        try:
            return pickle.loads(self._path(key).read_bytes())  # noqa: S301 - trusted as bytecode is
        except (OSError, EOFError, pickle.UnpicklingError):
            return None

    def save(self, key: object, data: object) -> None:
        """Keep ``data``, where there is room."""
        with contextlib.suppress(OSError):
            write_bytes(self._path(key), serialize.dumps(data))

    def flush(self) -> None:
        """Nothing: files of other sources have other names."""

    def _path(self, key: object) -> Path:
        text = f"{numba.__version__} {llvmlite.__version__} {key!r}"
        return self._folder / f"{self._name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.nbc"


@cache
def _source(file: Path) -> str:
    """Of a module and all beside it, which it may be made of."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for module in sorted(file.parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()[:16]


def inlined(function: Loops) -> Loops:
    """``function`` as a part of each compiled one that calls it."""
    return cast(Loops, njit(inline="always", error_model="numpy")(function))
