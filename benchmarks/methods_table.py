"""Table and curves of ``methods.py``."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from snn_deploy.recipes.recipe import Recipe
from snn_deploy.report.format import si


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run's ``result.json``, its validation accuracy by epoch, and the seconds of its epochs."""

    result: dict[str, Any]
    curve: Sequence[float]
    seconds: Sequence[float]


def spread(values: Sequence[float], decimals: int = 1, sign: str = "") -> str:
    """Mean and standard deviation (over ``n - 1``)."""
    mean = f"{statistics.mean(values):{sign}.{decimals}f}"
    return f"{mean} ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else mean


def table(outcomes: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """Lines of the Markdown table; differences are taken seed by seed."""
    lines = [
        "| method | test accuracy, % | against none | firing rate, % | SOPs per sample | s per epoch |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    baseline = [100 * done.result["student"]["test_accuracy"] for done in outcomes["none"]]
    for name, done in outcomes.items():
        students = [one.result["student"] for one in done]
        accuracy = [100 * s["test_accuracy"] for s in students]
        difference = [a - b for a, b in zip(accuracy, baseline, strict=True)]
        rate = [100 * s["firing_rate"] for s in students]
        sops = statistics.mean(s["sops_per_sample"] for s in students)
        seconds = [value for one in done for value in one.seconds]
        cells = (
            name,
            spread(accuracy),
            "-" if name == "none" else spread(difference, sign="+"),
            spread(rate),
            si(sops),
            f"{statistics.median(seconds):.2f}" if seconds else "?",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def circumstances(
    data: str, recipe: Recipe, outcomes: Mapping[str, Sequence[Outcome]], device: str
) -> list[str]:
    """What one must know to read the table."""
    described = outcomes["none"][0].result["data"]
    samples, seeds = described["samples"], len(outcomes["none"])
    teachers = {
        one.result["seed"]: 100 * one.result["teacher"]["test_accuracy"]
        for done in outcomes.values()
        for one in done
        if one.result["teacher"]
    }
    machine = f"{os.cpu_count()} cores {platform.machine()}"
    if device.startswith("cuda"):
        machine = torch.cuda.get_device_name()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "spikingjelly"))
    readout = (recipe.student.model_extra or {}).get("readout", "default")
    teacher = f" Teachers: {spread(list(teachers.values()))} % on the same test samples." if teachers else ""
    clock = "processor time" if device == "cpu" else "time"
    return [
        f"{today()}, {data}, {machine}, {packages}; {seeds} {'seeds' if seeds > 1 else 'seed'}.",
        "",
        f"Student `{recipe.student.name}` with a {readout} readout (decisions by the mean over time), "
        f"T = {recipe.timesteps}, {recipe.train.epochs} epochs of {samples['train']} samples; "
        f"{samples['validation']} others choose the epoch, {samples['test']} are tested.{teacher}",
        *described["notes"],
        "",
        "Mean ± standard deviation over the seeds; `against none`: points of accuracy over the baseline of "
        f"the same seed. Firing rate: spikes per neuron and step. Seconds: median {clock} of an epoch, "
        "validation included.",
    ]


def today() -> str:
    """The day, UTC."""
    return str(datetime.datetime.now(datetime.UTC).date())


def write_results(
    folder: Path, data: str, recipe: Recipe, outcomes: Mapping[str, Sequence[Outcome]], device: str
) -> None:
    """Print the table, write it and the curves into ``folder``."""
    name = f"{today()}-methods-{data}"
    lines = [*circumstances(data, recipe, outcomes, device), "", *table(outcomes)]
    print("\n".join(lines))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text("\n".join([*lines, "", f"![Curves]({name}.svg)", ""]))
    draw(folder / f"{name}.svg", data, outcomes)


def draw(path: Path, data: str, outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    """Validation accuracy by epoch, mean over the seeds; test accuracy over synaptic operations."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "methods", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11.5, 4), layout="constrained")
    for number, (name, done) in enumerate(outcomes.items()):
        colour = "black" if name == "none" else f"C{number}"
        curves = [[100 * value for value in one.curve] for one in done]
        mean = [statistics.mean(values) for values in zip(*curves, strict=True)]
        left.plot(range(1, len(mean) + 1), mean, color=colour, label=name, linewidth=1.5)
        students = [one.result["student"] for one in done]
        x = [s["sops_per_sample"] / 1000 for s in students]
        y = [100 * s["test_accuracy"] for s in students]
        right.scatter(x, y, color=colour, s=12, alpha=0.5)
        right.scatter(statistics.mean(x), statistics.mean(y), color=colour, s=60, label=name)
    left.set(xlabel="epoch", ylabel="validation accuracy, %", title=f"{data}: mean over the seeds")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set(
        xlabel="thousand synaptic operations per sample", ylabel="test accuracy, %", title="what it costs"
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right center", fontsize=9, frameon=False)
    figure.savefig(path, metadata={"Date": None})
