"""Where a recipe's teacher comes from: a checkpoint, this run, the cache, or training it now.

A teacher trained in place is kept in ``teachers/`` of the cache folder under a hash of everything that made
it (network, options, training, data, seed), so that many students of one recipe share it. Whatever its
origin, a copy lies in the run folder, and that copy is what the run uses.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.files import clear_leftovers, sha256_file
from snn_deploy.data.loading.cache import cache_dir
from snn_deploy.data.types import DataSet
from snn_deploy.distill.events import Note, Report
from snn_deploy.distill.interrupt import StopRequest
from snn_deploy.distill.objective import LabelObjective
from snn_deploy.distill.trainer import Phase, fit
from snn_deploy.models.load import build_teacher, load_weights, save_weights
from snn_deploy.models.own import put_weights
from snn_deploy.processes.world import ALONE, World
from snn_deploy.recipes.recipe import Recipe
from snn_deploy.recipes.run_folder import Run

REVISION = 3
"""Goes up when training changes, so that cached teachers are trained again."""

Origin = Literal["checkpoint", "trained", "cached"]


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher ready for use, on its device, and where it came from; training figures when trained here."""

    network: nn.Module
    origin: Origin
    epochs: int = 0
    seconds: float = 0.0


def obtain_teacher(
    recipe: Recipe,
    data: DataSet,
    run: Run,
    device: torch.device,
    stop: StopRequest,
    report: Report,
    world: World = ALONE,
) -> Teacher | None:
    """The teacher of ``recipe``, or None when it has none. Several processes train it together; one that
    exists is read by the first of them.

    Raises:
        ConfigError: neither a checkpoint nor a ``train`` section.
        DataError: the checkpoint is missing, damaged, or of another network.
    """
    spec = recipe.teacher
    if spec is None:
        return None
    torch.manual_seed(recipe.seed)
    network = build_teacher(recipe, data.shape, len(data.classes)).to(device)
    identity = teacher_identity(recipe, data)
    kept = cache_dir() / "teachers" / f"{identity}.safetensors"
    origin: Origin | None = world.told(lambda: _existing(recipe, run, network, kept, report))
    if origin is not None:
        world.level(network.state_dict().values())
        return Teacher(network, origin)
    assert spec.train is not None
    result = fit(
        LabelObjective(network, recipe.timesteps, spec.train.label_smoothing),
        data,
        spec.train,
        Phase("teacher", run.path / "teacher", identity, recipe.seed),
        train={recipe.timesteps: data.training},
        device=device,
        stop=stop,
        report=report,
        world=world,
    )
    network.load_state_dict(result.weights)
    world.told(lambda: save_weights(result.weights, run.teacher_file))
    if world.first:
        _keep(result.weights, kept, report)
    return Teacher(network, "trained", spec.train.epochs, result.seconds)


def _existing(recipe: Recipe, run: Run, network: nn.Module, kept: Path, report: Report) -> Origin | None:
    """Put weights that exist into ``network`` and a copy into the run; None when there are none."""
    spec = recipe.teacher
    assert spec is not None
    folder = run.path / "teacher"
    if run.teacher_file.exists() and not folder.exists():
        _require_same(run)
        load_weights(network, run.teacher_file, ours=True)
        return "cached" if spec.checkpoint is None else "checkpoint"
    if spec.checkpoint is not None:
        if spec.checkpoint.suffix == ".safetensors":
            load_weights(network, spec.checkpoint)
        else:
            put_weights(network, spec.checkpoint)
        save_weights(network.state_dict(), run.teacher_file)
        return "checkpoint"
    if spec.train is None and getattr(network, "comes_trained", False):
        save_weights(network.state_dict(), run.teacher_file)
        return "checkpoint"
    if spec.train is None:
        raise ConfigError(
            f"The recipe '{recipe.name}' does not say where its teacher comes from.",
            hint="Give teacher.checkpoint (a safetensors file) or teacher.train (epochs, lr, ...).",
        )
    if not folder.exists() and _fetch(network, kept, report):
        report(Note("the teacher is taken from the cache"))
        save_weights(network.state_dict(), run.teacher_file)
        return "cached"
    return None


def teacher_identity(recipe: Recipe, data: DataSet) -> str:
    """SHA-256 over everything that determines a teacher trained in place."""
    assert recipe.teacher is not None
    content = {
        "revision": REVISION,
        "teacher": recipe.teacher.model_dump(mode="json", exclude={"checkpoint"}),
        "timesteps": recipe.timesteps,
        "seed": recipe.seed,
        "data": data.digest,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _require_same(run: Run) -> None:
    """The teacher in a run folder is the one that its student has learnt from so far."""
    before = run.environment()["teacher_sha256"]
    if before is not None and before != sha256_file(run.teacher_file):
        raise DataError(
            f"The weights file '{run.teacher_file}' is damaged: it has changed since the run began.",
            hint="Put the file back as it was, or start a new run.",
        )


def _fetch(network: nn.Module, kept: Path, report: Report) -> bool:
    """Load the cached teacher; a damaged one counts as absent."""
    if not kept.exists():
        return False
    try:
        load_weights(network, kept, ours=True)
    except DataError as error:
        report(Note(f"the cached teacher cannot be used, it is trained again: {error.message}"))
        return False
    return True


def _keep(weights: dict[str, torch.Tensor], kept: Path, report: Report) -> None:
    try:
        clear_leftovers(kept.parent)
        save_weights(weights, kept)
    except OSError as error:
        report(Note(f"the teacher is not cached: {error}"))
