"""How long the commands of the first page take: a student, its export, and an export of a ResNet-18.

    python benchmarks/export_times.py [--work FOLDER] [--markdown FILE]

Each row is one command, run once, as a user runs it, on all processors; the peak is that of the largest
process. Lava's own time depends on what is spent on it (``--lava-budget``), so the Lava file is written and
proven in our fixed-point simulator, and Lava itself is left out. FOLDER keeps the run and the bundle with C
code, ``quickstart/c``, for ``c_speed.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench import Table, conditions

ROOT = Path(__file__).resolve().parents[1]
AIMS = {"student": 20, "export": 15, "resnet18": 60}
"""Seconds, at most."""


class Took(NamedTuple):
    """Of one command: seconds on the wall and of all processors, and its peak in MiB."""

    wall: float
    cpu: float
    peak: float


def run(log: Path, *arguments: str, without_lava: bool = False) -> Took:
    """Run a Python command; what it prints goes to ``log``."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if without_lava:
        environment["SNN_DEPLOY_LAVA_PYTHON"] = str(log / "no Lava")
    begun = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{log.read_text()}")
    return Took(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def measure(work: Path, table: Table) -> None:
    """Add all rows."""
    log, quickstart = work / "log", work / "quickstart"

    def add(what: str, took: Took, aim: float | None = None, counted: float | None = None) -> None:
        table.add(what, f"{took.wall:.1f}", f"{took.cpu:.1f}", f"{took.peak:.0f}")
        if aim is not None:
            seconds = took.wall if counted is None else counted
            table.reach(f"{what}: {seconds:.1f} s; to reach: at most {aim} s", seconds <= aim)

    deploy = ("-m", "snn_deploy")
    took = run(log, *deploy, "distill", "quickstart", "--run-dir", str(quickstart))
    student = json.loads((quickstart / "result.json").read_text())["student"]["seconds"]
    add("`distill quickstart`, the student's epochs counted", took, AIMS["student"], student)
    export = (*deploy, "export", str(quickstart), "--samples", "64", "--to")
    add(
        "`export quickstart --to nir,onnx,lava` without Lava itself",
        run(log, *export, "nir,onnx,lava", "--out", str(quickstart / "bundle"), without_lava=True),
        AIMS["export"],
    )
    add(
        "`export quickstart --to nir,onnx,c`", run(log, *export, "nir,onnx,c", "--out", str(quickstart / "c"))
    )
    add(
        "ResNet-18, T = 4, nir and onnx, 64 samples, one thread",
        run(log, str(ROOT / "benchmarks" / "export_size.py"), "resnet18", "--here"),
        AIMS["resnet18"],
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    table = Table(
        "Commands of the first page",
        f"{conditions('torch', 'onnxruntime', 'spikingjelly', threads=os.cpu_count() or 1)} Seconds, MiB; "
        f"load average at the start: {os.getloadavg()[0]:.1f}.",
        *("command", "wall", "CPU", "peak"),
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(options.work or Path(folder), table)
    table.close(options.markdown)


if __name__ == "__main__":
    main()
