"""Train the student of a recipe, or say what that would do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.events import Note
from snn_deploy.distill.run import distill
from snn_deploy.distill.target import check_target
from snn_deploy.models.load import begin, build_student, build_teacher
from snn_deploy.processes.world import joined
from snn_deploy.recipes.own_parts import Trust
from snn_deploy.recipes.recipe import Recipe, load_recipe, require_own_code
from snn_deploy.recipes.run_folder import Run
from snn_deploy.tasks.beginning import recipe_from
from snn_deploy.tasks.samples import load_data


def distill_student(
    recipe: Recipe | str,
    run_dir: Path | str,
    *,
    resume: bool = False,
    device: str = "auto",
    overrides: Sequence[str] = (),
    init: Path | str | None = None,
    trust: bool = False,
    report: Callable[[Any], None] = lambda event: None,
) -> Run:
    """Train the teacher (unless given) and the student of ``recipe`` in ``run_dir``.

    With ``resume`` an interrupted run continues to the identical loss sequence; a finished one is returned.
    Processes started by ``torchrun`` train together; the first one alone uses ``run_dir``.

    ``init``: a conversion or a run that the student begins at (:mod:`snn_deploy.tasks.beginning`).
    ``trust``: the Python files that the recipe names may be run.

    Raises:
        ConfigError: faults in the recipe, or the folder holds another run, or another process works in it.
        DataError: what an interrupted run left is damaged.
        DivergedError: the loss is not finite.
        InterruptedRunError: stopped by a signal, a lost process or a full disk; the run can be resumed.
    """
    run = Run(Path(run_dir))
    wanted = wanted_recipe(recipe, overrides, init, trust=trust)
    require_own_code(wanted)
    with joined(device) as world, contextlib.ExitStack() as held:
        if world.told(lambda: _prepare(run, wanted, resume, held, report)):
            data = world.in_turn(lambda: load_data(wanted))
            distill(wanted, data, run, device=device, resume=resume, report=report, world=world)
    return run


def wanted_recipe(
    recipe: Recipe | str,
    overrides: Sequence[str] = (),
    init: Path | str | None = None,
    *,
    trust: Trust = False,
) -> Recipe:
    """The recipe that is trained; ``overrides`` are for one by name."""
    if init is not None:
        return recipe_from(recipe, Path(init), overrides, trust=trust)
    return load_recipe(recipe, overrides, trust=trust) if isinstance(recipe, str) else recipe


def _prepare(
    run: Run, wanted: Recipe, resume: bool, held: contextlib.ExitStack, report: Callable[[Any], None]
) -> bool:
    """Make the run folder, or look into it, as the one process that works there as long as ``held`` is open;
    whether there is something left to do."""
    held.enter_context(run.locked(lambda line: report(Note(line))))
    if resume and run.recipe_file.exists():
        if run.recipe().digest() != wanted.digest():
            raise ConfigError(
                f"'{run.path}' was started with another recipe; resuming would mix two runs.",
                hint="Use another --run-dir, or the recipe in the run folder.",
            )
        return run.status() != "done" or not run.result_file.exists()
    Run.create(run.path, wanted)
    return True


def describe(recipe: Recipe) -> dict[str, Any]:
    """What :func:`distill_student` would do: data and networks are built, nothing is trained."""
    require_own_code(recipe)
    data = load_data(recipe)
    student = build_student(recipe, data.shape, len(data.classes))
    begin(student, recipe)
    parts: dict[str, Any] = {
        "data": f"{data.name} {data.shape}, {len(data.classes)} classes",
        "samples": f"{len(data.train)} training, {len(data.validation)} validation, {len(data.test)} test",
        "student": f"{recipe.student.name}, {_parameters(student):,} parameters, T = {recipe.timesteps}",
        "method": " + ".join(f"{part.weight:g} {part.title}" for part in recipe.method),
        "epochs": f"{recipe.train.epochs}, {-(-len(data.train) // recipe.train.batch_size)} steps each",
        "digest": recipe.digest(),
    }
    if recipe.init is not None:
        parts["begins with"] = f"{recipe.init.weights}, sha256 {recipe.init.sha256[:12]}"
    elif recipe.student.name == "converted":
        parts["begins with"] = str((recipe.student.model_extra or {})["network"])
    if recipe.target is not None:
        check_target(recipe, data)
        stage, start = recipe.target.stage(recipe.train), recipe.target.checkpoint
        parts["target"] = f"{recipe.target.name}, {recipe.target.bits}-bit weights, {stage.epochs} epochs" + (
            f" from {start}" if start else " after the training in real numbers"
        )
    if recipe.teacher is not None:
        teacher = build_teacher(recipe, data.shape, len(data.classes))
        ready = "trained already" if getattr(teacher, "comes_trained", False) else "trained in place"
        origin = recipe.teacher.checkpoint or ready
        parts["teacher"] = f"{recipe.teacher.name}, {_parameters(teacher):,} parameters, {origin}"
    return parts


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
