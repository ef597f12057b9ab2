"""The run folder: what one distillation run was given, what it did, and where it stands.

::

    recipe.yaml        the resolved recipe
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
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.files import write_json, write_text
from snn_deploy.recipes.recipe import Recipe, parse_recipe

Status = Literal["created", "training", "done", "interrupted", "failed"]

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
        write_text(run.recipe_file, yaml.safe_dump(recipe.to_dict(), sort_keys=False))
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

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.yaml"

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

    def recipe(self) -> Recipe:
        """The resolved recipe of this run."""
        return parse_recipe(self.recipe_file.read_bytes(), origin=str(self.recipe_file))

    def result(self) -> dict[str, Any]:
        """Final figures.

        Raises:
            DataError: the run has not finished.
        """
        if not self.result_file.is_file():
            raise DataError(
                f"The run '{self.path}' has not finished (status: {self.status()}).",
                hint=f"Continue it: snn-deploy distill {self.recipe_file} --run-dir {self.path} --resume",
            )
        content: dict[str, Any] = json.loads(self.result_file.read_text())
        return content

    def status(self) -> Status:
        """Where the run stands."""
        file = self.path / "STATUS"
        text = file.read_text().strip() if file.is_file() else "created"
        if text not in get_args(Status):
            raise DataError(f"'{file}' says '{text}'; known: {', '.join(get_args(Status))}.")
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
