"""Few steps: an ANN fine-tuned for T levels, converted, and trained on with hard reset.

    python benchmarks/few_steps.py [--only resnet20,fashion] [--steps 4,8] [--epochs 4] [--distil 2]
        [--work FOLDER] [--out FILE]

The ANNs and data are those of ``benchmarks/conversion.py``. Per T the ANN is fine-tuned for ``--epochs`` with
``snn-deploy convert --fine-tune`` and converted; with ``--distil`` the network for the fewest steps is
trained on for so many epochs as integrate-and-fire neurons that reset to 0, the ANN as the teacher. All
training sees training images only; what is kept is chosen on held-out training images, which the public
teachers have seen. Everything that is done is kept in the work folder, and goes on there after a kill.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import bench
import torch
from conversion import CASES, Case, certificate

from snn_deploy.convert.choices import Choices, FineTuning
from snn_deploy.recipes.recipe import Recipe
from snn_deploy.tasks.distill import distill_student

AUGMENT = {
    "resnet20": ("data.augment={crop_padding: 4, flip: true}",),
    "fashion": ("data.augment={flip: true}",),
    "resnet56": ("data.augment={crop_padding: 4, flip: true}",),
}
HARD = {"kind": "if", "v_reset": 0.0, "surrogate": {"name": "triangle", "alpha": 1.0}}
MINUTE = 60.0


@dataclass(frozen=True)
class Wanted:
    """How long things are trained."""

    epochs: int
    distil: int
    images: int
    work: Path


def distilled(name: str, case: Case, timesteps: int, converted: Path, wanted: Wanted) -> tuple[str, str]:
    """Test accuracy and minutes of the network in ``converted``, trained on with hard reset."""
    recipe = Recipe.model_validate(
        {
            "name": f"{name}-hard",
            "timesteps": timesteps,
            "data": {"name": case.data},
            "teacher": {"name": "onnx"},
            "student": {"name": "converted", "neuron": HARD},
            "method": {"name": "kd", "alpha": 0.9, "tau": 2.0},
            "train": {"epochs": wanted.distil, "lr": 5e-4, "warmup_epochs": 0.1, "grad_clip": 5.0},
        }
    )
    run = distill_student(
        recipe,
        wanted.work / f"{name}-hard-{timesteps}",
        init=converted,
        resume=True,
        report=lambda event: print(f"  {event}", flush=True),
    )
    student = run.result()["student"]
    return f"{student['test_accuracy']:.1%}", f"{student['seconds'] / MINUTE:.0f} min"


def rows(name: str, steps: list[int], wanted: Wanted) -> Iterator[tuple[str, ...]]:
    """The rows of a network."""
    case = CASES[name]
    case = replace(case, overrides=(*case.overrides, *AUGMENT[name]))
    network, choices, tuning = (
        case.make(wanted.work),
        Choices(images=wanted.images),
        FineTuning(wanted.epochs),
    )
    for t in steps:
        converted = wanted.work / f"{name}-tuned-{t}"
        c = certificate(case, converted, network, t, choices, tuning)
        told = c.fine_tuning
        assert told is not None
        head = (case.title, c.samples_of, f"{c.accuracy:.1%}", str(t))
        trained = f"{told.epochs} epochs, {told.seconds / MINUTE:.0f} min"
        yield (*head, "fine-tuned, levels", f"{told.accuracy:.1%}", trained)
        yield (*head, "fine-tuned, spiking", f"{c.chosen.spiking:.1%}", trained)
        if wanted.distil and t == min(steps):
            accuracy, minutes = distilled(name, case, t, converted, wanted)
            yield (*head, "then hard reset, trained on", accuracy, f"{wanted.distil} epochs, {minutes}")


def main() -> None:
    """Train, convert, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="resnet20")
    parser.add_argument("--steps", default="4,8")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--distil", type=int, default=2)
    parser.add_argument("--images", type=int, default=Choices().images)
    parser.add_argument("--work", type=Path, default=Path("runs/conversion"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(arguments.epochs, arguments.distil, arguments.images, arguments.work)
    head = ("network", "data", "ANN", "T", "way", "accuracy", "trained")
    table = bench.Table("Few steps: fine-tuned, then distilled", bench.conditions("torch", threads=1), *head)
    for name in arguments.only.split(","):
        for row in rows(name, [int(t) for t in arguments.steps.split(",")], wanted):
            table.add(*row)
    table.keep(arguments.out)


if __name__ == "__main__":
    main()
