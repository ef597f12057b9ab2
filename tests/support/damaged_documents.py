"""Damage to the documents of runs and bundles, and the commands that read them."""

from __future__ import annotations

import random
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from snn_deploy.cli.main import exit_code
from snn_deploy.core.errors import InterruptedRunError
from snn_deploy.tasks.distill import distill_student
from support.mutation import Mutation, blind, in_json, in_yaml
from support.tiny_runs import write_recipe

CHEAP = ("--samples", "2", "--profile", "horowitz-45nm-fp32")
READ_RUN = (
    ("export", "done", "--to", "nir", "--out", "new", *CHEAP),
    ("check", "done", "--target", "onnx"),
    ("report", "done", "--out", "new", *CHEAP),
    ("distill", "tiny.yaml", "--run-dir", "done", "--resume"),
)
RESUME = (("distill", "tiny.yaml", "--run-dir", "half", "--resume"),)
BEGIN = (("distill", "tiny.yaml", "--run-dir", "begun", "--resume"),)
READ_BUNDLE = (
    ("export", "bundle", "--to", "nir", "--out", "new", *CHEAP),
    ("export", "done", "--to", "nir", "--out", "bundle", *CHEAP),
    ("check", "bundle", "--target", "onnx"),
    ("simulate", "bundle", "--samples", "2"),
    ("report", "bundle", "--out", "new", *CHEAP),
)
COMPARE = (("compare", "bundle", "other"), ("report", "done", "--against", "bundle", "--out", "new", *CHEAP))

JSON, YAML, BYTES = (blind, in_json, in_json, in_json), (blind, in_yaml, in_yaml), (blind,)

Command = tuple[str, ...]
CASES: dict[str, tuple[tuple[Command, ...], tuple[Mutation, ...]]] = {
    "done/result.json": (READ_RUN, JSON),
    "done/recipe.yaml": (READ_RUN, YAML),
    "done/STATUS": (READ_RUN, BYTES),
    "done/metrics.jsonl": (READ_RUN, JSON),
    "done/student.safetensors": (READ_RUN, BYTES),
    "half/checkpoint.pt": (RESUME, BYTES),
    "half/metrics.jsonl": (RESUME, JSON),
    "half/environment.json": (RESUME, JSON),
    "half/recipe.yaml": (RESUME, YAML),
    "half/STATUS": (RESUME, BYTES),
    "half/teacher.safetensors": (RESUME, BYTES),
    "begun/teacher/checkpoint.pt": (BEGIN, BYTES),
    "begun/teacher/metrics.jsonl": (BEGIN, JSON),
    "bundle/manifest.json": (READ_BUNDLE, JSON),
    "bundle/report/report.json": ((*READ_BUNDLE, *COMPARE, *COMPARE), JSON),
    "bundle/report/counts.npz": (READ_BUNDLE, BYTES),
}
"""What is damaged: which commands read it, and how it may be damaged."""


@dataclass(frozen=True)
class Outcome:
    """What a command did with a damaged document."""

    document: str
    command: Command
    seed: int
    code: int
    folder: Path


def build(folder: Path) -> Path:
    """Sound runs and bundles, in an empty cache: a finished run, one interrupted while its student is
    trained, one while its teacher is, and bundles of the first."""
    recipe = write_recipe(folder)

    def stop_at(event: str, run: str) -> None:
        def interrupt(told: object) -> None:
            if str(told).startswith(event):
                signal.raise_signal(signal.SIGTERM)

        try:
            distill_student(str(recipe), folder / run, device="cpu", report=interrupt)
        except InterruptedRunError:
            return
        raise AssertionError(f"the run was not stopped at {event}")

    stop_at("teacher epoch 1/", "begun")
    assert exit_code(["distill", str(recipe), "--run-dir", str(folder / "done"), "--device", "cpu"]) == 0
    stop_at("student epoch 2/", "half")
    assert not (folder / "half" / "teacher").exists(), "its teacher comes from the cache"
    for name in ("bundle", "other"):
        arguments = ["export", str(folder / "done"), "--to", "nir", "--out", str(folder / name), *CHEAP]
        assert exit_code(arguments) == 0
    return folder


def attack(sound: Path, scratch: Path, document: str, seed: int) -> Outcome:
    """Damage ``document`` in a copy of ``sound`` and run a command that reads it. ``scratch`` is made anew.

    Raises:
        Exception: what the command would have called a bug.
    """
    rng = random.Random(f"{document} {seed}")
    commands, mutations = CASES[document]
    command = rng.choice(commands)
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(sound, scratch)
    file = scratch / document
    file.write_bytes(rng.choice(mutations)(file.read_bytes(), rng))
    names = {part: str(scratch / part) for part in ("done", "half", "begun", "bundle", "other", "new")}
    arguments = [names.get(part, part) for part in command]
    arguments = [str(sound / "tiny.yaml") if part == "tiny.yaml" else part for part in arguments]
    return Outcome(document, command, seed, exit_code(arguments), scratch)
