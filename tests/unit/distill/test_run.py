from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe

from snn_deploy.core.errors import ConfigError, DataError, DivergedError, InterruptedRunError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.registry import DATASETS, METHODS
from snn_deploy.data.types import DataSet
from snn_deploy.distill.events import Event
from snn_deploy.distill.run import distill
from snn_deploy.distill.teacher import teacher_identity
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.models.load import build_teacher, load_student, save_weights
from snn_deploy.processes.world import choose_device
from snn_deploy.recipes.recipe import Recipe
from snn_deploy.recipes.run_folder import Run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))


def go(folder: Path, recipe: Recipe, data: DataSet | None = None, **options: object) -> Run:
    run = Run.open(folder) if (folder / "recipe.yaml").exists() else Run.create(folder, recipe)
    distill(recipe, data or toy_data(), run, device="cpu", **options)  # type: ignore[arg-type]
    return run


def test_a_run_leaves_everything_that_the_next_commands_need(tmp_path: Path) -> None:
    recipe, data = toy_recipe(), toy_data()
    run = go(tmp_path / "run", recipe)
    assert run.status() == "done"
    result = run.result()
    assert result["data"]["shape"] == list(SHAPE)
    assert result["data"]["samples"] == {"train": 40, "validation": 12, "test": 12}
    assert result["student"]["sha256"] == sha256_file(run.student_file)
    assert result["teacher"]["sha256"] == sha256_file(run.teacher_file)
    student = load_student(run.student_file, recipe, SHAPE, CLASSES)
    trace = StudentExecutable(student).run(data.test.batch(torch.arange(12)), record=True)
    correct = int((trace.output.mean(0).argmax(1) == data.test.labels).sum())
    assert result["student"]["test_correct"] == correct
    assert result["student"]["test_accuracy"] == correct / 12
    assert result["student"]["firing_rates"] == {
        name: float(spikes.mean(dtype=torch.float64)) for name, spikes in trace.records.items()
    }
    assert result["student"]["parameters"] == sum(p.numel() for p in student.parameters())
    environment = json.loads(run.environment_file.read_text())
    assert (environment["data_digest"], environment["device"]) == (data.digest, "cpu")
    assert environment["neurons"] == "written out in torch"
    assert "student epoch 3/3" in (run.path / "log.txt").read_text()
    assert not list(run.path.rglob(".*"))


def test_the_test_split_is_read_once_and_only_with_the_best_weights(tmp_path: Path) -> None:
    class Counted:
        def __init__(self, split: object) -> None:
            self.split, self.seen = split, []

        def __getattr__(self, name: str) -> object:
            return getattr(self.split, name)

        def __len__(self) -> int:
            return len(self.split)  # type: ignore[arg-type]

        def batch(self, indices: torch.Tensor) -> torch.Tensor:
            assert (tmp_path / "run" / "student.safetensors").exists()
            self.seen += indices.tolist()
            return self.split.batch(indices)  # type: ignore[attr-defined]

    counted = Counted(toy_data().test)
    go(tmp_path / "run", toy_recipe("teacher=null", "method.name=none"), replace(toy_data(), test=counted))
    assert sorted(counted.seen) == list(range(12))


def test_students_of_one_recipe_share_a_teacher(tmp_path: Path) -> None:
    first = go(tmp_path / "a", toy_recipe())
    other = go(tmp_path / "b", toy_recipe("method.name=kd"))
    assert first.result()["teacher"]["origin"] == "trained"
    assert other.result()["teacher"]["origin"] == "cached"
    assert first.teacher_file.read_bytes() == other.teacher_file.read_bytes()
    assert not (other.path / "teacher").exists()


def test_a_cached_teacher_gives_the_very_same_student(tmp_path: Path) -> None:
    first, again = go(tmp_path / "a", toy_recipe()), go(tmp_path / "b", toy_recipe())
    assert again.result()["teacher"]["origin"] == "cached"
    assert first.metrics_file.read_bytes() == again.metrics_file.read_bytes()
    assert first.student_file.read_bytes() == again.student_file.read_bytes()


def test_whatever_makes_a_teacher_is_in_its_identity(tmp_path: Path) -> None:
    data = toy_data()
    base = teacher_identity(toy_recipe(), data)
    for change in ("teacher.dropout=0.1", "teacher.train.lr=0.02", "seed=1", "timesteps=4"):
        assert teacher_identity(toy_recipe(change), data) != base, change
    assert teacher_identity(toy_recipe(), toy_data(seed=1)) != base
    for same in ("method.name=kd", "train.epochs=9", "student.readout=linear", "name=other"):
        assert teacher_identity(toy_recipe(same), data) == base, same


