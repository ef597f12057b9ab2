"""Every method against the baseline without distillation: same student, data, schedule and seeds.

    python benchmarks/methods.py digits
    SNN_DEPLOY_DATA=PATH python benchmarks/methods.py few-labels

Settings are in ``methods_settings.py``. A seed decides the student's first weights, the order of samples and
the augmentation, and where samples are drawn also which, alike under every method; one teacher serves all. So
differences are taken seed by seed. Constants are chosen on validation samples, by trials with other seeds;
each run of the table reads the test samples once, at its end. Data are looked for as by every command. Runs
lie in ``--runs``; those that are there are not repeated, and one that was stopped goes on. Table and curves
are written to ``--results``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import methods_pairs  # noqa: F401 - registers what is paired
import methods_part  # noqa: F401 - registers the data set 'part'
import numpy as np
import torch
from methods_settings import SETTINGS, Section, Setting
from methods_table import Outcome, Table, write_results
from torch import nn

import snn_deploy as sd
from snn_deploy.core.errors import SnnDeployError
from snn_deploy.data.types import DataSet
from snn_deploy.distill.events import EpochDone, Event, Report
from snn_deploy.distill.interrupt import stop_on_signal
from snn_deploy.distill.teacher import obtain_teacher
from snn_deploy.models.load import build_teacher, load_weights
from snn_deploy.recipes.recipe import Recipe, parse_recipe
from snn_deploy.recipes.run_folder import Run
from snn_deploy.tasks.samples import load_data

TRIAL_SEED = 1000
"""First of the seeds of trials."""
WITHOUT_TEACHER = frozenset({"none", "tssd", "s2w"})


class Bench:
    """The runs of a setting, in the folder ``runs``."""

    def __init__(self, name: str, setting: Setting, runs: Path, device: str) -> None:
        self.name, self.setting, self.device = name, setting, device
        self.runs = runs / name

    @property
    def teacher_file(self) -> Path:
        """The teacher's weights."""
        return self.runs / "teacher" / "teacher.safetensors"

    def recipe(self, method: Section, seed: int, use: str = "student", *, trial: bool = False) -> Recipe:
        """The recipe of one student."""
        content = {"seed": seed, "method": dict(method), **self.setting.recipe}
        data = content["data"] = dict(content["data"])
        if data["name"] == "part":
            data.update(use=use, trial=trial, draw=seed if self.setting.draws else 0)
            if use == "student" and data.get("unlabelled"):
                data["guesses"] = str(self.guesses(seed))
        if method["name"] not in WITHOUT_TEACHER:
            network = {key: value for key, value in self.setting.teacher.items() if key != "train"}
            content["teacher"] = {**network, "checkpoint": str(self.teacher_file)}
        return self._parsed(content)

    def train_teacher(self, report: Report) -> None:
        """Train the teacher unless it is there."""
        content = {"seed": 0, "method": {"name": "kd"}, **self.setting.recipe}
        recipe = self._parsed({**content, "data": self.setting.taught_on, "teacher": self.setting.teacher})
        folder = self.teacher_file.parent
        run = Run.open(folder) if (folder / "recipe.yaml").exists() else Run.create(folder, recipe)
        with stop_on_signal() as stop:
            obtain_teacher(recipe, load_data(recipe), run, torch.device(self.device), stop, report)

    def teacher(self, recipe: Recipe, data: DataSet) -> nn.Module:
        """The trained teacher, in eval mode."""
        teacher = build_teacher(recipe, data.shape, len(data.classes)).eval()
        load_weights(teacher, self.teacher_file)
        return teacher

    def guesses(self, seed: int) -> Path:
        """The file of the classes that the teacher sees in the unlabelled samples of ``seed``."""
        path: Path = self.runs / f"guesses-{seed}.npy"
        if not path.exists():
            recipe = self.recipe({"name": "kd"}, seed, "unlabelled")
            data = load_data(recipe)
            teacher = self.teacher(recipe, data)
            with torch.inference_mode():
                parts = torch.arange(len(data.train)).split(256)
                found = [teacher(data.train.batch(part).mean(0)).argmax(1) for part in parts]
            np.save(path, torch.cat(found).numpy())
        return path

    def train(self, recipe: Recipe, folder: str, report: Report) -> Outcome:
        """Train one student in ``folder``, or read what it became."""
        run = sd.distill_student(recipe, self.runs / folder, resume=True, device=self.device, report=report)
        records = map(json.loads, run.metrics_file.read_text().splitlines())
        curve = [record["validation_accuracy"] for record in records if record["kind"] == "epoch"]
        return Outcome(run.result(), curve)

    def _parsed(self, content: Mapping[str, Any]) -> Recipe:
        return parse_recipe({"name": f"methods-{self.name}", **content})


