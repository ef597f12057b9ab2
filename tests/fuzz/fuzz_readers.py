"""Feed damaged files to the readers for a while: each must be read, or refused with one of our errors.

    PYTHONPATH=tests python tests/fuzz/fuzz_readers.py [--minutes 5] [--cases N] [--first 0] [--only KIND ...]
                                                       [--out FOLDER]
    PYTHONPATH=tests python tests/fuzz/fuzz_readers.py --replay FILE

Cases are numbered; with one choice of kinds, every number is always the same file. A worker process reads one
after the other; an exception that is none of ours, a crash, over HANG seconds or MEMORY bytes are a finding:
the file is kept in FOLDER, the worker starts anew behind it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from support.fuzzing import TARGETS

HANG = 10.0
MEMORY = 2**31
START = 120.0
"""Seconds in which a worker reads the valid files."""


def peak() -> int:
    """Peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(first: int, folder: Path, names: list[str]) -> None:
    """Read cases from ``first`` on; one line per case on standard output."""
    warnings.simplefilter("ignore")
    for name in names:  # what a valid file needs is no finding
        path = folder / f"valid{TARGETS[name].suffix}"
        for content in TARGETS[name].seeds():
            path.write_bytes(content)
            TARGETS[name].run(path)
    number = first
    while True:
        name = names[number % len(names)]
        target = TARGETS[name]
        path = folder / f"{name}-{number}{target.suffix}"
        print(f"start {path.name}", flush=True)
        path.write_bytes(target.case(number))
        before, begin = peak(), time.monotonic()
        try:
            target.run(path)
            result = "read"
        except target.refusals:
            result = "refused"
        except Exception:  # noqa: BLE001 - what is none of ours is the finding
            result = "finding " + traceback.format_exc().strip().replace("\n", " | ")
        if peak() > before and peak() > MEMORY:
            result = f"finding {peak()} bytes of memory"
        if time.monotonic() - begin > HANG:
            result = f"finding {time.monotonic() - begin:.0f} s"
        if not result.startswith("finding"):
            path.unlink()
        print(result, flush=True)
        number += 1


class Counts:
    """How many files of each kind were read, refused, or are findings."""

    def __init__(self) -> None:
        self.results: Counter[tuple[str, str]] = Counter()

    def add(self, name: str, result: str) -> None:
        self.results[name.partition("-")[0], result] += 1

    def of(self, result: str) -> int:
        return sum(count for (_, found), count in self.results.items() if found == result)

    def table(self) -> str:
        """A line for each kind."""
        lines = [f"{'kind':10}{'read':>8}{'refused':>9}{'findings':>10}"]
        for kind in dict.fromkeys(kind for kind, _ in self.results):
            read, refused, finding = (self.results[kind, r] for r in ("read", "refused", "finding"))
            lines.append(f"{kind:10}{read:8}{refused:9}{finding:10}")
        return "\n".join(lines)


def watch(minutes: float, first: int, cases: int | None, names: list[str], out: Path) -> int:
    """Run workers until the time or the cases are over; returns the number of findings."""
    deadline = time.monotonic() + 60 * minutes
    last = sys.maxsize if cases is None else first + cases
    counts = Counts()
    number = first
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while time.monotonic() < deadline and number < last:
            number = _watch_one(number, last, names, folder, deadline, counts, out)
    found = counts.of("finding")
    print(counts.table())
    done = f"{number - first} files, {counts.of('refused')} refused, {counts.of('read')} read as they are"
    print(f"{done}, {found} findings{f' in {out}' if found else ''}")
    return found


def _watch_one(
    first: int, last: int, names: list[str], folder: Path, deadline: float, counts: Counts, out: Path
) -> int:
    """One worker, until it ends or the time is over; returns the number to go on with."""
    command = [sys.executable, __file__, "--work", str(first), "--folder", str(folder), "--only", *names]
    number, now, patience = first, "", START
    lines: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        threading.Thread(target=_forward, args=(worker, lines), daemon=True).start()
        while time.monotonic() < deadline and number < last:
            try:
                line = lines.get(timeout=patience)
            except queue.Empty:
                line = f"finding no answer for {patience:.0f} s"
            patience = 2 * HANG
            if line.startswith("start "):
                now = line.removeprefix("start ")
                continue
            if not now:
                raise SystemExit(f"the valid files are not read; see: {' '.join(command)}")
            number += 1
            if line in {"read", "refused"}:
                counts.add(now, line)
                continue
            counts.add(now, "finding")
            _keep(folder / now, line.removeprefix("finding "), out)
            break
        worker.kill()
    return number


def _forward(worker: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        lines.put(line.strip())
    lines.put(f"finding the reader ended with {worker.wait()}")


def _keep(path: Path, what: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        (out / path.name).write_bytes(path.read_bytes())
    print(f"{path.name}: {what}", flush=True)


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--only", nargs="+", default=list(TARGETS), choices=list(TARGETS), metavar="KIND")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.replay is not None:
        TARGETS[given.replay.name.partition("-")[0]].run(given.replay)
        print(f"{given.replay} is read")
        return 0
    if given.work is not None:
        work(given.work, given.folder, given.only)
    return 1 if watch(given.minutes, given.first, given.cases, given.only, given.out) else 0


if __name__ == "__main__":
    sys.exit(main())
