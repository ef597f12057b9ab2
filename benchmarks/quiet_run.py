"""All rows of "How fast" in one run: every script against its peers, one after the other, on an idle machine.

    make bench          or          python benchmarks/quiet_run.py [--minutes 25] [--only NAME ...]

Each script lets its cells, processes of their own, take turns and writes its table, dated, to
``benchmarks/results``; what they say of their aims, and where peers win, is collected in a file
``DATE-quiet-run.md``. A script that would begin after the minutes are over is not run, one that lasts longer
is ended; both are said.

Peers that are no dependencies are found in the environments that these variables name, and said to be
"not here" otherwise:

    OPENVINO            a virtual environment with openvino and numpy
    EVENT_JUDGES        one with dv_processing, aedat, faery and numpy
    INTEROP             the folder of ``make interop`` (NeuroBench, syops)
    SNN_DEPLOY_DATA     folder with NMNIST and DVSGesture-one-recording
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bench import REACHED, WINS, conditions

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


class Row(NamedTuple):
    """A script with its arguments, and what it needs to be told."""

    script: str
    arguments: tuple[str, ...] = ()
    needs: str = ""


ROWS = {
    "start": Row("start", ("--rounds", "3", "--short")),
    "export-times": Row("export_times", ("--work", "{work}")),
    "nir-throughput": Row("nir_throughput", ("--rounds", "7")),
    "loihi-sim": Row("loihi_sim", ("--rounds", "3")),
    "onnx-latency": Row("onnx_latency", ("--rounds", "20")),
    "c-speed": Row("c_speed", ("{work}/quickstart/c",)),
    "binning": Row("binning", ("--rounds", "5")),
    "binning-aedat4": Row("binning_aedat4", ("--rounds", "15"), "EVENT_JUDGES"),
    "training-step": Row("training_step", ("--rounds", "12")),
    "counting": Row("counting", ("--rounds", "9")),
    "nmnist-set": Row("nmnist_set"),
    "sharded": Row("sharded", ("--rounds", "2")),
}


def run(name: str, row: Row, work: Path, seconds: float) -> str:
    """Run a script for so many seconds at most; what became of it, where it wrote no table."""
    if row.needs and row.needs not in os.environ:
        return f"not here: {row.needs} names no environment"
    if seconds <= 0:
        return "not run: no time left"
    file = RESULTS / f"{datetime.now(UTC).date()}-{name}.md"
    arguments = (argument.format(work=work) for argument in row.arguments)
    command = [sys.executable, "-W", "ignore", str(HERE / f"{row.script}.py"), *arguments]
    paths = os.pathsep.join(map(str, (HERE.parent, HERE.parent / "tests")))
    log = work / f"{name}.log"
    with log.open("w") as errors:
        try:
            done = subprocess.run(
                [*command, "--markdown", str(file)],
                env=os.environ | {"PYTHONPATH": paths},
                stderr=errors,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "ended: it took longer than the time that was left"
    if done.returncode:
        return f"failed: {log.read_text().strip().splitlines()[-1]}"
    return ""


def summary(name: str) -> list[str]:
    """What a script's table says of its aims, and of peers that are faster."""
    text = (RESULTS / f"{datetime.now(UTC).date()}-{name}.md").read_text()
    return [line for line in text.splitlines() if line.startswith((REACHED, WINS))]


def main() -> None:
    """Run all rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    options = parser.parse_args()
    begun, load = time.monotonic(), os.getloadavg()[0]
    lines = [
        "# All rows in one run",
        "",
        f"{conditions('torch', threads=os.cpu_count() or 1)} Load average at the start: {load:.1f}.",
    ]
    with tempfile.TemporaryDirectory() as work:
        for name in options.only:
            started = time.monotonic()
            print(f"\n## {name}\n", flush=True)
            missing = run(name, ROWS[name], Path(work), 60 * options.minutes - (started - begun))
            took = f"{time.monotonic() - started:.0f} s"
            lines += [
                "",
                f"## [{name}]({datetime.now(UTC).date()}-{name}.md)" if not missing else f"## {name}",
                "",
            ]
            lines += (
                [f"{missing[:1].upper()}{missing[1:]}."] if missing else [*summary(name), "", f"Took {took}."]
            )
            print(f"\n{missing or 'done'}, {took}", flush=True)
    lines += ["", f"The whole run took {(time.monotonic() - begun) / 60:.1f} minutes."]
    (RESULTS / f"{datetime.now(UTC).date()}-quiet-run.md").write_text("\n".join([*lines, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
