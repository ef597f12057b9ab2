"""One distillation run, from recipe to ``result.json``.

::

    {
      "recipe", "recipe_digest", "method", "seed", "timesteps", "device",
      "data":    {"name", "digest", "shape", "classes", "samples": {"train", "validation", "test"}, "notes",
                  "made": how events or images become frames, or null},
      "student": {"validation_accuracy", "test_accuracy", "test_correct", "best_epoch", "epochs", "steps",
                  "seconds", "parameters", "sha256", "firing_rates": {layer: spikes per neuron and step},
                  "firing_rate": over all neurons, "sops_per_sample": synaptic operations},
      "real_student": the same of the student before it was trained for the recipe's target, and
                  "rounded_validation_accuracy", of its weights rounded without further training; or null
      "teacher": {"origin", "validation_accuracy", "test_accuracy", "test_correct", "epochs", "seconds",
                  "parameters", "sha256"} or null,
      "metrics_sha256", "sha256": of metrics.jsonl, and of everything above
    }

Accuracies are fractions. The test split is read once, at the end, with the best weights by validation.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError, DataError, InterruptedRunError
from snn_deploy.core.files import sha256_file, write_json
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.types import DataSet, Split
from snn_deploy.distill.evaluate import Scores, evaluate
from snn_deploy.distill.events import EpochDone, Event, Note, PhaseStarted, Report
from snn_deploy.distill.interrupt import StopRequest, stop_on_signal
from snn_deploy.distill.kernels import before_cublas
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.neurons.choice import described, slow_paths
from snn_deploy.distill.objective import DistillObjective, LabelObjective
from snn_deploy.distill.step import uses_bfloat16
from snn_deploy.distill.target import Stage, check_target, train_for_target
from snn_deploy.distill.teacher import Teacher, obtain_teacher
from snn_deploy.distill.trainer import Fit, Phase, fit
from snn_deploy.models.load import begin, build_student, save_weights
from snn_deploy.processes.world import ALONE, World, choose_device
from snn_deploy.recipes.recipe import Recipe, TrainSpec
from snn_deploy.recipes.run_folder import Run, Status


def distill(
    recipe: Recipe,
    data: DataSet,
    run: Run,
    *,
    device: str = "auto",
    resume: bool = False,
    report: Report = lambda event: None,
    world: World = ALONE,
) -> dict[str, Any]:
    """Obtain the teacher, train the student, test both, write everything into ``run``; the final figures.

    Args:
        recipe: what to do.
        data: the recipe's data set.
        run: the folder; new, or with ``resume`` one that was interrupted or killed.
        device: ``cpu``, ``cuda``, or ``auto`` (CUDA where there is a device).
        resume: whether the folder may hold the state of an earlier start.
        report: told of every event.
        world: the processes that do it together. All get the figures; the first has the folder and is told.

    Raises:
        ConfigError: the recipe cannot be run, there is no such device, or the run is of other data.
        DataError: a file is missing or damaged.
        DivergedError: a loss is not finite.
        InterruptedRunError: a signal, a lost process or a full disk; the run can be resumed.
    """
    before_cublas()
    where = choose_device(device, world)
    before: Status = world.told(lambda: _start(run, resume))
    try:
        with stop_on_signal(patient=world.size > 1) as stop, world.watched():
            tell = _logged(run, report) if world.first else lambda event: None
            result = _distill(recipe, data, run, where, stop, tell, world)
            sealed: dict[str, Any] = world.told(lambda: _finish(run, result))
    except (InterruptedRunError, KeyboardInterrupt):
        _mark(run, "interrupted", world)
        raise
    except ConfigError:
        _mark(run, before, world)
        raise
    except OSError as error:
        if error.errno not in _FULL:
            _mark(run, "failed", world)
            raise
        _mark(run, "interrupted", world)
        raise InterruptedRunError(
            f"The run folder '{run.path}' cannot be written: {error.strerror}. "
            "Nothing is lost beyond the last checkpoint.",
            hint="Make room there, then continue with --resume.",
        ) from error
    except BaseException:
        _mark(run, "failed", world)
        raise
    return sealed


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


def _start(run: Run, resume: bool) -> Status:
    before = run.status()
    if not resume and before != "created":
        raise ConfigError(f"'{run.path}' already holds a run.", hint="Add --resume to continue it.")
    run.set_status("training")
    return before


def _finish(run: Run, result: dict[str, Any]) -> dict[str, Any]:
    sealed = run.write_result(result)
    run.set_status("done")
    return sealed


def _mark(run: Run, status: Status, world: World) -> None:
    """Record how a run ended, where there still is room to."""
    if world.first:
        with contextlib.suppress(OSError):
            run.set_status(status)


def _distill(
    recipe: Recipe,
    data: DataSet,
    run: Run,
    device: torch.device,
    stop: StopRequest,
    report: Report,
    world: World,
) -> dict[str, Any]:
    check_target(recipe, data)
    teacher = obtain_teacher(recipe, data, run, device, stop, report, world)
    world.told(lambda: _record_inputs(run, data, recipe.train, device, teacher, report, world))
    torch.manual_seed(recipe.seed)
    student = build_student(recipe, data.shape, len(data.classes)).to(device)
    world.told(lambda: begin(student, recipe))
    if recipe.init is not None:
        world.level(student.state_dict().values())
    network = None if teacher is None else teacher.network
    setting = Setting(
        student,
        network,
        data.shape,
        len(data.classes),
        recipe.timesteps,
        recipe.train.label_smoothing,
        data.steady,
    )
    for slow in slow_paths(student, device, bfloat16=uses_bfloat16(recipe.train, device)):
        report(Note(slow))
    method = build_method(recipe.method, setting).to(device)
    if method.whole_batch and recipe.train.accumulate > 1:
        raise ConfigError(
            "A method of the recipe compares the samples of a batch, which train.accumulate cuts into parts.",
            hint="Set train.accumulate: 1; several processes may share the batch.",
        )
    objective = DistillObjective(student, network, method, recipe.timesteps, recompute=recipe.train.recompute)
    splits = world.in_turn(lambda: _training_splits(recipe, data, method.passes))

    def train(phase: Phase, spec: TrainSpec) -> Fit:
        return fit(
            objective, data, spec, phase, train=splits, device=device, stop=stop, report=report, world=world
        )

    def score(network: nn.Module, split: Split) -> Scores:
        predict = DistillObjective(network, None, method, recipe.timesteps).predict
        return evaluate(
            network, predict, split, device=device, batch_size=recipe.train.batch_size, world=world
        )

    identity: str = world.told(lambda: _identity(recipe, data, run, teacher))
    phase = Phase("student", run.path, identity, recipe.seed)
    if recipe.target is None:
        stage, spec = None, recipe.train
        result = train(phase, spec)
    else:
        stage = train_for_target(student, recipe, data, run, phase, train, score, report, world)
        result, spec = stage.result, stage.spec
    student.load_state_dict(result.weights)
    world.told(lambda: save_weights(result.weights, run.student_file))
    report(Note(f"testing with the weights of epoch {result.epoch}"))
    tested = score(student, data.test)
    return {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest(),
        "method": [part.name for part in recipe.method],
        "seed": recipe.seed,
        "timesteps": recipe.timesteps,
        "device": device.type,
        "data": _describe(data),
        "student": _student_result(student, spec.epochs, run.student_file, result, tested, world),
        "real_student": None if stage is None else _real_result(stage, recipe, run, score, data, world),
        "teacher": None if teacher is None else _teacher_result(teacher, recipe, data, run, device, world),
    }


def _training_splits(recipe: Recipe, data: DataSet, passes: tuple[int, ...]) -> Mapping[int, Split]:
    """The training split binned for every number of steps; the recipe's own is ``data.training``.

    Raises:
        DataError: another binning has other samples.
    """
    splits: dict[int, Split] = {}
    for steps in passes:
        if steps == recipe.timesteps:
            splits[steps] = data.training
            continue
        options = recipe.data.resolve(DATASETS)
        again: DataSet = DATASETS.get(recipe.data.name).factory(options, timesteps=steps, cache=None)
        if not torch.equal(again.train.labels, data.train.labels):
            raise DataError(f"'{data.name}' has other training samples with {steps} timesteps.")
        splits[steps] = again.training
    return splits


def _identity(recipe: Recipe, data: DataSet, run: Run, teacher: Teacher | None) -> str:
    """SHA-256 over what a student is trained from; a checkpoint of anything else is refused."""
    teacher_hash = None if teacher is None else sha256_file(run.teacher_file)
    content = [recipe.digest(), data.digest, teacher_hash]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _record_inputs(
    run: Run,
    data: DataSet,
    train: TrainSpec,
    device: torch.device,
    teacher: Teacher | None,
    report: Report,
    world: World,
) -> None:
    before = run.environment()
    now = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "processes": world.size,
        "neurons": described(device, bfloat16=uses_bfloat16(train, device)),
    }
    if other := [name for name in now if before[name] not in {None, now[name]}]:
        was, is_now = (", ".join(f"{name} {facts[name]}" for name in other) for facts in (before, now))
        report(
            Note(
                f"the run goes on with {is_now}; before: {was}. The losses that follow may differ from those "
                "of a run that was not interrupted"
            )
        )
    inputs = {
        "data_digest": data.digest,
        "teacher_sha256": None if teacher is None else sha256_file(run.teacher_file),
    }
    write_json(run.environment_file, {**before, **now, **inputs})


def _describe(data: DataSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "digest": data.digest,
        "shape": list(data.shape),
        "classes": list(data.classes),
        "samples": {name: len(getattr(data, name)) for name in ("train", "validation", "test")},
        "notes": list(data.notes),
        "made": None if data.made is None else asdict(data.made),
    }


def _student_result(
    student: nn.Module, epochs: int, file: Path, result: Fit, tested: Scores, world: World
) -> dict[str, Any]:
    return {
        "validation_accuracy": result.accuracy,
        **_tested(tested, student, file, world),
        "best_epoch": result.epoch,
        "epochs": epochs,
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "firing_rates": tested.rates,
        "firing_rate": tested.rate,
        "sops_per_sample": tested.sops,
    }


def _real_result(
    stage: Stage,
    recipe: Recipe,
    run: Run,
    score: Callable[[nn.Module, Split], Scores],
    data: DataSet,
    world: World,
) -> dict[str, Any]:
    tested = score(stage.real, data.test)
    epochs = recipe.train.epochs if stage.before.steps else 0
    return {
        **_student_result(stage.real, epochs, run.real_student_file, stage.before, tested, world),
        "rounded_validation_accuracy": stage.rounded_accuracy,
    }


def _teacher_result(
    teacher: Teacher, recipe: Recipe, data: DataSet, run: Run, device: torch.device, world: World
) -> dict[str, Any]:
    predict = LabelObjective(teacher.network, recipe.timesteps, 0.0).predict
    batch_size = recipe.train.batch_size
    validation, test = (
        evaluate(teacher.network, predict, split, device=device, batch_size=batch_size, world=world)
        for split in (data.validation, data.test)
    )
    return {
        "origin": teacher.origin,
        "validation_accuracy": validation.accuracy,
        **_tested(test, teacher.network, run.teacher_file, world),
        "epochs": teacher.epochs,
        "seconds": round(teacher.seconds, 3),
    }


def _tested(tested: Scores, network: nn.Module, file: Path, world: World) -> dict[str, Any]:
    return {
        "test_accuracy": tested.accuracy,
        "test_correct": tested.correct,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "sha256": world.told(lambda: sha256_file(file)),
    }


def _logged(run: Run, report: Report) -> Report:
    def tell(event: Event) -> None:
        if isinstance(event, PhaseStarted | EpochDone | Note):
            run.log(str(event))
        report(event)

    return tell
