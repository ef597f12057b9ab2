"""What an ImageNet run of SEW-ResNet-34 at T = 4 needs: counted, measured, and reckoned from both.

    python benchmarks/scale.py [--images N] [--rounds N] [--markdown FILE]

Counted, on torch's device ``meta``, where tensors have shapes and no numbers: operations of convolutions and
products (torch's ``FlopCounterMode``: two a multiplication with its addition), bytes that a step keeps for
its backward pass, and bytes that its operations read and write, each tensor once an operation, in float32
(an upper bound: kernels that are fused read and write less, bfloat16 halves it). Of a training step of the
recipe: student, frozen teacher, losses, gradients.

Measured here: CPU seconds of the decoder of ``image-folder`` (:mod:`snn_deploy.data.loading.decoding`). The
JPEG files are made: noise with the spectrum of photographs, compressed to the bytes of an average file of
ImageNet. Also the student's pass over one image on one core.

Reckoned: everything else. No rate of a device is measured; each is an assumption that the table names.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from bench import conditions, seconds
from export_size import NETWORKS
from PIL import Image
from spikingjelly.activation_based import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from traffic import UNTOUCHED, name_of, tensors, touched_bytes

from snn_deploy.data.loading.decoding import decode_image
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.methods.method import Setting
from snn_deploy.distill.neurons.choice import scanned
from snn_deploy.distill.objective import DistillObjective
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.recipes.recipe import Recipe, load_recipe

RECIPE, SHAPE, CLASSES = NETWORKS["sew-resnet34"]
TRAIN_IMAGES, TEST_IMAGES, VALIDATION = 1_281_167, 50_000, 0.02
"""Of ILSVRC 2012; the share that ``image-folder`` holds out."""
SIZES = ((500, 375, 110_000), (1024, 768, 300_000))
"""Width, height, bytes of made files. ImageNet's archive holds 138 GB in 1.28 million training files."""
BATCH = 128
DEVICES = (1, 8, 32)
TERAFLOPS, TERABYTES = (20, 50, 100), 2.0
"""Assumed: operations and bytes a second that a device sustains, in 10^12."""
PROOF_SAMPLES = 64
PROVEN = {
    "resnet18": (38.4, 1768),
    "sew-resnet18": (24.6, 1075),
    "resnet19": (100.2, 1919),
    "vgg9": (281.5, 2045),
    "dvs-csnn": (253.7, 2402),
}
"""Networks of ``export_size.py``: CPU seconds, MiB, of PROOF_SAMPLES: results/2026-11-28-export-size.md."""


