"""Files to a reader and its answers back, in a process of the reader's own environment, with bounds.

A case that does not answer in time, or that ends the process, counts as refused with that reason; the
others go on in a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nir
import numpy as np

from snn_deploy.conformance.loops import Array, flat
from snn_deploy.core.errors import MissingOptionalError
from snn_deploy.graph.readers.io import COMPATIBLE, reset_problems, write_nir

WORKER = Path(__file__).parent / "worker" / "run_reader.py"
START_SECONDS = 180.0
MAX_ANSWER_BYTES = 64 << 20
POLL = 0.05
LAST_LINES = 6


@dataclass(frozen=True)
class Asked:
    """A graph, its input and the step in seconds that the reader is told."""

    name: str
    graph: nir.NIRGraph
    x: Array
    dt: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for one case, bytes for the process, and the NIR library that files are written for."""

    seconds: float = 60.0
    memory: int = 4 << 30
    nir_version: str = COMPATIBLE[0]


def answers(
    script: Path, python: Path, asked: Sequence[Asked], limits: Limits
) -> tuple[dict[str, Array | str], dict[str, str]]:
    """What the reader ``script`` gives for every case (or why nothing), and the versions that ran.

    Raises:
        MissingOptionalError: it does not start in that environment.
    """
    with tempfile.TemporaryDirectory(prefix="snn-deploy-conform-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        entries = []
        for number, case in enumerate(asked):
            _write(case, folder / f"{number}.nir", limits.nir_version)
            np.save(folder / f"{number}.x.npy", case.x.astype(np.float32))
            paths = {"file": f"{number}.nir", "x": f"{number}.x.npy", "out": f"{number}.npy"}
            entries.append({"name": case.name, **paths, "dt": case.dt})
        found: dict[str, Array | str] = {}
        left = entries
        while left:
            (folder / "done.jsonl").unlink(missing_ok=True)
            (folder / "cases.json").write_text(json.dumps({"memory": limits.memory, "cases": left}))
            begun, reason = _process(script, python, folder, limits.seconds)
            log = list(_log(folder))
            for entry in log:
                if "ended" in entry:
                    out = next(e["out"] for e in left if e["name"] == entry["ended"])
                    found[entry["ended"]] = entry.get("refused") or _read(folder / str(out))
            if begun is None and not log:
                raise MissingOptionalError(
                    f"The reader does not start in '{python}':\n{reason}",
                    hint="--python PATH names the interpreter of the environment that has it.",
                )
            if begun is not None and begun not in found:
                found[begun] = reason
            left = [e for e in left if e["name"] not in found]
        versions = json.loads((folder / "versions.json").read_text())
    return found, versions


def _write(case: Asked, path: Path, version: str) -> None:
    """Neurons that an older NIR cannot say are written as they are: the reader will refuse them."""
    sayable = not reset_problems(flat(case.graph).nodes, version)
    write_nir(case.graph, path, version if sayable else COMPATIBLE[0])


def _process(script: Path, python: Path, folder: Path, seconds: float) -> tuple[str | None, str]:
    """Run until the end, or until a case takes too long: the case that was in work, and what ended it."""
    own = python == Path(sys.executable)
    environment = {k: v for k, v in os.environ.items() if own or k not in {"PYTHONPATH", "PYTHONHOME"}}
    with (folder / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(
            [str(python), "-W", "ignore", str(WORKER), str(script.resolve()), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            entries, since = 0, time.monotonic()
            while process.poll() is None:
                time.sleep(POLL)
                log = list(_log(folder))
                if len(log) != entries:
                    entries, since = len(log), time.monotonic()
                if time.monotonic() - since > (seconds if entries else START_SECONDS):
                    return _in_work(log), f"no answer in {seconds if entries else START_SECONDS:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    log = list(_log(folder))
    if process.returncode == 0:
        return None, ""
    last = (folder / "stderr.txt").read_text(errors="replace").strip().splitlines()[-LAST_LINES:]
    ended = f"ends with signal {-process.returncode}" if process.returncode < 0 else "ends its process"
    return _in_work(log), ended if log else "\n".join(last)


def _log(folder: Path) -> Iterator[dict[str, str]]:
    path = folder / "done.jsonl"
    if path.exists():
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)


def _in_work(log: Sequence[dict[str, str]]) -> str | None:
    return log[-1].get("begun") if log else None


def _read(path: Path) -> Array | str:
    try:
        if path.stat().st_size > MAX_ANSWER_BYTES:
            return f"answers with more than {MAX_ANSWER_BYTES} bytes"
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return f"its answer cannot be read: {error}"
    if found.ndim < 2 or found.dtype.kind != "f":
        return f"answers with {found.dtype} of shape {found.shape}"
    return np.asarray(found, np.float64)
