"""``distill --init``: a student that begins at a conversion, or at a run, to a proven bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.tiny_runs import CONVERT_FEW, trained_run

import snn_deploy as sd
from snn_deploy.cli.main import exit_code
from snn_deploy.recipes.run_folder import Run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A recipe, a run of it, and the conversion of the run's teacher."""
    folder = tmp_path_factory.mktemp("begin")
    recipe, run = trained_run(folder)
    assert exit_code(["convert", str(run), "--out", str(folder / "snn"), *CONVERT_FEW]) == 0
    return recipe, run, folder / "snn"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", str(tmp_path / "nowhere"))
    return made


def distilled(recipe, *options: str) -> int:
    return exit_code(["distill", str(recipe), "--run-dir", "next", *options])


def test_a_conversion_is_student_and_teacher(here, capsys):
    recipe, _, conversion = here
    assert distilled(recipe, "--init", str(conversion), "-o", "train.epochs=1") == 0
    written = yaml.safe_load(Path("next/recipe.yaml").read_text())
    certificate = json.loads((conversion / "certificate.json").read_text())
    assert written["student"]["name"] == "converted"
    assert written["student"]["sha256"] == certificate["network_sha256"]
    assert written["student"]["neuron"]["kind"] == "lif"  # that of the recipe
    assert written["teacher"]["name"] == "onnx"
    assert written["teacher"]["sha256"] == certificate["ann_sha256"]
    result = json.loads(Path("next/result.json").read_text())
    assert result["teacher"]["origin"] == "checkpoint"


def test_with_the_conversions_own_neuron_it_is_exported_and_proven(here):
    recipe, _, conversion = here
    soft = "student.neuron={kind: if, v_reset: null}"
    options = ("--init", str(conversion), "-o", soft, "-o", "train.epochs=1")
    assert distilled(recipe, *options) == 0
    command = ["export", "next", "--to", "nir,onnx", "--allow", "reset-in-metadata", "--samples", "8"]
    assert exit_code(command) == 0
    manifest = json.loads(Path("next/bundle/manifest.json").read_text())
    assert manifest["verdict"] == "verified"
    assert sum(layer["differing"] for p in manifest["parity"] for layer in p["layers"]) == 0


def test_it_is_trained_on_under_the_rules_of_a_chip(here):
    recipe, _, conversion = here
    options = ("--init", str(conversion), "-o", "target=loihi2", "-o", "train.epochs=1")
    assert distilled(recipe, *options) == 0
    result = json.loads(Path("next/result.json").read_text())
    assert result["real_student"] is not None
    assert exit_code(["export", "next", "--to", "onnx", "--samples", "4"]) == 0


def test_before_training_its_accuracy_is_the_conversions(here):
    recipe, _, conversion = here
    soft = "student.neuron={kind: if, v_reset: null}"
    options = ("--init", str(conversion), "-o", soft, "-o", "train.epochs=1", "-o", "train.lr=1.0e-12")
    assert distilled(recipe, *options) == 0
    certificate = json.loads((conversion / "certificate.json").read_text())
    found = json.loads(Path("next/result.json").read_text())["student"]["test_correct"]
    assert found == certificate["sweep"][0]["correct"]


def test_a_killed_run_goes_on_though_the_conversion_is_gone(here, tmp_path):
    import shutil

    recipe, _, conversion = here
    shutil.copytree(conversion, "moved")
    assert distilled(recipe, "--init", "moved", "-o", "train.epochs=1") == 0
    shutil.rmtree("moved")
    Path("next/result.json").unlink()
    Path("next/STATUS").write_text("interrupted\n")
    run = sd.distill_student(Run.open(Path("next")).recipe(), "next", resume=True)
    assert run.result()["student"]["sha256"]
    assert exit_code(["export", "next", "--to", "onnx", "--samples", "4"]) == 0


def test_a_run_gives_its_weights(here):
    recipe, run, _ = here
    assert distilled(recipe, "--init", str(run), "-o", "train.epochs=1", "-o", "train.lr=1.0e-12") == 0
    before, after = (load_file(folder / "student.safetensors") for folder in (run, Path("next")))
    for name, weight in before.items():
        if weight.is_floating_point() and "running" not in name:
            torch.testing.assert_close(after[name], weight, rtol=1e-4, atol=1e-6)
    written = yaml.safe_load(Path("next/recipe.yaml").read_text())
    assert written["init"]["sha256"] == json.loads((run / "result.json").read_text())["student"]["sha256"]


def test_a_run_of_a_conversion_gives_its_teacher_too(here):
    recipe, _, conversion = here
    short = ("-o", "train.epochs=1")
    assert distilled(recipe, "--init", str(conversion), *short) == 0
    again = yaml.safe_load(Path(recipe).read_text()) | {"teacher": {"name": "onnx"}}
    Path("again.yaml").write_text(yaml.safe_dump(again))
    assert exit_code(["distill", "again.yaml", "--init", "next", "--run-dir", "third", *short]) == 0
    first, second = (yaml.safe_load(Path(run, "recipe.yaml").read_text()) for run in ("next", "third"))
    assert second["teacher"] == first["teacher"]


def test_weights_of_another_network_are_refused_with_a_way_out(here, capsys):
    recipe, run, _ = here
    wider = "student.blocks=[{channels: 6, stride: 2}]"
    assert distilled(recipe, "--init", str(run), "-o", wider) == 7
    said = " ".join(capsys.readouterr().err.split())
    assert "cannot begin with" in said
    assert "has shape (4, 3, 3, 3)" in said
    assert "student section of the recipe that made them" in said


def test_what_is_no_beginning_is_refused(here, capsys):
    recipe, _, conversion = here
    assert distilled(recipe, "--init", str(conversion / "network.nir")) == 2
    assert "begins at a conversion or at a run" in " ".join(capsys.readouterr().err.split())


def test_recipes_without_a_beginning_keep_their_digest(here):
    _, run, _ = here
    content = Run.open(run).recipe()
    assert content.init is None
    assert content.digest() == json.loads((run / "result.json").read_text())["recipe_digest"]