def test_a_damaged_cached_teacher_is_trained_again(tmp_path: Path) -> None:
    recipe = toy_recipe()
    first = go(tmp_path / "a", recipe)
    kept = tmp_path / "cache" / "teachers" / f"{teacher_identity(recipe, toy_data())}.safetensors"
    kept.write_bytes(kept.read_bytes()[:100])
    again = go(tmp_path / "b", recipe)
    assert again.result()["teacher"]["origin"] == "trained"
    assert kept.read_bytes() == first.teacher_file.read_bytes()


def test_a_cache_that_cannot_be_written_costs_only_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "file"))
    events: list[Event] = []
    run = go(tmp_path / "run", toy_recipe(), report=events.append)
    assert run.result()["teacher"]["origin"] == "trained"
    assert [str(e) for e in events if str(e).startswith("the teacher is not cached")]


def test_a_teacher_from_a_checkpoint_is_used_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(11)
    teacher = build_teacher(toy_recipe(), SHAPE, CLASSES)
    path = tmp_path / "mine.safetensors"
    save_weights(teacher.state_dict(), path)
    recipe = toy_recipe(f"teacher.checkpoint={path}", "teacher.train=null")
    run = go(tmp_path / "run", recipe)
    assert run.result()["teacher"]["origin"] == "checkpoint"
    assert run.teacher_file.read_bytes() == path.read_bytes()
    path.unlink()
    run.checkpoint_file.unlink()
    again = go(tmp_path / "run", recipe, resume=True)
    assert again.result()["teacher"]["origin"] == "checkpoint"


def test_teachers_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not say where its teacher comes from"):
        go(tmp_path / "a", toy_recipe("teacher.train=null"))
    with pytest.raises(DataError, match="no weights file"):
        go(tmp_path / "b", toy_recipe("teacher.checkpoint=/nowhere/t.safetensors"))
    assert Run.open(tmp_path / "b").status() == "failed"


def test_a_run_without_a_teacher(tmp_path: Path) -> None:
    run = go(tmp_path / "run", toy_recipe("teacher=null", "method.name=none"))
    assert run.result()["teacher"] is None
    assert not run.teacher_file.exists()
    with pytest.raises(ConfigError, match="'kd' needs a teacher"):
        go(tmp_path / "kd", toy_recipe("teacher=null", "method.name=kd"))


def test_the_student_file_does_not_depend_on_the_method_that_trains_it(tmp_path: Path) -> None:
    names = []
    for method in ("none", "kd", "tser"):
        run = go(tmp_path / method, toy_recipe(f"method.name={method}", "train.epochs=1"))
        student = load_student(run.student_file, toy_recipe(), SHAPE, CLASSES)
        names.append({name: tuple(w.shape) for name, w in student.state_dict().items()})
    assert names[0] == names[1] == names[2]


