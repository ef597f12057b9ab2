"""Kill commands by SIGKILL at random moments, and look at what they leave.

Run as a script it kills as often as told: ``python -m support.kills export|distill COUNT SEED`` (with
``tests`` on the path). The commands run in forks of one process that has everything imported, so that most
moments fall into their work (it runs each kind of command once itself, for what that imports); a part of
them is started from nothing.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime  # noqa: F401 - for the forks
import torch

from snn_deploy import api
from snn_deploy.cli.main import exit_code
from snn_deploy.core.files import sha256_file
from support.tiny_runs import write_recipe

COLD = 10
"""Every so many commands is started as a program of its own, imports included."""
EXPORT = ("--samples", "2", "--profile", "horowitz-45nm-fp32")
KEPT = ("student.safetensors", "teacher.safetensors", "metrics.jsonl")


@dataclass
class Tally:
    """How often was killed, and how often it went wrong."""

    kills: int = 0
    finished: int = 0
    lost: int = 0
    strays: int = 0
    different: int = 0

    @property
    def wrong(self) -> int:
        return self.lost + self.strays + self.different


def go(arguments: Sequence[str], after: float | None, *, cold: bool = False) -> int | None:
    """Run a command, killed ``after`` so many seconds; its exit code, None when it was killed."""
    child = _program(arguments) if cold else _fork(arguments)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def _program(arguments: Sequence[str]) -> int:
    return subprocess.Popen(
        [sys.executable, "-m", "snn_deploy", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ).pid


def _fork(arguments: Sequence[str]) -> int:
    if child := os.fork():
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = 1
    try:
        code = exit_code(arguments)
    finally:
        os._exit(code)


def seconds_of(arguments: Sequence[str]) -> float:
    """How long a command takes in a fork."""
    begun = time.monotonic()
    assert go(arguments, None) == 0
    return time.monotonic() - begun


def kill_exports(folder: Path, count: int, seed: int) -> Tally:
    """Export one run to one folder again and again, as one bundle or another. After every kill the folder
    holds one of the two, sound; after an export that ends, the wanted one, and nothing else lies there."""
    rng, tally = random.Random(seed), Tally()
    recipe = write_recipe(folder)
    run, out = folder / "run", folder / "out" / "bundle"
    assert exit_code(["distill", str(recipe), "--run-dir", str(run), "--device", "cpu"]) == 0
    kinds = {to: ["export", str(run), "--to", to, "--out", str(out), *EXPORT] for to in ("nir", "nir,onnx")}
    assert exit_code([*kinds["nir"][: -len(EXPORT) - 1], str(folder / "first"), *EXPORT]) == 0
    whole = {to: (seconds_of(command), models(out)) for to, command in kinds.items()}
    known = [found for _, found in whole.values()]
    while tally.kills < count:
        to = rng.choice([*kinds])
        cold = tally.kills % COLD == COLD - 1
        code = go(kinds[to], rng.uniform(0, whole[to][0] * (4 if cold else 1.1)), cold=cold)
        tally.kills += code is None
        tally.finished += code == 0
        if out.exists() or code is not None:
            tally.different += models(out) not in known
        to = rng.choice([*kinds])
        if rng.random() < 0.3:
            tally.lost += go(kinds[to], None) != 0
            tally.different += models(out) != whole[to][1]
            tally.strays += sorted(entry.name for entry in out.parent.iterdir()) != ["bundle"]
        elif not out.exists():
            tally.lost += go(["check", str(out), "--target", "onnx"], None) != 0
    return tally


def models(bundle: Path) -> dict[str, str]:
    """The model files of a sound bundle by their hashes; none when it is not sound."""
    if not bundle.exists():
        return {}
    hashes: dict[str, str] = api.open_bundle(bundle).manifest["sha256"]
    return {name: found for name, found in hashes.items() if name.startswith("model")}


def kill_trainings(folder: Path, count: int, seed: int) -> Tally:
    """Train one recipe in one folder after another, killing every training up to five times. When it has
    ended, weights and losses are those of a training that was never killed, and nothing else lies there."""
    rng, tally = random.Random(seed), Tally()
    recipe = write_recipe(folder)

    def train(run: Path) -> list[str]:
        return ["distill", str(recipe), "--run-dir", str(run), "--resume", "--device", "cpu"]

    os.environ["SNN_DEPLOY_CACHE"] = str(folder / "cache")
    assert exit_code(train(folder / "whole")) == 0
    forget_teachers(folder / "cache")
    seconds = seconds_of(train(folder / "timed"))
    whole, entries = results(folder / "whole"), sorted(p.name for p in (folder / "whole").iterdir())
    while tally.kills < count:
        run = folder / f"killed-{tally.finished}"
        forget_teachers(folder / "cache")
        for _ in range(rng.randint(1, 5)):
            cold = tally.kills % COLD == COLD - 1
            code = go(train(run), rng.uniform(0, seconds * (3 if cold else 0.9)), cold=cold)
            tally.kills += code is None
            if code is not None:
                break
        tally.lost += go(train(run), None) != 0
        tally.finished += 1
        tally.different += results(run) != whole
        tally.strays += sorted(p.name for p in run.iterdir() if p.name != "teacher") != [
            name for name in entries if name != "teacher"
        ]
        tally.strays += any(run.rglob(".*"))
    return tally


def results(run: Path) -> dict[str, str]:
    """What a training made, by hash."""
    return {name: sha256_file(run / name) for name in KEPT}


def forget_teachers(cache: Path) -> None:
    """So that the teacher is trained again."""
    for kept in (cache / "teachers").glob("*"):
        kept.unlink()


KINDS: dict[str, Callable[[Path, int, int], Tally]] = {"export": kill_exports, "distill": kill_trainings}

if __name__ == "__main__":
    torch.set_num_threads(1)
    kind, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as place:
        print(kind, KINDS[kind](Path(place), count, seed))
