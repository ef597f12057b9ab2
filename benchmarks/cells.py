"""Cells of a benchmark's table, each in a process of its own: one measurement then knows nothing of another's
threads, caches and memory, and the peak of memory is its own.

A script that measures calls itself with the name of a cell; that process prepares the work and calls
:func:`serve`. The parent lets its cells take turns with :func:`take_turns` and shows them with
:func:`add_rows`, all scripts in the same columns.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import Seconds, Table, seconds

OURS = "ours"
COLUMNS = ("least", "median", "longest / least", "CPU, least", "peak MiB", "wall / ours", "CPU / ours")
"""What :func:`add_rows` fills, behind what is measured and whose it is."""


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

    def per(self, pieces: float) -> Measured:
        """Times of one of so many ``pieces`` of the work."""
        return self._replace(rounds=[Seconds(wall / pieces, cpu / pieces) for wall, cpu in self.rounds])

    def beyond(self, short: Measured) -> Measured:
        """Times of what a long work does more than a ``short`` one: the least less the least, and so on."""
        sides = [[sorted(times) for times in zip(*side.rounds, strict=True)] for side in (self, short)]
        more = ([a - b for a, b in zip(*pair, strict=True)] for pair in zip(*sides, strict=True))
        return self._replace(rounds=[Seconds(*times) for times in zip(*more, strict=True)])


def serve(work: Callable[[], object], digest: str) -> None:
    """Do the work as often as the parent asks."""
    print(json.dumps(digest), flush=True)
    for _ in sys.stdin:
        print(json.dumps(seconds(work)), flush=True)
    print(json.dumps(_peak()), flush=True)


def _peak() -> float:
    """Largest size of this process or of one that it waited for, in MiB; a new process's ``ru_maxrss`` would
    begin with that of its parent."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    own = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
    if own is None:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


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
    try:
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
        return found
    finally:
        for process in running.values():
            with process:
                process.kill()


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


def add_rows(
    table: Table,
    what: Sequence[str],
    found: Mapping[str, Measured],
    unit: float = 1e3,
    floors: Collection[str] = (),
) -> None:
    """Rows of cells that did the same, in units of ``unit`` a second; of the peers that are faster than ours
    the table speaks at its end, not of ``floors``: nobody runs those instead.

    Raises:
        SystemExit: what the cells gave differs; a cell without a digest is not compared.
    """
    if len({measured.digest for measured in found.values() if measured.digest}) > 1:
        raise SystemExit(f"{', '.join(what)}: what was computed differs")
    own = found[OURS]
    for name, measured in found.items():
        times = (unit * seconds for seconds in (measured.wall, measured.median))
        table.add(
            *what,
            name,
            *map(_figure, times),
            f"{measured.spread:.2f}",
            _figure(unit * measured.cpu),
            f"{measured.peak:.0f}",
            f"{measured.wall / own.wall:.2f}",
            f"{measured.cpu / own.cpu:.2f}",
        )
        if measured.wall < own.wall and not name.startswith(OURS) and name not in floors:
            table.wins.append(f"{name} ({', '.join(what)}: {own.wall / measured.wall:.2f} times as fast)")


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


def reach(table: Table, what: str, peer: Measured, own: Measured, aim: float) -> None:
    """The line of a comparison: how many times as fast as the peer ours is."""
    table.reach(
        f"{what}: {peer.wall / own.wall:.2f} times, {peer.cpu / own.cpu:.2f} in processor time; "
        f"to reach: {aim:.2g}",
        peer.wall >= aim * own.wall,
    )