def test_divergence_marks_the_run_failed(tmp_path: Path) -> None:
    recipe = toy_recipe("train.lr=1e38", "train.optimizer=sgd", "train.epochs=50", "student.readout=linear")
    with pytest.raises(DivergedError, match="loss of the student is not finite"):
        go(tmp_path / "run", recipe)
    assert Run.open(tmp_path / "run").status() == "failed"
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_an_interrupted_run_says_so_and_resumes_identically(tmp_path: Path, phase: str) -> None:
    recipe = toy_recipe("train.epochs=8", "teacher.train.epochs=8")
    whole = go(tmp_path / "whole", recipe)
    for kept in (tmp_path / "cache" / "teachers").iterdir():
        kept.unlink()

    def interrupt(event: Event) -> None:
        if str(event).startswith(f"{phase} epoch 5/"):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError):
        go(tmp_path / "run", recipe, report=interrupt)
    assert Run.open(tmp_path / "run").status() == "interrupted"
    with pytest.raises(ConfigError, match="already holds a run"):
        go(tmp_path / "run", recipe)
    resumed = go(tmp_path / "run", recipe, resume=True)
    assert resumed.status() == "done"
    for name in ("metrics.jsonl", "teacher/metrics.jsonl", "student.safetensors", "teacher.safetensors"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_resuming_on_other_data_is_refused(tmp_path: Path) -> None:
    recipe = toy_recipe("teacher=null", "method.name=none")
    go(tmp_path / "run", recipe)
    with pytest.raises(ConfigError, match="other data or another recipe"):
        go(tmp_path / "run", recipe, toy_data(seed=1), resume=True)
    assert Run.open(tmp_path / "run").status() == "done"


def test_other_binnings_of_the_training_data_come_from_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def rebinned(options: object, *, timesteps: int, cache: object) -> DataSet:
        asked.append(timesteps)
        return toy_data(timesteps)

    entry, method = DATASETS.get("digits-dvs"), METHODS.get("none")

    def longer(options: object, setting: object) -> object:
        made = method.factory(options, setting)
        made.passes = (3, 6)
        return made

    monkeypatch.setitem(DATASETS._entries, "digits-dvs", replace(entry, factory=rebinned))
    monkeypatch.setitem(METHODS._entries, "none", replace(method, factory=longer))
    recipe = toy_recipe("teacher=null", "method.name=none", "train.epochs=1")
    go(tmp_path / "run", recipe)
    assert asked == [6]
    monkeypatch.setitem(
        DATASETS._entries,
        "digits-dvs",
        replace(entry, factory=lambda *_, **__: toy_data(6, sizes=(12, 12, 40))),
    )
    with pytest.raises(DataError, match="other training samples with 6 timesteps"):
        go(tmp_path / "other", recipe)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_run_on_cuda_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    recipe, data = toy_recipe("train.epochs=6"), toy_data()

    def interrupt(event: Event) -> None:
        if str(event).startswith("student epoch 3/"):
            signal.raise_signal(signal.SIGTERM)

    run = Run.create(tmp_path / "run", recipe)
    with pytest.raises(InterruptedRunError):
        distill(recipe, data, run, device="cuda", report=interrupt)
    result = distill(recipe, data, run, device="cuda", resume=True)
    steps = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    assert [s["step"] for s in steps if s["kind"] == "step"] == list(range(1, 19))
    student = load_student(run.student_file, recipe, SHAPE, CLASSES)
    output = StudentExecutable(student).run(data.test.batch(torch.arange(12))).output
    assert result["student"]["test_correct"] == int((output.mean(0).argmax(1) == data.test.labels).sum())


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cpu", "cuda"}
    with pytest.raises(ConfigError, match="Unknown device 'gpu'"):
        choose_device("gpu")
    with pytest.raises(ConfigError, match="no CUDA device 'cuda:99'"):
        choose_device("cuda:99")


SUPERVISOR = """
import os, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from support.toy import toy_data, toy_recipe
from snn_deploy.distill.run import distill
from snn_deploy.recipes.run_folder import Run

folder, marks, settings = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
recipe, data = toy_recipe(*settings), toy_data(sizes=(400, 12, 12))

def train():
    run = Run.open(folder) if (folder / "recipe.yaml").exists() else Run.create(folder, recipe)
    distill(recipe, data, run, device="cpu", resume=True)

def records():
    files = (folder / "teacher" / "metrics.jsonl", folder / "metrics.jsonl")
    return sum(file.read_bytes().count(b"\\n") for file in files if file.exists())

for mark in map(int, marks.split(",")):
    child = os.fork()
    if child == 0:
        train()
        os._exit(0)
    deadline = time.monotonic() + 120
    while records() < mark and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
train()
"""


@pytest.mark.slow
def test_three_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """The operating system kills the process, while it trains the teacher or the student."""
    settings = ("train.epochs=12", "teacher.train.epochs=12")
    settings += ("train.checkpoint_seconds=0.05", "teacher.train.checkpoint_seconds=0.05")
    folder = tmp_path / "killed"
    records = 2 * 12 * (400 // 16 + 1)
    marks = sorted(random.Random(0).sample(range(10, records - 60), 3))
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, str(folder), ",".join(map(str, marks)), *settings],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["9", "9", "9"]
    (tmp_path / "cache" / "teachers").rename(tmp_path / "unused")
    whole = go(tmp_path / "whole", toy_recipe(*settings), toy_data(sizes=(400, 12, 12)))
    for name in ("metrics.jsonl", "teacher/metrics.jsonl", "student.safetensors", "teacher.safetensors"):
        assert (folder / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert Run.open(folder).status() == "done"
    assert not list(folder.glob(".*"))
