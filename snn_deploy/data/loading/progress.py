"""How far something long has come, on standard error."""

from __future__ import annotations

import sys


def show(line: str, here: int, total: int | None, step: int) -> None:
    """One line on a terminal, rewritten; elsewhere a line per tenth, and none where the total is not known.

    Args:
        line: what to show.
        here: how far it has come.
        total: where it ends.
        step: how far it came since the last call.
    """
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}" + ("\n" if here == total else ""))
    elif total and (here == total or here * 10 // total != max(0, here - step) * 10 // total):
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Counted:
    """Progress of making ``total`` things of a kind."""

    def __init__(self, name: str, kind: str, total: int) -> None:
        self._name, self._kind, self._total = name, kind, total
        self._here = 0

    def add(self, count: int) -> None:
        """``count`` more are made."""
        self._here += count
        line = f"{self._name}: {self._here:,} of {self._total:,} {self._kind}"
        show(line, self._here, self._total, count)
