"""The first quarter of an hour on a machine with a GPU: is it right, how fast is it, and one student.

    make gpu-run [GPU_ARGS="--minutes 15"]      (PYTHONPATH=benchmarks python -m gpu [--out FOLDER] ...)

1. Neurons of the device against those of the CPU; stops here when a spike differs.
2. What the device can do at most: copies, products.
3. A training step in seven ways (see ``ways.py``) of a ResNet-18 with T = 4 on images of 3 x 32 x 32.
4. In the minutes that are left: a teacher and a student on CIFAR-10 (``SNN_DEPLOY_DATA``; without it, on the
   embedded digits), with as many epochs as the measured steps allow.

Writes ``DATE-gpu.md`` and the run folder. ``--device cpu --miniature`` goes through all of it in a minute:
its table says that no GPU was used, and is no result. Not run on a GPU so far.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from bench import Table, conditions

from gpu.neurons import compare
from gpu.roofline import copy_rate, product_rate
from gpu.ways import DEFAULT, WAYS, Timed, timed
from snn_deploy.core.errors import DataError
from snn_deploy.distill.kernels import before_cublas
from snn_deploy.distill.neurons.choice import described
from snn_deploy.recipes.recipe import load_recipe
from snn_deploy.tasks.distill import distill_student

CIFAR = "short-cifar10-resnet18-tser"
TRAINING_IMAGES = 45_000
SHARE = 0.7
"""Of the time left that steps may take; validation, data and the test take the rest. Our choice."""
TEACHER = 0.2
"""Of the student's epochs' time that a teacher's epochs of as many take: one step instead of T, and no
second network. Our choice."""


def epochs_for(seconds: float, images_per_second: float, images: int = TRAINING_IMAGES) -> int:
    """Epochs of teacher and of student that fit."""
    return max(1, int(SHARE * seconds / ((1 + TEACHER) * images / images_per_second)))


def student(folder: Path, device: str, epochs: int, miniature: bool) -> str:
    """Train it; a line on what came out."""

    def trained(recipe: str, *overrides: str) -> str:
        run = distill_student(
            recipe, folder / f"run-{recipe}", device=device, overrides=overrides, report=print
        )
        result = run.result()
        return (
            f"{recipe}, {result['student']['epochs']} epochs: test accuracy "
            f"{100 * result['student']['test_accuracy']:.2f} % "
            f"(teacher {100 * result['teacher']['test_accuracy']:.2f} %), "
            f"{result['student']['seconds']:.0f} s of training."
        )

    if miniature:
        short = "timesteps=2", "train.epochs=1", "teacher.train.epochs=1", "train.keep=last"
        return trained("quickstart", *short)
    try:
        return trained(CIFAR, f"train.epochs={epochs}", f"teacher.train.epochs={epochs}")
    except DataError as error:
        print(f"CIFAR-10 is not here ({error.message}); the embedded digits are taken.")
    return trained("quickstart")


def main() -> None:
    """All four parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--miniature", action="store_true", help="small, to see that all parts run")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    before_cublas()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here. Nothing was run on a GPU.")
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU: this is no result"
    options.out.mkdir(parents=True, exist_ok=True)
    small = options.miniature
    recipe = load_recipe("quickstart" if small else CIFAR, ["timesteps=2"] if small else [])
    batch, shape = (2, (2, 8, 8)) if small else (128, (3, 32, 32))

    found = compare(device, every=24 if small else 1)
    worst = ", ".join(f"{dtype} {value:.1e}" for dtype, value in found.gradients.items())
    print(f"neurons: {described(device)}; {found.cases} cases, {found.spikes} differing spikes; {worst}")
    if found.faults:
        raise SystemExit("\n".join(found.faults[:20]))
    copies = copy_rate(device, 1 << (16 if small else 28))
    products = product_rate(device, 64 if small else 8192)
    table = Table(
        f"Training step on {card}",
        f"{conditions('torch', 'spikingjelly', threads=torch.get_num_threads())} On {card}; {recipe.name}, "
        f"T = {recipe.timesteps}, batch {batch}, images {'x'.join(map(str, shape))}.\nNeurons: "
        f"{described(device)}; {found.cases} cases, no spike differs from the CPU's; gradients apart by "
        f"{worst} of their norm.\nCopies {copies:.0f} GB/s, products in bfloat16 {products:.1f} TFLOP/s.",
        *("way", "ms, median", "least", "largest", "images/s", "peak GiB", "loss"),
    )
    images = 1.0
    for name, way in WAYS.items():
        if way.compiled and small:
            continue
        try:
            took: Timed = timed(recipe, way, device, batch, shape, 2 if small else 20)
        except Exception as error:  # noqa: BLE001 - the other ways are worth knowing
            table.add(name, f"{type(error).__name__}: {str(error).splitlines()[0][:80]}", *[""] * 5)
            continue
        peak = "" if took.peak is None else f"{took.peak:.2f}"
        times = (f"{value:.2f}" for value in (took.median, took.least, took.largest))
        table.add(name, *times, f"{took.images:.0f}", peak, f"{took.loss:.4f}")
        if name == DEFAULT:
            images = took.images
    file = options.out / f"{datetime.now(UTC).date()}-gpu.md"
    table.keep(file)
    epochs = epochs_for(end - time.monotonic(), images)
    table.say(f"Student on {card}: {student(options.out, options.device, epochs, small)}")
    table.keep(file)
    print(f"written to {file}")


if __name__ == "__main__":
    main()
