"""Every method against the baseline without distillation: same student, data, schedule and seeds.

    python benchmarks/methods.py --data digits-dvs
    python benchmarks/methods.py --data nmnist --root PATH/TO/NMNIST
    python benchmarks/methods.py --data cifar10 --root PATH/TO/cifar-10-batches-py --device cuda

A seed decides the student's first weights, the order of samples and the augmentation, alike under every
method, and the teacher, which all methods of that seed share. So differences are taken seed by seed. Runs lie
in ``--runs``; those that are there are not repeated, and one that was stopped goes on. The table and the
curves are written to ``--results``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import methods_part  # noqa: F401 - registers the data set 'part'
import torch
import yaml
from methods_table import Outcome, write_results

import snn_deploy as sd
from snn_deploy.core.errors import SnnDeployError
from snn_deploy.distill.events import EpochDone, Event, Report
from snn_deploy.distill.interrupt import stop_on_signal
from snn_deploy.distill.teacher import obtain_teacher
from snn_deploy.recipes.recipe import Recipe, parse_recipe
from snn_deploy.recipes.run_folder import Run
from snn_deploy.tasks.samples import load_data

BLOCKS = {"student_tap": "block3.neuron", "teacher_tap": "block4.relu"}
STAGES = {"student_tap": "layer4", "teacher_tap": "layer4"}
TAPS = {
    "digits-dvs": (BLOCKS, "block2.neuron"),
    "nmnist": (BLOCKS, "block2.neuron"),
    "cifar10": (STAGES, "layer2"),
}
"""The last feature maps of both networks, and where the weak classifier stands."""

SHORT = {"batch_size": 32, "lr": 5e-3, "weight_decay": 1e-2, "warmup_epochs": 1}
SGD = {"optimizer": "sgd", "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4, "warmup_epochs": 1}


def settings(data: str, root: Path | None) -> dict[str, Any]:
    """Data, networks and schedule of a recipe."""
    found = {"root": str(root)} if root else {}
    if data == "cifar10":
        augment = {"crop_padding": 4, "flip": True}
        surrogate = {"name": "sigmoid", "alpha": 4.0}
        neuron = {"tau": 2.0, "decay_input": False, "detach_reset": False, "surrogate": surrogate}
        return {
            "timesteps": 4,
            "data": {"name": data, "verify": False, "validation": 5000, "augment": augment, **found},
            "teacher": {"name": "resnet18", "train": {"epochs": 30, **SGD}},
            "student": {"name": "resnet18", "neuron": neuron, "readout": "linear"},
            "train": {"epochs": 30, **SGD},
        }
    of: dict[str, Any] = {"name": data, "augment": {"shift": 1}, **found}
    if data == "nmnist":
        of["downsample"] = 2
    small = [{"channels": 16, "stride": 2}, {"channels": 32, "stride": 2}, {"channels": 32}]
    large = [{"channels": 32}, *({"channels": width, "stride": 2} for width in (64, 128)), {"channels": 128}]
    count = {"train": 250, "more": 450} if data == "nmnist" else {"train": 300, "more": 600}
    return {
        "timesteps": 4,
        "data": {"name": "part", "of": of, **count},
        "teacher": {"name": "cnn", "blocks": large, "train": {"epochs": 30, **SHORT}},
        "student": {"name": "spiking-cnn", "blocks": small, "readout": "linear"},
        "train": {"epochs": 20, **SHORT},
    }


def methods(data: str) -> dict[str, dict[str, Any]]:
    """The methods under their names in the table, with the constants of their sources or our choice."""
    maps, middle = TAPS[data]
    return {
        "none": {"name": "none"},
        "kd": {"name": "kd"},
        "tser": {"name": "tser"},
        "tssd": {"name": "tssd", "weak_tap": middle},
        "samd_nld raw counts": {"name": "samd_nld", "variant": "raw-counts", "samd": 1.0, **maps},
        "samd_nld official-code": {"name": "samd_nld", "variant": "official-code", **maps},
        "samd_nld ours": {"name": "samd_nld", **maps},
        "bkd": {"name": "bkd", **maps},
        "s2w": {"name": "s2w"},
    }


class Bench:
    """The runs of one data set."""

    def __init__(self, given: argparse.Namespace, device: str) -> None:
        self.data, self.root, self.runs = given.data, given.root, given.runs
        self.methods = methods(given.data)
        self.overrides, self.device = given.override, device

    def recipe(self, method: str, seed: int) -> Recipe:
        """The recipe of one student; its teacher is that of the seed."""
        content = {"seed": seed, "method": self.methods[method], **settings(self.data, self.root)}
        foreign: tuple[str, ...] = ("teacher.train.",)
        if content["method"]["name"] in {"none", "tssd", "s2w"}:
            del content["teacher"]
            foreign = ("teacher.",)
        else:
            del content["teacher"]["train"]
            content["teacher"]["checkpoint"] = str(self.folder("teacher", seed) / "teacher.safetensors")
        return self.parse(content, method, seed, foreign)

    def teacher_recipe(self, seed: int) -> Recipe:
        """The recipe that makes a teacher."""
        content = {"seed": seed, "method": {"name": "kd"}, **settings(self.data, self.root)}
        if content["data"]["name"] == "part":
            content["data"]["whose"] = "teacher"
        return self.parse(content, "teacher", seed)

    def parse(self, content: dict[str, Any], method: str, seed: int, foreign: tuple[str, ...] = ()) -> Recipe:
        """Checked, with the overrides but those that begin in a ``foreign`` way."""
        mine = [override for override in self.overrides if not override.startswith(foreign)]
        return parse_recipe(yaml.safe_dump({"name": self.name(method, seed), **content}), mine)

    def name(self, method: str, seed: int) -> str:
        """Of a run."""
        return f"{self.data}-{method}-{seed}".replace(" ", "-").replace("_", "-")

    def folder(self, method: str, seed: int) -> Path:
        """Of a run."""
        found: Path = self.runs / self.name(method, seed)
        return found

    def train_teacher(self, seed: int, report: Report) -> None:
        """Train the teacher of a seed unless it is there."""
        recipe, folder = self.teacher_recipe(seed), self.folder("teacher", seed)
        run = Run.open(folder) if (folder / "recipe.yaml").exists() else Run.create(folder, recipe)
        with stop_on_signal() as stop:
            obtain_teacher(recipe, load_data(recipe), run, torch.device(self.device), stop, report)

    def train(self, method: str, seed: int, report: Report) -> Outcome:
        """Train one student, or read what it became. An epoch's time is the processor's on a CPU, else
        the clock's."""
        clock = time.process_time if self.device == "cpu" else time.monotonic
        times: list[float] = []

        def timed(event: Event) -> None:
            if isinstance(event, EpochDone):
                times.append(clock())
            report(event)

        folder = self.folder(method, seed)
        run = sd.distill_student(
            self.recipe(method, seed), folder, resume=True, device=self.device, report=timed
        )
        spent = folder / "epoch_seconds.json"
        if len(times) > 1:
            spent.write_text(json.dumps([after - before for before, after in itertools.pairwise(times)]))
        records = map(json.loads, run.metrics_file.read_text().splitlines())
        curve = [record["validation_accuracy"] for record in records if record["kind"] == "epoch"]
        return Outcome(run.result(), curve, json.loads(spent.read_text()) if spent.exists() else [])