class Traffic(TorchDispatchMode):
    """Adds up ``bytes`` that operations read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if name_of(func) not in UNTOUCHED:
            self.bytes += sum(map(touched_bytes, tensors((args, kwargs, out))))
        return out


class Work(NamedTuple):
    """Operations and bytes."""

    operations: int
    bytes: int


def counted(work: Callable[[], object]) -> Work:
    """What ``work`` takes."""
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        work()
    return Work(flops.get_total_flops(), traffic.bytes)


class Step(NamedTuple):
    """Of one image of a training batch: forward with teacher and losses, backward, bytes kept between."""

    forward: Work
    backward: Work
    kept: float


def build(recipe: Recipe) -> DistillObjective:
    """Student, teacher and method, of shapes alone."""
    with torch.device("meta"):
        student, teacher = (make(recipe, SHAPE, CLASSES) for make in (build_student, build_teacher))
        method = build_method(
            recipe.method, Setting(student, teacher, SHAPE, CLASSES, recipe.timesteps, 0.0, True)
        )
        return DistillObjective(student.train(), teacher, method, recipe.timesteps)


def step(objective: DistillObjective, recipe: Recipe, batch: int) -> Step:
    """Count a training step on ``batch`` images."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage()._cdata] = x.untyped_storage()
        return x

    with torch.device("meta"):
        x = torch.zeros(1, batch, *SHAPE).expand(recipe.timesteps, -1, -1, -1, -1)
        labels = torch.zeros(batch, dtype=torch.int64)
        terms = {}

        def forward() -> None:
            terms.update(objective.losses({recipe.timesteps: x}, labels, torch.Generator())[0])

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            before = counted(forward)
        after = counted(torch.stack(list(terms.values())).sum().backward)
    parameters = sum(p.nbytes for p in objective.network.parameters())
    each = [Work(work.operations // batch, work.bytes // batch) for work in (before, after)]
    return Step(*each, (sum(storage.nbytes() for storage in kept.values()) - parameters) / batch)


def pass_operations(recipe_name: str, shape: tuple[int, int, int], classes: int) -> tuple[int, int]:
    """Weights of a recipe's student, and operations of its pass over one sample of ``shape``."""
    recipe = load_recipe(recipe_name)
    with torch.device("meta"), torch.no_grad():
        student = build_student(recipe, shape, classes).eval()
        found = counted(lambda: student(torch.zeros(recipe.timesteps, 1, *shape)))
    return sum(p.numel() for p in student.parameters()), found.operations


def make_photograph(file: Path, width: int, height: int, size: int, seed: int) -> None:
    """Write colour noise of amplitude 1 / frequency as a JPEG of about ``size`` bytes."""
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(width, height))
    noise = rng.normal(size=(3, height, width))
    shaped = np.fft.ifft2(np.fft.fft2(noise) / frequency).real
    grey = shaped.mean(0, keepdims=True) * 1.5 + shaped * 0.5
    grey = (grey - grey.mean()) / grey.std()
    picture = Image.fromarray(np.clip(128 + 50 * grey, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    for quality in range(98, 20, -2):
        picture.save(file, quality=quality)
        if file.stat().st_size <= size:
            return


def decoding(files: list[Path], size: int, resize: int, rounds: int) -> float:
    """Least CPU seconds of one image."""

    def work() -> None:
        for file in files:
            decode_image(file, size, resize)

    work()
    return min(seconds(work).cpu for _ in range(rounds)) / len(files)


def forward_seconds(recipe: Recipe, rounds: int) -> float:
    """Least CPU seconds of the student's pass over one image, one thread."""
    student = build_student(recipe, SHAPE, CLASSES).eval()
    x = torch.rand(1, 1, *SHAPE).expand(recipe.timesteps, -1, -1, -1, -1)

    def work() -> None:
        functional.reset_net(student)
        student(x)

    with torch.inference_mode(), scanned(student):
        work()
        return min(seconds(work).cpu for _ in range(rounds))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A section with a Markdown table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]
    return [f"## {title}", "", *lines, ""]


def of_counts(step: Step, weights: int) -> list[str]:
    """What one image of a training step takes, and what a step takes once."""
    rows = [
        (name, f"{work.operations / 1e9:.1f}", f"{work.bytes / 1e9:.2f}")
        for name, work in (("student, teacher and losses", step.forward), ("gradients", step.backward))
    ]
    kept = ("kept from one to the other", "", f"{step.kept / 1e9:.2f}")
    pixels = ("pixels to the device, 256 x 256, one byte each", "", f"{3 * 256**2 / 1e9:.4f}")
    told = ("gradients among processes, once a step", "", f"{4 * weights / 1e9:.3f}")
    columns = ("counted, one image of a batch of 128", "10^9 operations", "GB")
    return table("Counted: a training step", columns, [*rows, kept, pixels, told])


def of_decoding(folder: Path, images: int, rounds: int) -> tuple[list[str], float]:
    """The decoder's table; CPU seconds of a training image of the first size."""
    rows, training = [], []
    for width, height, size in SIZES:
        files = [folder / f"{width}-{number}.jpg" for number in range(images)]
        for number, file in enumerate(files):
            make_photograph(file, width, height, size, number)
        kilobytes = sum(file.stat().st_size for file in files) / images / 1000
        shown, wide = (decoding(files, side, 256, rounds) for side in (224, 256))
        rows.append(
            (
                f"{width} x {height}",
                f"{kilobytes:.0f}",
                *(f"{1e3 * t:.2f} ({1 / t:.0f})" for t in (shown, wide)),
            )
        )
        training.append(wide)
    columns = ("file", "kB", "224 x 224, evaluation", "256 x 256, before random crops")
    title = "Measured: CPU ms to decode an image (images a second and core)"
    return table(title, columns, rows), training[0]


def of_hours(recipe: Recipe, step: Step, decode: float) -> list[str]:
    """Hours of a training by assumed rates."""
    images = recipe.train.epochs * TRAIN_IMAGES * (1 - VALIDATION)
    operations = step.forward.operations + step.backward.operations
    moved = step.forward.bytes + step.backward.bytes
    rows = []
    for rate in TERAFLOPS:
        each = max(operations / rate, moved / TERABYTES) / 1e12
        bound = "bytes" if moved / TERABYTES > operations / rate else "operations"
        hours = [f"{images * each / 3600 / devices:.0f}" for devices in DEVICES]
        rows.append((str(rate), f"{1 / each:.0f}", bound, *hours, f"{decode / each:.1f}"))
    columns = (
        *("assumed 10^12 operations/s", "images/s and device", "bound by"),
        *(f"hours, {devices} device{'s' * (devices > 1)}" for devices in DEVICES),
        "cores that decode, a device",
    )
    title = (
        f"Reckoned: {recipe.train.epochs} epochs, {images / 1e6:.0f} million images, {TERABYTES} TB/s assumed"
    )
    return table(title, columns, rows)


def of_proofs() -> list[str]:
    """CPU seconds of proofs, those measured and what follows for the network of ``RECIPE``."""
    rows, prices = [], []
    for name, (cpu, mebibytes) in PROVEN.items():
        weights, operations = pass_operations(*NETWORKS[name])
        work = operations * PROOF_SAMPLES / 1e12
        prices.append(cpu / work)
        cells = (f"{weights / 1e6:.1f}", f"{work:.2f}", f"{cpu:.0f}", f"{prices[-1]:.0f}")
        rows.append((name, *cells, str(mebibytes)))
    weights, operations = pass_operations(RECIPE, SHAPE, CLASSES)
    work = operations * PROOF_SAMPLES / 1e12
    low, high = min(prices), max(prices)
    cells = (f"{weights / 1e6:.1f}", f"{work:.2f}", f"reckoned {low * work:.0f} to {high * work:.0f}")
    rows.append(("sew-resnet34, 3x224x224", *cells, f"{low:.0f} to {high:.0f}", "not measured"))
    columns = (
        *("network", "10^6 weights", "10^12 operations of a pass"),
        *("CPU s of the proof", "CPU s / 10^12 operations", "peak MiB"),
    )
    return table(f"Proofs of NIR, ONNX step and scan on {PROOF_SAMPLES} samples", columns, rows)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe(RECIPE)
    objective = build(recipe)
    weights = sum(p.numel() for p in objective.network.parameters())
    taken = step(objective, recipe, BATCH)
    with tempfile.TemporaryDirectory() as folder:
        decoder, decode = of_decoding(Path(folder), options.images, options.rounds)
    passed = forward_seconds(recipe, options.rounds)
    notes = f"`python benchmarks/scale.py`; {conditions('torch', 'spikingjelly', 'pillow', threads=1)}"
    lines = [
        "# What ImageNet needs: SEW-ResNet-34, T = 4",
        *("", f"{notes} Recipe `{RECIPE}`; {weights / 1e6:.1f} million weights.", ""),
        *of_counts(taken, weights),
        *decoder,
        f"Measured: the student's pass over one image takes {passed:.2f} CPU seconds, so that all "
        f"{TEST_IMAGES:,} test images take {passed * TEST_IMAGES / 3600:.0f} core hours (reckoned).",
        "",
        *of_hours(recipe, taken, decode),
        *of_proofs(),
    ]
    print("\n".join(lines))
    if options.markdown is not None:
        options.markdown.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
