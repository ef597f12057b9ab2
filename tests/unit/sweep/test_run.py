"""Sweeps with workers that answer at once, and one real trial."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from snn_deploy.core.errors import ConfigError, DataError, InterruptedRunError
from snn_deploy.data.options.sets import DigitsDvsOptions
from snn_deploy.data.sets.synthetic import digits_dvs
from snn_deploy.energy.price import price
from snn_deploy.export.verify import Samples
from snn_deploy.hardware.profile import load_profile
from snn_deploy.recipes.recipe import load_recipe
from snn_deploy.recipes.run_folder import Run
from snn_deploy.sweep import workers
from snn_deploy.sweep.report import short_names
from snn_deploy.sweep.run import Sweep, run_sweep
from snn_deploy.sweep.study import Done
from snn_deploy.sweep.trial import run_trial
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.report import count_source

FAKE = """
import json, os, sys
from pathlib import Path
for line in sys.stdin:
    job = json.loads(line)
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    width = job["recipe"]["student"]["blocks"][0]["channels"]
    if MODE == "kill" and folder.name == "0001" and not (folder / "begun").exists():
        (folder / "begun").touch()
        os.kill(os.getpid(), 9)
    if MODE == "fail" or (MODE == "some" and folder.name == "0002"):
        print(json.dumps({"error": "it diverged | <b>", "interrupted": False}), flush=True)
        continue
    energy = {"low": width * 1e-9, "mid": width * 2e-9, "high": width * 3e-9}
    figures = {"accuracy": 1 - 1 / width, "energy": energy, "unknown": ["hops"], "sops": 1.0}
    print(json.dumps({"figures": figures}), flush=True)
"""


def search(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str, trials: int = 6, **options: object
) -> Sweep:
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", FAKE.replace("MODE", repr(mode))))
    return run_sweep("short-digits-sweep", folder, trials=trials, device="cpu", **options)  # type: ignore[arg-type]


def test_a_sweep_writes_its_front_as_table_and_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    found = search(
        tmp_path, monkeypatch, "some", trials=8, workers=2, report=lambda trial, done: told.append(done)
    )
    assert told == list(range(1, 9))
    assert [trial.number for trial in found.trials if trial.accuracy is None] == [2]
    widths = {trial.values["student.blocks.0.channels"] for trial in found.trials if trial.accuracy}
    assert {trial.values["student.blocks.0.channels"] for trial in found.front} == widths
    text = found.files["md"].read_text()
    front = text[text.index("## Pareto front") : text.index("## All trials")]
    assert sum(line.startswith("| ") for line in front.splitlines()) == 2 + len(found.front)
    assert "8, 1 of them failed; 0 lost with" in text
    assert "it diverged \\| &lt;b&gt;" in text
    assert "lower bound" in text
    page = found.files["html"].read_text()
    assert "<b>" not in page and "it diverged | &lt;b&gt;" in page
    drawing = ElementTree.fromstring(found.files["svg"].read_text())
    circles = [e.get("r") for e in drawing.iter("{http://www.w3.org/2000/svg}circle")]
    assert circles.count("5") == len(found.front)
    assert len(circles) == 7


def test_a_killed_worker_loses_one_trial_which_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search(tmp_path, monkeypatch, "kill", trials=6, workers=2)
    assert len(found.trials) == 6
    assert found.lost == 1
    assert all(trial.accuracy is not None for trial in found.trials)
    assert "1 lost with their process and done again" in found.files["md"].read_text()
    again = next(trial for trial in found.trials if trial.folder == "trials/0001")
    assert again.number > 1


def test_the_same_call_goes_on_and_a_larger_number_extends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search(tmp_path, monkeypatch, "good", trials=3)
    assert search(tmp_path, monkeypatch, "fail", trials=3).trials == first.trials
    more = search(tmp_path, monkeypatch, "good", trials=5, workers=2)
    assert more.trials[:3] == first.trials
    assert len(more.trials) == 5


def test_ctrl_c_stops_a_sweep_that_the_same_call_goes_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(trial: Done, done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="Stopped after 2 of 5 trials"):
        search(tmp_path, monkeypatch, "good", trials=5, report=interrupt)
    found = search(tmp_path, monkeypatch, "good", trials=5)
    assert len(found.trials) == 5


def test_machines_share_the_trials_of_a_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = str(tmp_path / "shared.log")
    search(tmp_path / "a", monkeypatch, "good", trials=3, storage=shared)
    found = search(tmp_path / "b", monkeypatch, "good", trials=5, storage=shared)
    assert len(found.trials) == 5
    assert sorted(p.name for p in (tmp_path / "b" / "trials").iterdir()) == ["0003", "0004"]


def test_what_cannot_work_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="All 2 trials failed; the first: it diverged"):
        search(tmp_path / "a", monkeypatch, "fail", trials=2)
    import fcntl

    (tmp_path / "b").mkdir()
    with (tmp_path / "b" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="Another process works in"):
            search(tmp_path / "b", monkeypatch, "good")
    with pytest.raises(DataError, match="cannot be used"):
        search(tmp_path / "c", monkeypatch, "good", storage="nonsense://")


def test_names_are_cut_to_what_tells_them_apart() -> None:
    paths = [
        "student.blocks.0.channels",
        "student.blocks.1.channels",
        "train.lr",
        "teacher.train.lr",
        "timesteps",
    ]
    assert short_names(paths) == [
        "blocks.0.channels",
        "blocks.1.channels",
        "train.lr",
        "teacher.train.lr",
        "timesteps",
    ]


def test_a_trial_is_judged_on_the_validation_split(tmp_path: Path) -> None:
    recipe = load_recipe(
        "short-digits-sweep", ["train.epochs=1", "timesteps=2", "student.blocks=[{channels: 4}]"]
    )
    found = run_trial(recipe, tmp_path / "run", profile="loihi1-davies", samples=7, device="cpu")
    run = Run.open(tmp_path / "run")
    assert found["accuracy"] == run.result()["student"]["validation_accuracy"]
    split = digits_dvs(DigitsDvsOptions(augment={"shift": 1}), timesteps=2).validation
    chosen = [i * len(split) // 7 for i in range(7)]
    import torch

    samples = Samples(split.batch(torch.tensor(chosen)), None, "mean")
    counts = count_source(open_source(run.path), samples)
    expected = price(counts, load_profile("loihi1-davies")).dynamic
    assert expected is not None and found["energy"] == {
        "low": expected.low,
        "mid": expected.mid,
        "high": expected.high,
    }
