"""The stage under a chip's rules: what it trains, how it resumes, and what it refuses."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.methods import TOY_OPTIONS
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe

from snn_deploy.core.errors import ConfigError, DataError, InterruptedRunError, UnsupportedError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.registry import DATASETS, METHODS
from snn_deploy.data.types import DataSet
from snn_deploy.distill.events import Event
from snn_deploy.distill.run import distill
from snn_deploy.models.chip_modules import ChipNeuron, ChipSynapses
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.models.load import load_student, load_weights, save_weights
from snn_deploy.recipes.recipe import Recipe
from snn_deploy.recipes.run_folder import Run
from snn_deploy.tasks.distill import describe

TARGET = ("target.bits=4", "target.epochs=3")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))


def go(folder: Path, recipe: Recipe, data: DataSet | None = None, **options: object) -> Run:
    run = Run.open(folder) if (folder / "recipe.yaml").exists() else Run.create(folder, recipe)
    distill(recipe, data or toy_data(), run, device="cpu", **options)  # type: ignore[arg-type]
    return run


def records(file: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of a metrics file: of every ``step`` or every ``epoch``."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_the_student_that_is_saved_is_the_one_that_was_tested(tmp_path: Path) -> None:
    recipe, data = toy_recipe(*TARGET), toy_data()
    run = go(tmp_path / "run", recipe)
    result = run.result()
    student = load_student(run.student_file, recipe, SHAPE, CLASSES)
    trace = StudentExecutable(student).run(data.test.batch(torch.arange(12)), record=True)
    correct = int((trace.output.mean(0).argmax(1) == data.test.labels).sum())
    assert result["student"]["test_correct"] == correct
    assert result["student"]["firing_rates"] == {
        name: float(spikes.mean(dtype=torch.float64)) for name, spikes in trace.records.items()
    }
    assert (result["student"]["epochs"], result["student"]["steps"]) == (3, 9)
    assert result["student"]["sha256"] == sha256_file(run.student_file)
    synapses = [module for module in student.modules() if isinstance(module, ChipSynapses)]
    assert len(synapses) == 2 and sum(isinstance(m, ChipNeuron) for m in student.modules()) == 2
    for module in synapses:
        weight, bias = module.integers()
        assert torch.equal(weight, 32 * (weight / 32).round()) and weight.abs().max() <= 256
        assert bias is None or torch.equal(bias, bias.round())


def test_what_comes_before_is_the_very_run_without_a_target(tmp_path: Path) -> None:
    plain, targeted = go(tmp_path / "plain", toy_recipe()), go(tmp_path / "target", toy_recipe(*TARGET))
    assert targeted.metrics_file.read_bytes() == plain.metrics_file.read_bytes()
    assert targeted.real_student_file.read_bytes() == plain.student_file.read_bytes()
    before, now = plain.result()["student"], targeted.result()["real_student"]
    assert now.pop("rounded_validation_accuracy") <= 1
    assert {**now, "seconds": 0} == {**before, "seconds": 0}
    assert plain.result()["real_student"] is None
    assert len(records(targeted.path / "target" / "metrics.jsonl", "step")) == 9


def test_the_stage_learns(tmp_path: Path) -> None:
    recipe = toy_recipe("method.name=none", "target={bits: 3, epochs: 12, lr: 0.01}", "train.epochs=1")
    run = go(tmp_path / "run", recipe)
    losses = [line["loss"] for line in records(run.path / "target" / "metrics.jsonl", "epoch")]
    assert losses[-1] < 0.9 * losses[0]
    student = load_student(run.student_file, run.recipe(), SHAPE, CLASSES)
    fresh = load_student(run.real_student_file, toy_recipe(), SHAPE, CLASSES)
    assert (student.block1.conv.weight - fresh.block1.conv.weight).abs().max() > 1e-3


def test_a_checkpoint_of_a_real_student_saves_its_training(tmp_path: Path) -> None:
    whole = go(tmp_path / "whole", toy_recipe(*TARGET))
    start = tmp_path / "mine.safetensors"
    start.write_bytes(whole.real_student_file.read_bytes())
    recipe = toy_recipe(*TARGET, f"target.checkpoint={start}", "method.name=none", "teacher=null")
    run = go(tmp_path / "run", recipe)
    assert not run.metrics_file.exists() and (run.path / "target" / "metrics.jsonl").exists()
    real = run.result()["real_student"]
    assert (real["epochs"], real["steps"], real["sha256"]) == (0, 0, sha256_file(start))
    assert real["test_correct"] == whole.result()["real_student"]["test_correct"]
    start.unlink()  # the run has a copy of its own
    (run.path / "target" / "checkpoint.pt").unlink()
    assert go(run.path, recipe, resume=True).result()["student"] == {
        **run.result()["student"],
        "seconds": run.result()["student"]["seconds"],
    }
    with pytest.raises(DataError, match="no weights file"):
        go(tmp_path / "none", toy_recipe(*TARGET, "target.checkpoint=/nowhere/s.safetensors"))
    other = toy_recipe(*TARGET, f"target.checkpoint={whole.teacher_file}")
    with pytest.raises(DataError, match="do not fit the network"):
        go(tmp_path / "other", other)


@pytest.mark.parametrize("phase", ["student epoch 5/", "student for loihi2 epoch 3/"])
def test_an_interrupted_stage_resumes_identically(tmp_path: Path, phase: str) -> None:
    recipe = toy_recipe("train.epochs=6", "target.bits=4", "target.epochs=5", "student.neuron.kind=plif")
    whole = go(tmp_path / "whole", recipe)

    def interrupt(event: Event) -> None:
        if str(event).startswith(phase):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError):
        go(tmp_path / "run", recipe, report=interrupt)
    resumed = go(tmp_path / "run", recipe, resume=True)
    for name in ("metrics.jsonl", "target/metrics.jsonl", "real-student.safetensors", "student.safetensors"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name


@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("readout", ["spiking", "linear"])
def test_every_method_trains_under_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, readout: str
) -> None:
    entry = DATASETS.get("digits-dvs")
    binned = replace(entry, factory=lambda *_, timesteps, **__: toy_data(timesteps))
    monkeypatch.setitem(DATASETS._entries, "digits-dvs", binned)
    options = [f"method.{key}={value}" for key, value in TOY_OPTIONS.get(method, {}).items()]
    recipe = toy_recipe(
        f"method={{name: {method}}}", *options, f"student.readout={readout}", "train.epochs=1",
        "teacher.train.epochs=1", "target.bits=4", "target.epochs=1",
    )  # fmt: skip
    run = go(tmp_path / "run", recipe, replace(toy_data(), steady=True))
    before, under = (
        records(file, "step") for file in (run.metrics_file, run.path / "target" / "metrics.jsonl")
    )
    assert len(before) == len(under) == 3
    assert before[0]["terms"].keys() == under[0]["terms"].keys()


def test_a_student_that_the_chip_cannot_run_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    recipe = toy_recipe(*TARGET, "student.neuron.v_reset=null")
    with pytest.raises(UnsupportedError, match="cannot be trained under the rules") as caught:
        go(tmp_path / "run", recipe)
    assert [p.where for p in caught.value.problems] == ["block1.neuron", "readout.neuron"]
    for problem in caught.value.problems:
        assert "soft reset" in problem.what and "hard reset" in problem.try_instead
    assert not (tmp_path / "run" / "teacher").exists() and not (tmp_path / "run" / "metrics.jsonl").exists()


def test_dry_run_names_the_stage_and_refuses_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = DATASETS.get("digits-dvs")
    monkeypatch.setitem(DATASETS._entries, "digits-dvs", replace(entry, factory=lambda *_, **__: toy_data()))
    assert describe(toy_recipe("target=loihi2"))["target"] == (
        "loihi2, 8-bit weights, 1 epochs after the training in real numbers"
    )
    with pytest.raises(UnsupportedError, match="rules of the chip"):
        describe(toy_recipe("target=loihi2", "student.neuron.v_reset=null"))


def test_faults_of_the_section_are_reported_with_all_others() -> None:
    assert toy_recipe("target=loihi2").target == toy_recipe("target.name=loihi2").target
    assert toy_recipe().target is None
    with pytest.raises(ConfigError) as caught:
        toy_recipe("target.name=loihi3", "target.bits=9", "target.epoch=1", "train.epochs=0")
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert found.keys() == {"target.name", "target.bits", "target.epoch", "train.epochs"}
    assert "epochs" in found["target.epoch"]


def test_the_stage_is_as_the_training_before_but_for_its_length_and_rate() -> None:
    recipe = toy_recipe("train.epochs=10", "train.optimizer=sgd", "train.mix={mixup: 1.0}", "target=loihi2")
    assert recipe.target is not None
    spec = recipe.target.stage(recipe.train)
    assert (spec.epochs, spec.lr, spec.warmup_epochs) == (3, recipe.train.lr / 5, 0)
    assert (spec.optimizer, spec.mix) == ("sgd", None)
    other = toy_recipe("target.epochs=4", "target.lr=0.5").target
    assert other is not None and (other.stage(recipe.train).epochs, other.stage(recipe.train).lr) == (4, 0.5)


def test_files_of_other_numbers_are_refused(tmp_path: Path) -> None:
    recipe = toy_recipe(*TARGET)
    run = go(tmp_path / "run", recipe)
    student = load_student(run.student_file, recipe, SHAPE, CLASSES)
    with pytest.raises(DataError, match="do not fit the network"):
        load_weights(student, run.real_student_file)
    weights = student.state_dict()
    weights["block1.conv.scale"] = torch.tensor(float("inf"), dtype=torch.float64)
    save_weights(weights, tmp_path / "bad.safetensors")
    with pytest.raises(DataError, match=r"block1\.conv\.scale.*not finite"):
        load_weights(student, tmp_path / "bad.safetensors")