def progress(place: str) -> Report:
    """Shows epochs in a terminal, on one line."""

    def show(event: Event) -> None:
        if isinstance(event, EpochDone) and sys.stderr.isatty():
            print(f"\r\x1b[K{place}: {event}", end="", file=sys.stderr, flush=True)

    return show


def compare(bench: Bench, chosen: Sequence[str], seeds: int) -> Iterator[tuple[str, Outcome]]:
    """Train everything, one seed after the other."""
    for seed in range(seeds):
        bench.train_teacher(seed, progress(f"teacher, seed {seed}"))
        for number, method in enumerate(chosen, start=1 + seed * len(chosen)):
            place = f"{number}/{seeds * len(chosen)} {method}, seed {seed}"
            outcome = bench.train(method, seed, progress(place))
            start = "\r\x1b[K" if sys.stderr.isatty() else ""
            accuracy = 100 * outcome.result["student"]["test_accuracy"]
            print(f"{start}{place}: {accuracy:.2f} %", file=sys.stderr, flush=True)
            yield method, outcome


def main() -> None:
    """Train what is missing, print and write the table, draw the curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=sorted(TAPS), default="digits-dvs")
    parser.add_argument("--root", type=Path, help="folder of the data, where they are your own download")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
    parser.add_argument("--methods", help="some of the methods, separated by commas; always with 'none'")
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"), help="where the runs lie")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--override", action="append", default=[], help="as of snn-deploy distill")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    known = methods(given.data)
    asked = [name.strip() for name in given.methods.split(",")] if given.methods else list(known)
    if unknown := set(asked) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    chosen = [name for name in known if name == "none" or name in asked]
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    bench = Bench(given, auto if given.device == "auto" else given.device)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in chosen}
    try:
        for name, outcome in compare(bench, chosen, given.seeds):
            outcomes[name].append(outcome)
    except SnnDeployError as error:
        sys.exit(f"\n{error}")
    write_results(given.results, given.data, bench.recipe("none", 0), outcomes, bench.device)


if __name__ == "__main__":
    main()
