"""Table, verdict and curves of ``methods.py``.

Differences ``d_i`` are taken seed by seed; the interval of their mean over ``n`` seeds is Student's::

    mean(d) ± t(0.975, n - 1) s / sqrt(n)        s^2 = Σ (d_i - mean(d))^2 / (n - 1)

Each is a 95 % interval by itself; with m of them about m / 20 miss by chance.
"""

from __future__ import annotations

import datetime
import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import conditions, pyplot
from methods_settings import Section, Setting
from scipy import stats

from snn_deploy.report.format import si


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run's ``result.json``, and its validation accuracy by epoch."""

    result: dict[str, Any]
    curve: Sequence[float]

    @property
    def accuracy(self) -> float:
        """On the test samples, in percent."""
        return 100 * float(self.result["student"]["test_accuracy"])


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and half of its 95 % interval, infinite for one value."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """That of independent ``values``."""
        count = len(values)
        if count < 2:
            return cls(statistics.mean(values), math.inf)
        half = float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(values) / math.sqrt(count)
        return cls(statistics.mean(values), half)

    def __str__(self) -> str:
        return f"{self.mean:+.2f}{', one seed' if math.isinf(self.half) else f' ± {self.half:.2f}'}"


@dataclass(frozen=True, slots=True)
class Table:
    """What came out of the setting ``name``: the options that were chosen, and the runs of each row."""

    name: str
    setting: Setting
    chosen: Mapping[str, Section]
    outcomes: Mapping[str, Sequence[Outcome]]

    @property
    def seeds(self) -> int:
        """How many every row has."""
        return len(self.outcomes[next(iter(self.outcomes))])

    def command(self) -> str:
        """By which it is made again."""
        setting, rows = self.setting, list(self.outcomes)
        asked = f"python benchmarks/methods.py {self.name}"
        if rows != list(setting.rows):
            asked += f" --rows '{','.join(rows)}'"
        return asked if self.seeds == setting.seeds else f"{asked} --seeds {self.seeds}"

    def difference(self, row: str, reference: str) -> Interval:
        """Points of test accuracy of ``row`` over ``reference``."""
        pairs = zip(self.outcomes[row], self.outcomes[reference], strict=True)
        return Interval.of([one.accuracy - other.accuracy for one, other in pairs])

    def lines(self) -> Iterator[str]:
        """Of the Markdown table."""
        against = self.setting.against
        titles = ["method", "test accuracy, %", *(f"against {name}" for name in against)]
        yield f"| {' | '.join([*titles, 'firing rate, %', 'SOPs per sample'])} |"
        yield f"| --- |{' ---: |' * (len(titles) + 1)}"
        for name, done in self.outcomes.items():
            students = [one.result["student"] for one in done]
            accuracy = [one.accuracy for one in done]
            spread = f" ± {statistics.stdev(accuracy):.2f}" if len(accuracy) > 1 else ""
            cells = (
                name,
                f"{statistics.mean(accuracy):.2f}{spread}",
                *("-" if name == other else str(self.difference(name, other)) for other in against),
                f"{statistics.mean(100 * s['firing_rate'] for s in students):.1f}",
                si(statistics.mean(s["sops_per_sample"] for s in students)),
            )
            yield f"| {' | '.join(cells)} |"

    def verdict(self) -> Iterator[str]:
        """Which rows are better, no better and worse than each reference, by more than the interval."""
        for reference in self.setting.against:
            found: dict[str, list[str]] = {"better": [], "not told apart": [], "worse": []}
            for name in self.outcomes:
                if name != reference:
                    found[_judged(self.difference(name, reference))].append(name)
            told = [f"{word}: {', '.join(names)}" for word, names in found.items() if names]
            if told:
                yield f"Against {reference}, by more than the interval: {'; '.join(told)}."

    def constants(self) -> Iterator[str]:
        """What was chosen where there was a choice."""
        for name, options in self.chosen.items():
            choices = self.setting.rows[name].choices
            if len(choices) > 1:
                yield f"{name} {_told(options, choices)}"


def _judged(difference: Interval) -> str:
    if abs(difference.mean) <= difference.half:
        return "not told apart"
    return "better" if difference.mean > 0 else "worse"


def _told(options: Section, choices: Sequence[Section]) -> str:
    """The options in which ``choices`` differ."""
    keys = [
        key for key in {k: None for c in choices for k in c} if len({str(c.get(key)) for c in choices}) > 1
    ]
    return ", ".join(f"`{key}: {options[key]}`" for key in keys if key in options) or "at its defaults"


def circumstances(table: Table, device: str) -> Iterator[str]:
    """What one must know to read the table."""
    setting, recipe = table.setting, table.setting.recipe
    done = [one for some in table.outcomes.values() for one in some]
    described = done[0].result["data"]
    samples = described["samples"]
    yield conditions("torch", "spikingjelly", threads=1)[:-1] + f"; {device}; {table.seeds} seeds."
    yield ""
    yield f"{setting.says}"
    yield (
        f"Student `{recipe['student']['name']}`, T = {recipe['timesteps']}, decisions by the mean over time, "
        f"{recipe['train']['epochs']} epochs of {samples['train']} samples; {samples['test']} are tested, "
        f"once; {samples['validation']} others are for choices."
    )
    teachers = {100 * one.result["teacher"]["test_accuracy"] for one in done if one.result["teacher"]}
    if teachers:
        of = "-".join(f"{value:.2f}" for value in sorted({min(teachers), max(teachers)}))
        yield f"One teacher for all seeds: {of} % on the same test samples."
    yield from described["notes"]
    if told := list(table.constants()):
        yield f"Chosen on validation samples, with other seeds: {'; '.join(told)}."
    yield ""
    yield (
        "Accuracy: mean ± standard deviation over the seeds. Differences: points, taken seed by seed, with "
        "their 95 % interval (Student's t). Firing rate: spikes per neuron and step."
    )


def write_results(folder: Path, table: Table, device: str) -> None:
    """Print the table, write it and the curves into ``folder``."""
    name = f"{datetime.datetime.now(datetime.UTC).date()}-methods-{table.name}"
    lines = [f"# Methods: {table.name}", "", f"`{table.command()}`", "", *circumstances(table, device)]
    lines += ["", *table.lines(), "", *table.verdict()]
    if missing := [row for row in table.setting.rows if row not in table.outcomes]:
        lines.append(f"Not run: {', '.join(missing)}.")
    print("\n".join(lines))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text("\n".join([*lines, "", f"![Curves]({name}.svg)", ""]))
    draw(folder / f"{name}.svg", table)


def draw(path: Path, table: Table) -> None:
    """Validation accuracy by epoch, mean over the seeds; test accuracy over synaptic operations."""
    figure, (left, right) = pyplot("methods").subplots(1, 2, figsize=(11.5, 4), layout="constrained")
    references = dict(zip(table.setting.against, ("o", "s"), strict=False))
    colours = (f"C{number}" for number in itertools.count())
    for name, done in table.outcomes.items():
        marker = references.get(name, "o")
        colour = "black" if name in references else next(colours)
        curves = [[100 * value for value in one.curve] for one in done]
        mean = [statistics.mean(values) for values in zip(*curves, strict=True)]
        dashes = "--" if marker == "s" else "-"
        left.plot(range(1, len(mean) + 1), mean, dashes, color=colour, label=name, linewidth=1.5)
        x = [one.result["student"]["sops_per_sample"] / 1000 for one in done]
        y = [one.accuracy for one in done]
        right.scatter(x, y, color=colour, marker=marker, s=12, alpha=0.5)
        middle = statistics.mean(x), statistics.mean(y)
        right.scatter(*middle, color=colour, marker=marker, s=60, label=name)
    left.set(xlabel="epoch", ylabel="validation accuracy, %", title=f"{table.name}: mean over the seeds")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set(
        xlabel="thousand synaptic operations per sample", ylabel="test accuracy, %", title="what it costs"
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right center", fontsize=9, frameon=False)
    figure.savefig(path, metadata={"Date": None})
