"""What the benchmarks share: the conditions that a table is measured under, and timing by turns."""

from __future__ import annotations

import importlib
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.machine import processor


class Seconds(NamedTuple):
    """Time of one piece of work: on the wall, and of all processors together."""

    wall: float
    cpu: float


def _processor_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def seconds(work: Callable[[], object]) -> Seconds:
    """Time that ``work`` takes, with that of the processes it starts and waits for."""
    cpu, wall = _processor_seconds(), time.perf_counter()
    work()
    wall = time.perf_counter() - wall
    return Seconds(wall, _processor_seconds() - cpu)


def by_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Least times of the ``works``, which take turns ``rounds`` times: other load hardly enters."""
    times: dict[str, list[Seconds]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: Seconds(*map(min, zip(*found, strict=True))) for name, found in times.items()}


def conditions(*packages: str, threads: int) -> str:
    """When, where and with what; ``threads`` of ours."""
    used = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{datetime.now(UTC).date()}; {processor()}, {os.cpu_count()} cores, "
        f"{threads} thread{'s' * (threads > 1)}; Python {platform.python_version()}, {used}."
    )


def versions(python: Path, *packages: str) -> str:
    """Of packages in another environment."""
    code = f"from importlib.metadata import version\nfor n in {packages}: print(n, version(n))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return ", ".join(done.stdout.splitlines())


def onnx_kit() -> ModuleType:
    """`run_onnx.py` as every bundle holds it, beside what it imports."""
    sys.path.append(str(asset_dir("export")))
    return importlib.import_module("run_onnx")


def pyplot(salt: str) -> Any:
    """Matplotlib's ``pyplot``, whose SVG files keep text as text and, saved without a date, repeat."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": salt, "svg.fonttype": "none"})
    from matplotlib import pyplot as made

    return made


REACHED, WINS = "* ", "Where a peer wins: "
"""What lines under a table begin with that compare with what is to be reached, and that name faster peers."""


class Table:
    """A Markdown table that is printed while it grows; ``wins`` are peers that are faster than ours."""

    def __init__(self, title: str, notes: str, *columns: str) -> None:
        self.wins: list[str] = []
        self._reached: list[str] = []
        self._lines = [f"# {title}", "", notes, ""]
        print(notes, end="\n\n")
        self.add(*columns)
        self.add(*["---"] * len(columns))

    def add(self, *cells: str) -> None:
        """The next row."""
        self._lines.append(f"| {' | '.join(cells)} |")
        print(self._lines[-1], flush=True)

    def say(self, sentence: str) -> None:
        """A sentence under the rows."""
        self._lines += ["", sentence]
        print(f"\n{sentence}")

    def reach(self, what: str, there: bool) -> None:
        """A line under the rows, of what is to be reached."""
        self._reached.append(f"{REACHED}{what}: {'reached' if there else 'NOT reached'}.")

    def close(self, file: Path | None) -> None:
        """Say where peers win and what is reached, and write the table."""
        self.say(f"{WINS}{'; '.join(self.wins) or 'nowhere'}.")
        if self._reached:
            self.say("\n".join(self._reached))
        self.keep(file)

    def keep(self, file: Path | None) -> None:
        """Write the table, where a ``file`` is given."""
        if file is not None:
            file.write_text("\n".join([*self._lines, ""]))
