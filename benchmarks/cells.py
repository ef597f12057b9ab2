"""Cells of a benchmark's table, each in a process of its own: one measurement then knows nothing of another's
threads, caches and memory, and the peak of memory is its own.

A script that measures calls itself with the name of a cell; that process prepares the work and calls
:func:`serve`. The parent lets its cells take turns with :func:`take_turns`.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import Seconds, seconds


class Measured(NamedTuple):
    """Times of all rounds, what the work gave (a digest), and the peak of memory in MiB."""

    rounds: list[Seconds]
    digest: str
    peak: float

    @property
    def wall(self) -> float:
        """Least time on the wall."""
        return min(time.wall for time in self.rounds)

    @property
    def cpu(self) -> float:
        """Least time of all processors together."""
        return min(time.cpu for time in self.rounds)

    @property
    def median(self) -> float:
        """Median time on the wall."""
        return statistics.median(time.wall for time in self.rounds)

    @property
    def spread(self) -> float:
        """Longest over least time on the wall."""
        return max(time.wall for time in self.rounds) / self.wall


def serve(work: Callable[[], object], digest: str) -> None:
    """Do the work as often as the parent asks."""
    print(json.dumps(digest), flush=True)
    for _ in sys.stdin:
        print(json.dumps(seconds(work)), flush=True)
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), flush=True)


def take_turns(
    script: Path,
    cells: Mapping[str, Sequence[str]],
    rounds: int,
    environment: Mapping[str, str],
    pythons: Mapping[str, Path] | None = None,
) -> dict[str, Measured]:
    """The ``cells``, names and arguments of the script, ``rounds`` times by turns; ``pythons`` run the cells
    that need packages of another environment."""
    python = {name: str((pythons or {}).get(name, sys.executable)) for name in cells}
    running = {name: _start([python[name], str(script), *cells[name]], environment) for name in cells}
    digests = {name: str(_answer(process)) for name, process in running.items()}
    times: dict[str, list[Seconds]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, process in running.items():
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            times[name].append(Seconds(*_answer(process)))
    found = {}
    for name, process in running.items():
        assert process.stdin is not None
        process.stdin.close()
        found[name] = Measured(times[name], digests[name], float(_answer(process)))
        process.wait()
    return found


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(environment),
    )


def _answer(process: subprocess.Popen[str]):
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"A cell ended: {' '.join(map(str, process.args))}")
    return json.loads(line)