def progress(place: str) -> Report:
    """Shows epochs in a terminal, on one line."""

    def show(event: Event) -> None:
        if isinstance(event, EpochDone) and sys.stderr.isatty():
            print(f"\r\x1b[K{place}: {event}", end="", file=sys.stderr, flush=True)

    return show


def tell(line: str) -> None:
    """A line beside the table."""
    print(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


def choose(bench: Bench, rows: Sequence[str]) -> dict[str, Section]:
    """The options of each row: those with the highest mean validation accuracy, of equals the first."""
    chosen: dict[str, Section] = {}
    for name in rows:
        row = bench.setting.rows[name]
        scores = [0.0] * len(row.choices)
        for number, method in enumerate(row.choices if len(row.choices) > 1 else ()):
            for seed in range(TRIAL_SEED, TRIAL_SEED + bench.setting.trials):
                folder = f"trial-{name.replace(' ', '-')}-{number}-{seed}"
                recipe = bench.recipe(method, seed, row.use, trial=True)
                student = bench.train(recipe, folder, progress(folder)).result["student"]
                scores[number] += student["validation_accuracy"] / bench.setting.trials
            tell(f"trial {name}, {dict(method)}: validation {100 * scores[number]:.2f} %")
        chosen[name] = row.choices[scores.index(max(scores))]
    return chosen


def compare(bench: Bench, chosen: Mapping[str, Section], seeds: int) -> Iterator[tuple[str, Outcome]]:
    """Train everything, one seed after the other."""
    for seed in range(seeds):
        for number, (name, method) in enumerate(chosen.items(), start=1 + seed * len(chosen)):
            place = f"{number}/{seeds * len(chosen)} {name}, seed {seed}"
            recipe = bench.recipe(method, seed, bench.setting.rows[name].use)
            outcome = bench.train(recipe, f"{name.replace(' ', '-')}-{seed}", progress(place))
            tell(f"{place}: {100 * outcome.result['student']['test_accuracy']:.2f} %")
            yield name, outcome


def main() -> None:
    """Train what is missing, print and write the table, draw the curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("setting", choices=sorted(SETTINGS))
    parser.add_argument("--seeds", type=int, help="how many, instead of the setting's number")
    parser.add_argument("--rows", help="some rows, separated by commas; always with those compared against")
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"), help="where the runs lie")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    setting = SETTINGS[given.setting]
    asked = [name.strip() for name in given.rows.split(",")] if given.rows else list(setting.rows)
    if unknown := set(asked) - set(setting.rows):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(setting.rows)}")
    rows = [name for name in setting.rows if name in {*asked, *setting.against}]
    bench = Bench(given.setting, setting, given.runs, given.device)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in rows}
    try:
        bench.train_teacher(progress("teacher"))
        chosen = choose(bench, rows)
        for name, outcome in compare(bench, chosen, given.seeds or setting.seeds):
            outcomes[name].append(outcome)
    except SnnDeployError as error:
        sys.exit(f"\n{error}")
    write_results(given.results, Table(given.setting, setting, chosen, outcomes), given.device)


if __name__ == "__main__":
    main()
