"""The last stage of a student that is trained for a chip: further training in the chip's own arithmetic.

The student trained in real numbers is quantised as an exporter would do it (same search for scales, on
training samples), but to the nearest integers. With these scales, decays and thresholds fixed and batch norm
folded, its weights and biases are trained on by the same method, data and losses; every forward pass computes
what the chip will (:mod:`snn_deploy.models.chip_modules`), so the network that is validated, tested and
exported is one.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from spikingjelly.activation_based import functional
from torch import nn

from snn_deploy.core.files import sha256_file
from snn_deploy.data.sets.splits import spread
from snn_deploy.data.types import DataSet, Split
from snn_deploy.distill.evaluate import Scores
from snn_deploy.distill.events import Note, Report
from snn_deploy.distill.taps import tap
from snn_deploy.distill.trainer import Fit, Phase
from snn_deploy.graph.passes.quantize.quantize import Quantize
from snn_deploy.graph.passes.to_chip.input_grid import input_grid
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.chip import convert, set_numbers
from snn_deploy.models.chip_draft import draft, populations_of
from snn_deploy.models.load import build_student, load_weights, save_weights
from snn_deploy.processes.world import World
from snn_deploy.recipes.recipe import Recipe, TrainSpec
from snn_deploy.recipes.run_folder import Run

CALIBRATION_SAMPLES = 64

Train = Callable[[Phase, TrainSpec], Fit]
Score = Callable[[nn.Module, Split], Scores]


@dataclass(frozen=True, slots=True)
class Stage:
    """What came out: the student as it was before (``real``, from ``before``), the accuracy on the validation
    split of its weights merely rounded, and the ``result`` of training on as ``spec`` says."""

    real: nn.Module
    before: Fit
    rounded_accuracy: float
    spec: TrainSpec
    result: Fit


def train_for_target(
    student: nn.Module,
    recipe: Recipe,
    data: DataSet,
    run: Run,
    phase: Phase,
    train: Train,
    score: Score,
    report: Report,
    world: World,
) -> Stage:
    """Train ``student`` in real numbers as ``phase``, or load the checkpoint; then train on under the rules.

    Both trainings resume by themselves. The student is left in the form of the chip.

    Raises:
        UnsupportedError: no scale keeps the limits of some layer.
        DataError: the checkpoint is missing, damaged, or of another network.
    """
    target = recipe.target
    assert target is not None
    file = run.real_student_file
    if target.checkpoint is None:
        before = train(phase, recipe.train)
        student.load_state_dict(before.weights)
        world.told(lambda: save_weights(before.weights, file))
    else:
        start = target.checkpoint
        kept = file.exists()
        world.told(lambda: load_weights(student, file if kept else start, ours=kept))
        world.told(lambda: save_weights(student.state_dict(), file))
        world.level(student.state_dict().values())
        before = Fit(student.state_dict(), score(student, data.validation).accuracy, 0, 0, 0.0)
    real = copy.deepcopy(student)
    put_under_rules(student, recipe, data)
    world.level(student.state_dict().values())
    rounded = score(student, data.validation).accuracy
    report(
        Note(
            f"validation {100 * before.accuracy:.2f} % in real numbers, {100 * rounded:.2f} % with weights "
            f"rounded to {target.bits} bits for {target.name}"
        )
    )
    digest: str = world.told(lambda: sha256_file(file))
    identity = hashlib.sha256(f"{phase.identity} {digest}".encode()).hexdigest()
    spec = target.stage(recipe.train)
    torch.manual_seed(recipe.seed)
    result = train(Phase(f"student for {target.name}", run.path / "target", identity, phase.seed), spec)
    return Stage(real, before, rounded, spec, result)


def check_target(recipe: Recipe, data: DataSet) -> None:
    """Refuse a student that the recipe's target cannot run, before anything is trained.

    Raises:
        UnsupportedError: every layer at fault, the rule, and a way out.
    """
    if recipe.target is not None:
        draft(build_student(recipe, data.shape, len(data.classes)), data.shape, _semantics(recipe, data))


def put_under_rules(student: nn.Module, recipe: Recipe, data: DataSet) -> None:
    """Turn ``student`` (in place), trained in real numbers, into what the recipe's target computes.

    Raises:
        UnsupportedError: the target cannot run it, or no scale keeps the limits of some layer.
    """
    assert recipe.target is not None
    device = next(student.parameters()).device
    drafted = draft(student, data.shape, _semantics(recipe, data))
    x = data.train.batch(spread(len(data.train), CALIBRATION_SAMPLES)).float()
    was_training = student.training
    names = [name for layer in drafted.chain.layers for name in populations_of(layer) if layer.threshold]
    with torch.inference_mode(), tap(student.eval(), names) as spikes:
        functional.reset_net(student)
        student(x.to(device))
    functional.reset_net(student)
    student.train(was_training)
    bits = recipe.target.bits
    fired = {name: found.cpu() for name, found in spikes.items()}
    quantized = Quantize(x, fired, bits=bits, nearest=True)(drafted.chain)
    convert(student, drafted.plan, bits)
    set_numbers(student, drafted, quantized, input_grid(x))


def _semantics(recipe: Recipe, data: DataSet) -> Semantics:
    return Semantics(timesteps=recipe.timesteps, classes=data.classes)
