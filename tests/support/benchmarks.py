"""The scripts in ``benchmarks``, which are no package and import each other by their bare names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from support.data import ROOT

FOLDER = ROOT / "benchmarks"


@contextmanager
def imported(**scripts: str) -> Iterator[SimpleNamespace]:
    """``scripts``, by the names that are given to them; the folder is importable meanwhile."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(script) for name, script in scripts.items()})
    finally:
        sys.path.remove(str(FOLDER))
