"""Feed damaged files to the readers for a while: each must be read, or refused with one of our errors.

    PYTHONPATH=tests python tests/fuzz/fuzz_readers.py [--minutes 5] [--first 0] [--out FOLDER]
    PYTHONPATH=tests python tests/fuzz/fuzz_readers.py --replay FILE

Cases are numbered, and every number is always the same file. A worker process reads one after the other; an
exception that is none of ours, a crash, more than HANG seconds or MEMORY bytes for one file is a finding: the
file is kept in FOLDER, the worker starts anew behind it, and the exit code is 1.
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

from snn_deploy.core.errors import SnnDeployError

HANG = 60.0
MEMORY = 2**30


def peak() -> int:
    """Peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(first: int, folder: Path) -> None:
    """Read cases from ``first`` on; one line per case on standard output."""
    warnings.simplefilter("ignore")
    names = list(TARGETS)
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
        before = peak()
        try:
            target.run(path)
            result = "read"
        except SnnDeployError:
            result = "refused"
        except Exception:  # noqa: BLE001 - what is none of ours is the finding
            result = "finding " + traceback.format_exc().strip().replace("\n", " | ")
        if peak() > max(before, MEMORY) + MEMORY:
            result = f"finding {peak() - before} bytes of memory"
        if not result.startswith("finding"):
            path.unlink()
        print(result, flush=True)
        number += 1


def watch(minutes: float, first: int, out: Path) -> int:
    """Run workers until the time is over; returns the number of findings."""
    deadline = time.monotonic() + 60 * minutes
    counts: Counter[str] = Counter()
    number = first
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while time.monotonic() < deadline:
            number = _watch_one(number, folder, deadline, counts, out)
    cases = f"{number - first} files, {counts['refused']} refused, {counts['read']} read as they are"
    print(f"{cases}, {counts['finding']} findings{f' in {out}' if counts['finding'] else ''}")
    return counts["finding"]


def _watch_one(first: int, folder: Path, deadline: float, counts: Counter[str], out: Path) -> int:
    """One worker, until it ends or the time is over; returns the number to go on with."""
    command = [sys.executable, __file__, "--work", str(first), "--folder", str(folder)]
    number, now = first, ""
    lines: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        threading.Thread(target=_forward, args=(worker, lines), daemon=True).start()
        while time.monotonic() < deadline:
            try:
                line = lines.get(timeout=HANG)
            except queue.Empty:
                line = f"finding no answer for {HANG:.0f} s"
            if line.startswith("start "):
                now = line.removeprefix("start ")
                continue
            number += 1
            if line in {"read", "refused"}:
                counts[line] += 1
                continue
            counts["finding"] += 1
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
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.replay is not None:
        next(t for t in TARGETS.values() if t.suffix == given.replay.suffix).run(given.replay)
        print(f"{given.replay} is read")
        return 0
    if given.work is not None:
        work(given.work, given.folder)
    return 1 if watch(given.minutes, given.first, given.out) else 0


if __name__ == "__main__":
    sys.exit(main())
