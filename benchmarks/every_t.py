"""Accuracy against synaptic operations: one student for every T against students for one T each.

    python benchmarks/every_t.py [--runs FOLDER] [--seeds 3] [--results FOLDER]

Recordings of ``digits-dvs`` are cut into eighths; a student for T' steps is trained and tested on the first
T' of them. The student for every T is trained once, with ``every_t``, and stopped after T' steps, or when it
is sure. The student for T = 8 is stopped early too: the difference is what ``every_t`` adds. Network,
schedule and seeds are the same, the last weights count, and the test samples are read here only. The
threshold ``auto`` is chosen on validation samples, seed by seed. Synaptic operations are those of each sample
up to its end; a figure is the mean of the seeds with their standard deviation.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench import Table, conditions, pyplot

import snn_deploy as sd
from snn_deploy.core.early_exit import exit_steps
from snn_deploy.recipes.recipe import Recipe, parse_recipe
from snn_deploy.tasks.early_exit import chosen_exit
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.report import count_and_decide
from snn_deploy.tasks.samples import load_samples

STEPS = (1, 2, 4, 8)
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
FRAME_US = 37_500
"""An eighth of a recording of 300 ms."""


class Point(NamedTuple):
    """One way of one seed: accuracy in percent, steps and synaptic operations per sample."""

    accuracy: float
    steps: float
    sops: float


Stop = Callable[["Student"], np.ndarray[Any, Any]]


class Student:
    """What a trained student did on the test samples after every step."""

    def __init__(self, run: Path) -> None:
        self.source = open_source(run)
        samples = load_samples(self.source, None, None).test
        counts, decided = count_and_decide(self.source, samples)
        assert samples.labels is not None
        self.confidences = decided.confidences
        self.correct = (decided.classes == samples.labels).numpy()
        self.spent = counts.sops().cumsum(0)

    def at(self, ends: np.ndarray[Any, Any]) -> Point:
        """Stopped with the steps ``ends [N]``, counted from 0."""
        samples = np.arange(len(ends))
        correct, spent = self.correct[ends, samples].mean(), self.spent[ends, samples].mean()
        return Point(100 * float(correct), float(ends.mean()) + 1, float(spent))

    def after(self, steps: int) -> Point:
        """Stopped after so many steps."""
        return self.at(np.full(self.correct.shape[1], steps - 1))

    def sure(self, threshold: float) -> Point:
        """Stopped at this confidence."""
        return self.at(exit_steps(self.confidences, threshold))

    def chosen(self) -> float:
        """The threshold that validation samples choose."""
        return chosen_exit(self.source, "auto", None, len(self.correct)).at


def recipe(steps: int, seed: int, *, every_t: bool) -> Recipe:
    """A student for ``steps``, or for every number of steps up to them."""
    blocks = [{"channels": 16, "stride": 2}, {"channels": 32, "stride": 2}, {"channels": 32}]
    content: dict[str, Any] = {
        "name": f"t{steps}{'-every' if every_t else ''}-{seed}",
        "timesteps": steps,
        "seed": seed,
        "data": {"name": "digits-dvs", "window": FRAME_US, "augment": {"shift": 1}},
        "student": {"name": "spiking-cnn", "blocks": blocks, "readout": "linear"},
        "method": {"name": "none", "every_t": every_t},
        "train": {"epochs": 25, "lr": 5.0e-3, "weight_decay": 1.0e-2, "warmup_epochs": 1, "keep": "last"},
    }
    return parse_recipe(content)


def trained(folder: Path, steps: int, seed: int, *, every_t: bool = False) -> Student:
    """A student, trained if it is not there."""
    made = recipe(steps, seed, every_t=every_t)
    return Student(sd.distill_student(made, folder / made.name, resume=True).path)


def points(folder: Path, seed: int) -> dict[tuple[str, str], Point]:
    """All points of one seed, by student and way of stopping."""
    found: dict[tuple[str, str], Point] = {}
    for steps in STEPS:
        found["one T each", f"T = {steps}"] = trained(folder, steps, seed).after(steps)
    for name, student in (
        ("every T", trained(folder, STEPS[-1], seed, every_t=True)),
        ("T = 8, stopped early", trained(folder, STEPS[-1], seed)),
    ):
        for steps in STEPS:
            found[name, f"T = {steps}"] = student.after(steps)
        for threshold in THRESHOLDS:
            found[f"{name}, when sure", f"{threshold:g}"] = student.sure(threshold)
        found[f"{name}, when sure", "auto"] = student.sure(student.chosen())
    return found


def deviation(values: list[float]) -> float:
    """Standard deviation; 0 of one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def spread(values: list[float], form: str) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):{form}} ± {deviation(values):{form}}"


def draw(file: Path, seeds: list[dict[tuple[str, str], Point]]) -> None:
    """Mean accuracy over mean synaptic operations."""
    figure, axes = pyplot("every-t").subplots(figsize=(7, 4.2))
    styles = {
        "one T each": ("s", "C0", "none"),
        "every T": ("o", "C1", "-"),
        "every T, when sure": (".", "C1", "--"),
        "T = 8, stopped early": ("o", "C7", "-"),
        "T = 8, stopped early, when sure": (".", "C7", "--"),
    }
    for name, (marker, colour, line) in styles.items():
        keys = [key for key in seeds[0] if key[0] == name and key[1] != "auto"]
        x = [statistics.mean(found[key].sops for found in seeds) / 1000 for key in keys]
        y = [statistics.mean(found[key].accuracy for found in seeds) for key in keys]
        sure = "sure" in name
        error = None if sure else [deviation([found[key].accuracy for found in seeds]) for key in keys]
        axes.errorbar(x, y, error, marker=marker, color=colour, linestyle=line, label=name, capsize=2)
    axes.set(xlabel="thousand synaptic operations per sample", ylabel="test accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/every-t"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    seeds = [points(given.runs, seed) for seed in range(given.seeds)]
    columns = ("student", "stopped", "accuracy, %", "steps", "thousand SOPs")
    table = Table("One student for every T", conditions("torch", threads=1), *columns)
    for key in seeds[0]:
        found = [seed[key] for seed in seeds]
        table.add(
            *key,
            spread([point.accuracy for point in found], ".1f"),
            f"{statistics.mean(point.steps for point in found):.2f}",
            spread([point.sops / 1000 for point in found], ".1f"),
        )
    if given.results is not None:
        name = f"{datetime.now(UTC).date()}-every-t"
        table.keep(given.results / f"{name}.md")
        draw(given.results / f"{name}.svg", seeds)


if __name__ == "__main__":
    main()
