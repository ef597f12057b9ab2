"""Few steps: an ANN converted, then trained on; before it, if wanted, fine-tuned for T levels.

    python benchmarks/few_steps.py [--only resnet20,fashion] [--steps 4,8] [--fine-tune 0] [--soft 2]
        [--hard 4] [--amp on] [--work FOLDER] [--out FILE]

The ANNs and data are those of ``benchmarks/conversion.py``. Per T the ANN is fine-tuned for so many epochs
with ``snn-deploy convert --fine-tune`` and converted. The network is trained on through its T steps, as
``snn-deploy distill --init`` does it, the ANN as the teacher: with its own neurons, which reset by
subtraction, for ``--soft`` epochs, and the network for the fewest steps, from the conversion again, for
``--hard`` epochs as integrate-and-fire neurons that reset to 0. All training sees training images only; what
is kept is chosen on held-out training images, which the public teachers have seen. Everything that is done
is kept in the work folder, and goes on there after a kill.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
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
RESETS = {"soft": None, "hard": 0.0}
RATES = {"soft": 5e-4, "hard": 1e-3}
MINUTE = 60.0


@dataclass(frozen=True)
class Wanted:
    """How things are trained: epochs of each kind, images of the calibration, ``train.amp``."""

    fine_tune: int
    epochs: Mapping[str, int]
    images: int
    amp: str
    work: Path


def trained_on(
    name: str, case: Case, timesteps: int, reset: str, converted: Path, wanted: Wanted
) -> tuple[str, str]:
    """Test accuracy and minutes of the network in ``converted``, trained on with a kind of reset."""
    surrogate = {"name": "triangle", "alpha": 1.0}
    recipe = Recipe.model_validate(
        {
            "name": f"{reset}{timesteps}",
            "timesteps": timesteps,
            "data": {"name": case.data},
            "teacher": {"name": "onnx"},
            "student": {
                "name": "converted",
                "neuron": {"kind": "if", "v_reset": RESETS[reset], "surrogate": surrogate},
            },
            "method": {"name": "kd", "alpha": 0.9, "tau": 2.0},
            "train": {
                "epochs": wanted.epochs[reset],
                "lr": RATES[reset],
                "warmup_epochs": 0.1,
                "grad_clip": 5.0,
                "amp": wanted.amp,
            },
        }
    )
    run = distill_student(
        recipe,
        wanted.work / f"{name}-{reset}-{timesteps}",
        overrides=case.overrides,
        init=converted,
        resume=True,
        report=lambda event: print(f"  {event}", flush=True),
    )
    student = run.result()["student"]
    return f"{student['test_accuracy']:.1%}", f"{student['seconds'] / MINUTE:.0f} min"


def rows(name: str, steps: list[int], wanted: Wanted) -> Iterator[tuple[str, ...]]:
    """The rows of a network."""
    case = CASES[name]
    tuning = FineTuning(wanted.fine_tune) if wanted.fine_tune else None
    augmented = replace(case, overrides=(*case.overrides, *AUGMENT[name]))
    network, choices = case.make(wanted.work), Choices(images=wanted.images)
    for t in steps:
        converted = wanted.work / f"{name}-{'tuned' if tuning else 'converted'}-{t}"
        c = certificate(augmented if tuning else case, converted, network, t, choices, tuning)
        head = (case.title, c.samples_of, f"{c.accuracy:.1%}", str(t))
        took = "-"
        if told := c.fine_tuning:
            took = f"{told.epochs} epochs, {told.seconds / MINUTE:.0f} min"
            yield (*head, "fine-tuned, levels", f"{told.accuracy:.1%}", took)
        yield (*head, "converted", f"{c.chosen.spiking:.1%}", took)
        for reset in RESETS:
            if wanted.epochs[reset] and (reset == "soft" or t == min(steps)):
                accuracy, minutes = trained_on(name, augmented, t, reset, converted, wanted)
                epochs = f"{wanted.epochs[reset]} epochs, {minutes}"
                yield (*head, f"trained on, {reset} reset", accuracy, epochs)


def main() -> None:
    """Train, convert, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="resnet20")
    parser.add_argument("--steps", default="4,8")
    parser.add_argument("--fine-tune", type=int, default=0, metavar="EPOCHS")
    parser.add_argument("--soft", type=int, default=2, metavar="EPOCHS")
    parser.add_argument("--hard", type=int, default=4, metavar="EPOCHS")
    parser.add_argument("--images", type=int, default=Choices().images)
    parser.add_argument("--amp", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--work", type=Path, default=Path("runs/conversion"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    epochs = {"soft": given.soft, "hard": given.hard}
    wanted = Wanted(given.fine_tune, epochs, given.images, given.amp, given.work)
    head = ("network", "data", "ANN", "T", "way", "accuracy", "trained")
    title = "Few steps: converted, then trained on"
    table = bench.Table(title, bench.conditions("torch", threads=1), *head)
    for name in given.only.split(","):
        for row in rows(name, [int(t) for t in given.steps.split(",")], wanted):
            table.add(*row)
    table.keep(given.out)


if __name__ == "__main__":
    main()
