"""``convert --fine-tune`` and ``--then-distil``: what is done, what the certificate says, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support.anns import PlainNet, images, trained
from support.tiny_runs import CONVERT_FEW, trained_run

import snn_deploy as sd
from snn_deploy.cli.main import exit_code
from snn_deploy.convert.choices import Choices, FineTuning


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return trained_run(tmp_path_factory.mktemp("tuned"))


def test_it_is_trained_said_and_gone_on_with_by_a_recipe(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe, run = made
    command = ["convert", str(run), "--out", "snn", *CONVERT_FEW, "--fine-tune", "2"]
    assert exit_code([*command, "--then-distil", str(recipe)]) == 0
    said = capsys.readouterr()
    assert "Fine-tuned for 2 levels, 2 epochs" in " ".join(said.out.split())
    assert "--init snn --run-dir snn-distilled --resume" in " ".join(said.err.split())
    certificate = json.loads(Path("snn/certificate.json").read_text())
    record = certificate["fine_tuning"]
    assert (record["levels"], record["epochs"], record["steps"], record["seed"]) == (2, 2, 2, 0)
    assert 0 <= record["validation_before"] <= 1
    assert any("fine-tuned" in sentence for sentence in certificate["lost"])
    assert "Fine-tuned for 2 levels" in Path("snn/certificate.md").read_text()
    assert not Path("snn.fine-tuning").exists()
    written = yaml.safe_load(Path("snn-distilled/recipe.yaml").read_text())
    assert written["student"]["sha256"] == certificate["network_sha256"]
    assert json.loads(Path("snn-distilled/result.json").read_text())["teacher"]["origin"] == "checkpoint"


DATA = """
from support.anns import images

def quarters():
    parts = {"train": (192, 1), "validation": (64, 2), "test": (64, 3)}
    return {part: images(count, seed, noise=0.7) for part, (count, seed) in parts.items()}
"""
HOW = {"timesteps": 2, "sweep": (), "samples": 64, "choices": Choices(images=48, rounds=1)}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return trained(PlainNet, 60)


@pytest.fixture
def quarters(tmp_path):
    (tmp_path / "quarters.py").write_text(DATA)
    return f"{tmp_path / 'quarters.py'}:quarters"


def test_training_brings_back_much_of_what_one_level_costs(network, quarters, tmp_path):
    how = {**HOW, "timesteps": 1, "fine_tuning": FineTuning(8, batch_size=32)}
    found = sd.convert_network(network, tmp_path / "snn", data=quarters, **how).certificate
    told = found.fine_tuning
    assert told.validation_before + 0.1 < told.validation_after < told.validation_ann
    assert found.chosen.quantised == told.accuracy


def stopped(network, out, data, event_of, error, **how) -> None:
    """Fine-tune, and raise ``error`` after an epoch."""

    def stop(event) -> None:
        if event_of in str(event):
            raise error

    with pytest.raises(type(error)):
        sd.convert_network(network, out, data=data, report=stop, **HOW, **how)


def test_a_killed_fine_tuning_goes_on_to_the_same_network(network, quarters, tmp_path):
    how = {"data": quarters, "fine_tuning": FineTuning(3, batch_size=32), **HOW}
    whole = sd.convert_network(network, tmp_path / "whole", **how).certificate
    out = tmp_path / "cut"
    stopped(network, out, quarters, "epoch 2/", KeyboardInterrupt(), fine_tuning=FineTuning(3, batch_size=32))
    assert (tmp_path / "cut.fine-tuning" / "checkpoint.pt").is_file()
    with pytest.raises(sd.SnnDeployError, match="holds the state of a fine-tuning"):
        sd.convert_network(network, out, **how)
    cut = sd.convert_network(network, out, resume=True, **how).certificate
    assert cut.network_sha256 == whole.network_sha256
    assert cut.fine_tuning.model_dump(exclude={"seconds"}) == whole.fine_tuning.model_dump(
        exclude={"seconds"}
    )


def test_the_state_of_another_fine_tuning_is_refused(network, quarters, tmp_path):
    out, other = tmp_path / "cut", FineTuning(3, seed=1, batch_size=32)
    stopped(network, out, quarters, "epoch 1/", KeyboardInterrupt(), fine_tuning=FineTuning(3, batch_size=32))
    with pytest.raises(sd.SnnDeployError, match="other data or another recipe"):
        sd.convert_network(network, out, data=quarters, resume=True, fine_tuning=other, **HOW)


def test_files_cannot_be_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("train", "test"):
        x, y = images(16)
        np.savez(f"{name}.npz", x=x[None].numpy(), y=y.numpy())
    with pytest.raises(sd.SnnDeployError, match="needs a data set with a training and a validation split"):
        sd.convert_network(
            PlainNet(), "out", data="test.npz", calibration="train.npz", fine_tuning=FineTuning(1)
        )


def test_a_fault_in_the_recipe_is_told_first(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code(["convert", str(made[1]), "--out", "snn", "--then-distil", "nothing-such"]) == 2
    assert not Path("snn").exists()


def test_options_of_a_fine_tuning_alone_are_refused(made, capsys):
    assert exit_code(["convert", str(made[1]), "--out", "snn", "--resume"]) == 2
    assert "Add --fine-tune" in capsys.readouterr().err
