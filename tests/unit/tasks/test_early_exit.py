"""The threshold of a bundle: given, or chosen on validation samples, and who follows it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.tiny_runs import write_recipe

import snn_deploy as sd
from snn_deploy.cli.main import exit_code
from snn_deploy.core.early_exit import NEAR, ChosenExit, candidates, choose, exit_steps
from snn_deploy.core.errors import ConfigError
from snn_deploy.export.manifest_schema import Manifest
from snn_deploy.tasks.early_exit import chosen_exit, rule_of, scale_of
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.samples import load_data

CHEAP = ("--samples", "4", "--profile", "horowitz-45nm-fp32")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    overrides = ["timesteps=4", "method.every_t=true", "student.readout=spiking", "student.logit_scale=6"]
    recipe = sd.load_recipe(str(write_recipe(folder)), overrides)
    return sd.distill_student(recipe, folder / "run").path


@pytest.fixture(scope="module")
def bundle(run) -> Path:
    assert exit_code(["export", str(run), "--to", "nir,onnx", "--exit-at", "auto", *CHEAP]) == 0
    return run / "bundle"


def test_the_least_threshold_that_keeps_the_validation_accuracy(run):
    """Against the student itself and a loop over candidates."""
    source = open_source(run)
    assert scale_of(source) == 6.0
    found = chosen_exit(source, "auto", None, 4)
    split = load_data(source.recipe).validation
    outputs = source.executable.run(split.batch(torch.arange(len(split)))).output.double()
    sure = (6 * outputs.cumsum(0) / 4).softmax(2).amax(2).numpy()
    right = (outputs.cumsum(0).argmax(2) == split.labels).numpy()
    kept = {}
    for at in candidates(sure):
        ends = exit_steps(sure, at)
        kept[at] = (float(right[ends, np.arange(len(split))].mean()), float(ends.mean() + 1))
    at = next(at for at, (accuracy, _) in kept.items() if accuracy >= right[-1].mean() - NEAR)
    assert found == ChosenExit(
        at, 6.0, "validation", len(split), kept[at][0], float(right[-1].mean()), kept[at][1]
    )
    assert choose(sure, right) == at


def test_a_bundle_carries_its_threshold(bundle, run, capsys):
    stated = json.loads((bundle / "manifest.json").read_text())["exit"]
    assert (stated["chosen"], stated["scale"]) == ("validation", 6.0)
    assert "## Early exit" in (bundle / "README.md").read_text()
    source = open_source(bundle)
    rule = rule_of(source, None)
    assert (rule.at, rule.scale) == (stated["at"], 6.0)
    assert rule_of(source, "off") is None
    report = json.loads((bundle / "report" / "report.json").read_text())["early_exit"]
    assert (report["at"], report["scale"]) == (stated["at"], 6.0)
    assert stated["at"] in [point["at"] for point in report["points"]]


def test_a_given_threshold_is_kept_as_it_is(run, tmp_path, capsys):
    command = ["export", str(run), "--to", "nir", *CHEAP, "--out", str(tmp_path / "b"), "--exit-at"]
    assert exit_code([*command, "0.9"]) == 0
    assert "is 0.9 or more: the largest softmax of 6 times" in " ".join(capsys.readouterr().out.split())
    stated = json.loads((tmp_path / "b" / "manifest.json").read_text())["exit"]
    assert (stated["at"], stated["chosen"], stated["samples"]) == (0.9, "given", 0)
    assert exit_code([*command, "1.5"]) == 2
    assert "cannot be reached" in capsys.readouterr().err
    assert exit_code([*command, "soon"]) == 2


def test_what_cannot_end_early_is_said(run, tmp_path):
    source = open_source(run)
    with pytest.raises(ConfigError, match="runs one step"):
        chosen_exit(source, 0.9, None, 1)
    with pytest.raises(ConfigError, match="no validation split"):
        chosen_exit(source, "auto", str(tmp_path / "x.npz"), 4)


@pytest.mark.parametrize(
    "change",
    [{"at": 0.0}, {"at": 2.0}, {"scale": -1.0}, {"accuracy": None}, {"accuracy": 2.0}, {"chosen": "guessed"}],
)
def test_a_damaged_threshold_is_refused(bundle, change):
    content = json.loads((bundle / "manifest.json").read_text())
    Manifest.model_validate_json(json.dumps(content))
    content["exit"] |= change
    with pytest.raises(ValidationError):
        Manifest.model_validate_json(json.dumps(content))
