"""Accuracy at 8, 6, 4, 3 and 2-bit weights: rounded after training, and trained under the chip's rules.

    python benchmarks/quantisation.py [--only digits,narrow,nmnist] [--seeds 0,1,2] [--work FOLDER]

Students are trained once in real numbers (TSER, or labels only); every number of bits starts from the same
weights. "Rounded" is what ``snn-deploy export --bits N`` writes, "trained" a run with ``target.bits=N``, that
is, with a quarter more epochs; both are run by the fixed-point simulator on the whole test split. Runs are
kept in the work folder and taken up again where they stopped.

N-MNIST is measured in folds: seed k tests on every fifth recording of every digit from the k-th on, of all
in the folder (``Train`` and ``Test``), and trains on the others, so that seeds 0 to 4 test each once.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
import platform
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from snn_deploy.core.files import atomic_dir
from snn_deploy.data.sets.roots import default_root
from snn_deploy.export.base import Calibration
from snn_deploy.export.lava import LavaWriter
from snn_deploy.export.options import LavaOptions
from snn_deploy.export.parity import decisions
from snn_deploy.recipes.run_folder import Run, package_version
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.tasks.distill import distill_student
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.samples import load_samples
from snn_deploy.tasks.source import Source

BITS = (8, 6, 4, 3, 2)
FOLDS = 5


@dataclass(frozen=True)
class Case:
    """A student to measure: recipe and what to change in it, for each seed."""

    title: str
    recipe: str
    overrides: tuple[str, ...] = ()
    folds: bool = False

    def changes(self, seed: int, work: Path) -> list[str]:
        """All changes for ``seed``; the table of its fold is written into ``work``."""
        return [*self.overrides, f"seed={seed}", *(nmnist_fold(seed, work) if self.folds else ())]


CASES = {
    "digits": Case("digits-dvs, quickstart student (32-64-64 channels), TSER", "quickstart"),
    "narrow": Case(
        "digits-dvs, narrow student (6-12-12 channels), labels only",
        "digits-baseline",
        tuple(f"student.blocks.{i}.channels={n}" for i, n in enumerate((6, 12, 12))),
    ),
    "nmnist": Case(
        "N-MNIST, 1,100 recordings in five folds, recipe nmnist-tser (TSER)", "nmnist-tser", folds=True
    ),
}


@dataclass(frozen=True)
class Measured:
    """Accuracies on the test split, and spikes of the student that the exported file does not repeat."""

    real: float
    rounded: dict[int, float]
    trained: dict[int, float]
    differing: int
    compared: int


def measure(case: Case, seed: int, work: Path) -> Measured:
    """Everything about one student and seed."""
    base = case.changes(seed, work)
    real = train(case.recipe, work / "real", base)
    source = open_source(real.path)
    rounded, trained = {}, {}
    differing = compared = 0
    for bits in BITS:
        rounded[bits], _, _ = chip_accuracy(source, work / f"rounded{bits}", bits)
        more = [*base, f"target.bits={bits}", f"target.checkpoint={real.student_file.resolve()}"]
        run = train(case.recipe, work / f"trained{bits}", more)
        trained[bits], flips, count = chip_accuracy(open_source(run.path), work / f"trained{bits}-net", None)
        differing, compared = differing + flips, compared + count
    return Measured(real.result()["student"]["test_accuracy"], rounded, trained, differing, compared)


def nmnist_fold(number: int, work: Path) -> list[str]:
    """Changes to test on fold ``number`` of :data:`FOLDS` and to train on the others."""
    root = default_root("NMNIST").resolve()
    digits = {str(digit): sorted(root.glob(f"T*/{digit}/*.bin")) for digit in range(10)}
    work.mkdir(parents=True, exist_ok=True)
    table = work.resolve() / "recordings.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("path", "label", "split"))
        for digit, paths in digits.items():
            for place, path in enumerate(paths):
                split = "test" if place % FOLDS == number % FOLDS else "train"
                lines.writerow((path.relative_to(root).as_posix(), digit, split))
    return [
        "data.name=event-folder",
        f"data.root={root}",
        f"data.table={table}",
        "data.height=34",
        "data.width=34",
    ]


def train(recipe: str, folder: Path, overrides: list[str]) -> Run:
    """The finished run in ``folder``."""
    return distill_student(recipe, folder, resume=True, overrides=overrides, device="cpu")


def chip_accuracy(source: Source, folder: Path, bits: int | None) -> tuple[float, int, int]:
    """Accuracy of the file written of ``source`` on its whole test split, and how many of the spikes of the
    student (in the chip's arithmetic, where it was trained in it) differ from the file's, of how many."""
    samples = load_samples(source, None, None)
    with atomic_dir(folder) as made:
        LavaWriter(LavaOptions(bits=bits)).write(source.plan.graph, made, Calibration(samples.calibration.x))
    simulator = Loihi(folder / "model.net")
    correct = differing = compared = 0
    for part in samples.test.chunks():
        found = simulator.run(part.x, record=True)
        correct += int((decisions(found.output, part.decode) == part.labels).sum())
        if source.student is not None:
            expected = source.student.run(part.x, record=True).records
            differing += sum(int((spikes != found.records[name]).sum()) for name, spikes in expected.items())
            compared += sum(spikes.numel() for spikes in expected.values())
    return correct / len(samples.test), differing, compared


def rows(found: list[Measured]) -> Iterator[list[str]]:
    """One row per number of bits: means over seeds, in percent."""

    def mean(values: list[float]) -> float:
        return 100 * statistics.mean(values)

    real = mean([m.real for m in found])
    yield ["real numbers", f"{real:.2f}", "", "", "", ""]
    for bits in BITS:
        rounded, trained = mean([m.rounded[bits] for m in found]), mean([m.trained[bits] for m in found])
        lost = real - rounded
        each = ", ".join(f"{100 * m.rounded[bits]:.1f}/{100 * m.trained[bits]:.1f}" for m in found)
        share = f"{100 * (trained - rounded) / lost:.0f} %" if lost >= 0.5 else "-"
        yield [f"{bits} bits", f"{rounded:.2f}", f"{trained:.2f}", f"{trained - real:+.2f}", share, each]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--work", type=Path, default=Path("runs/quantisation"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    packages = ", ".join(f"{name} {package_version(name)}" for name in ("torch", "spikingjelly"))
    print(f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, one thread, {packages}.")
    for name in given.only.split(","):
        case = CASES[name]
        seeds = [int(seed) for seed in given.seeds.split(",")]
        found = [measure(case, seed, given.work / f"{name}-{seed}") for seed in seeds]
        print(f"\n**{case.title}**, seeds {given.seeds}.\n")
        print("| weights | rounded after training, % | trained under the rules, % | trained - real | of the "
              "loss recovered | each seed, rounded/trained |\n|" + " --- |" * 6)  # fmt: skip
        for row in rows(found):
            print("| " + " | ".join(row) + " |")
        differing, compared = sum(m.differing for m in found), sum(m.compared for m in found)
        print(f"\nSpikes of the trained students that the exported file does not repeat: {differing:,} of "
              f"{compared:,}.")  # fmt: skip


if __name__ == "__main__":
    main()
