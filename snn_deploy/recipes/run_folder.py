"""The run folder: what one distillation run was given, what it did, and where it stands.

::

    recipe.yaml        the resolved recipe
    code/              copies of the Python files, networks and weights that it names
    environment.json   versions, device, data and teacher hashes
    metrics.jsonl      one JSON object per training step and per epoch
    tensorboard/       the same curves
    teacher/           the same and a checkpoint, of a teacher trained in this run
    checkpoint.pt      last state, for resume (weights, optimiser, RNG, sampler); loads with weights_only
    student.safetensors, teacher.safetensors   best weights by validation accuracy
    real-student.safetensors   of a recipe with a target: the student before it was trained for it
    target/            metrics and a checkpoint of that last training
    result.json        final figures
    STATUS             created | training | done | interrupted | failed
    log.txt
    .lock              while a process works in it
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from snn_deploy.core.damage import read_bytes, read_json, read_sealed, reading, seal
from snn_deploy.core.documents import MAX_DOCUMENT_BYTES, dump_yaml
from snn_deploy.core.errors import ConfigError, DataError, Problem
from snn_deploy.core.files import clear_leftovers, sha256_file, write_json, write_text
from snn_deploy.core.locks import Note, locked
from snn_deploy.recipes.kept_files import keep_files
from snn_deploy.recipes.own_parts import UNTRUSTED, keep_code
from snn_deploy.recipes.recipe import Recipe, parse_recipe
from snn_deploy.recipes.run_documents import Environment, Result

Status = Literal["created", "training", "done", "interrupted", "failed"]

NOTHING_TRAINED = hashlib.sha256().hexdigest()
"""Hash of the metrics of a run that has none."""
MAX_STATUS_BYTES = 64

_PACKAGES = (
    "snn-deploy", "torch", "spikingjelly", "nir", "onnx", "onnxruntime", "h5py", "numpy", "tonic",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder. Paths are properties; nothing is read until asked for."""

    path: Path

    @classmethod
    def create(cls, path: Path, recipe: Recipe) -> Run:
        """Make a new run folder.

        Raises:
            ConfigError: the folder already holds a run.
        """
        if (path / "recipe.yaml").exists():
            raise ConfigError(
                f"'{path}' already holds a run.",
                hint="Add --resume to continue it, or choose another --run-dir.",
            )
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        write_json(run.environment_file, environment())
        run.set_status("created")
        keep_code(recipe.to_dict(), run.code_folder)
        keep_files(recipe.to_dict(), run.code_folder)
        write_text(run.recipe_file, dump_yaml(recipe.to_dict()))
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open an existing run folder.

        Raises:
            DataError: there is no run at ``path``.
        """
        if not (path / "recipe.yaml").is_file():
            raise DataError(
                f"'{path}' is not a run folder (it has no recipe.yaml).",
                hint="Make one with: snn-deploy distill RECIPE --run-dir DIR",
            )
        return cls(path)

    @contextlib.contextmanager
    def locked(self, note: Note = lambda line: None) -> Iterator[None]:
        """Be the one process that works in this folder; what killed ones left half-written is removed.

        Raises:
            ConfigError: another process works in it.
        """
        with locked(self.path / ".lock", str(self.path), note):
            for folder in (self.path, self.path / "teacher", self.path / "target"):
                clear_leftovers(folder)
            yield

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def code_folder(self) -> Path:
        return self.path / "code"

    @property
    def environment_file(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoint_file(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def student_file(self) -> Path:
        return self.path / "student.safetensors"

    @property
    def real_student_file(self) -> Path:
        return self.path / "real-student.safetensors"

    @property
    def teacher_file(self) -> Path:
        return self.path / "teacher.safetensors"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    def recipe(self, *, trust: bool = False) -> Recipe:
        """The resolved recipe of this run. ``trust``: the Python files that it names may be run.

        Raises:
            DataError: its file is damaged.
            ConfigError: Python files that are not trusted.
        """
        hint = "Put the file back as it was, or start a new run."
        with reading(self.recipe_file, "recipe of the run", hint=hint):
            text = read_bytes(self.recipe_file, MAX_DOCUMENT_BYTES)
            try:
                return parse_recipe(text, origin=str(self.recipe_file), trust=trust, kept=self.code_folder)
            except ConfigError as error:
                if any(problem.rule == UNTRUSTED for problem in error.problems):
                    raise
                message = f"The recipe of the run '{self.recipe_file}' is damaged: {error.message}"
                raise DataError(message, hint=hint, problems=error.problems) from None

    def environment(self) -> dict[str, Any]:
        """Versions and facts of the machine that the run was made on.

        Raises:
            DataError: the file is missing or damaged.
        """
        hint = "Put the file back as it was, or start a new run."
        return read_json(self.environment_file, Environment, "environment of the run", hint=hint).model_dump()

    def result(self) -> dict[str, Any]:
        """Final figures.

        Raises:
            DataError: the run has not finished, or the file is not what it wrote.
        """
        resume = f"snn-deploy distill {self.recipe_file} --run-dir {self.path} --resume"
        if not self.result_file.is_file():
            raise DataError(
                f"The run '{self.path}' has not finished (status: {self.status()}).",
                hint=f"Continue it: {resume}",
            )
        hint = f"Delete it; this writes it again: {resume}"
        return read_sealed(self.result_file, Result, "result of the run", hint=hint)[1]

    def finished(self, *, trust: bool = False) -> tuple[Recipe, dict[str, Any]]:
        """Recipe and result of a finished run, after checking that its recipe, metrics and the student's
        weights are those that the result is of.

        Raises:
            DataError: the run has not finished, or has changed since.
            ConfigError: Python files that are not trusted.
        """
        result, recipe = self.result(), self.recipe(trust=trust)
        problems = []
        if recipe.digest() != result["recipe_digest"]:
            problems.append(Problem(self.recipe_file.name, "is not the recipe that was trained"))
        files = {
            self.student_file: result["student"]["sha256"],
            self.metrics_file: result["metrics_sha256"],
        }
        for file, expected in files.items():
            if not file.is_file() and expected != NOTHING_TRAINED:
                problems.append(Problem(file.name, "is missing"))
            elif file.is_file() and sha256_file(file) != expected:
                problems.append(Problem(file.name, "has changed since the run finished"))
        if problems:
            raise DataError(
                f"The run '{self.path}' is not what it was when it finished.",
                problems=problems,
                hint="Put the files back as they were, or train again.",
            )
        return recipe, result

    def write_result(self, result: dict[str, Any]) -> dict[str, Any]:
        """Record final figures with the hash of the metrics, sealed; they are returned as recorded."""
        metrics = sha256_file(self.metrics_file) if self.metrics_file.is_file() else NOTHING_TRAINED
        content = {**result, "metrics_sha256": metrics}
        sealed = {**content, "sha256": seal(content)}
        write_json(self.result_file, sealed)
        return sealed

    def status(self) -> Status:
        """Where the run stands.

        Raises:
            DataError: its file is damaged.
        """
        file = self.path / "STATUS"
        if not file.exists():
            return "created"
        known = ", ".join(get_args(Status))
        with reading(file, "status of the run", hint=f"Write one of these into it: {known}"):
            text = read_bytes(file, MAX_STATUS_BYTES).decode().strip()
        if text not in get_args(Status):
            raise DataError(f"'{file}' says '{text}'; known: {known}.")
        return text  # type: ignore[return-value]

    def set_status(self, status: Status) -> None:
        """Record where the run stands, atomically."""
        write_text(self.path / "STATUS", status + "\n")

    def log(self, line: str) -> None:
        """Append one time-stamped line to the log."""
        with (self.path / "log.txt").open("a") as stream:
            stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")


def environment() -> dict[str, Any]:
    """Versions and machine facts recorded with every run and bundle; holds no path and no host name."""
    return {
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: package_version(name) for name in _PACKAGES},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def package_version(name: str) -> str | None:
    """Installed version of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
