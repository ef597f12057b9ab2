"""``convert --fine-tune`` and ``--then-distil``: what is done, what the certificate says, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from support.tiny_runs import write_recipe

import snn_deploy as sd
from snn_deploy.cli.main import exit_code
from snn_deploy.convert.choices import FineTuning
from snn_deploy.graph.readers.io import read_nir

FEW = ("--sweep", "2", "--timesteps", "2", "--images", "32", "--samples", "8", "--rounds", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    recipe = write_recipe(folder)
    sd.distill_student(str(recipe), folder / "run")
    return recipe, folder / "run"


def weights(folder: Path) -> dict:
    return {
        n: node.weight
        for n, node in read_nir(folder / "network.nir").nodes.items()
        if hasattr(node, "weight")
    }


def test_it_is_trained_said_and_gone_on_with_by_a_recipe(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe, run = made
    command = ["convert", str(run), "--out", "snn", *FEW, "--fine-tune", "2", "--then-distil", str(recipe)]
    assert exit_code(command) == 0
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


def test_a_killed_fine_tuning_goes_on_to_the_same_network(made, tmp_path):
    _, run = made
    how = {"timesteps": 2, "sweep": (), "samples": 8, "fine_tuning": FineTuning(3, batch_size=8)}
    sd.convert_network(run, tmp_path / "whole", **how)

    class Killed(BaseException):
        pass

    def kill(event) -> None:
        if "epoch 2/" in str(event):
            raise Killed

    with pytest.raises(Killed):
        sd.convert_network(run, tmp_path / "cut", report=kill, **how)
    assert (tmp_path / "cut.fine-tuning" / "checkpoint.pt").is_file()
    with pytest.raises(sd.SnnDeployError, match="holds the state of a fine-tuning"):
        sd.convert_network(run, tmp_path / "cut", **how)
    sd.convert_network(run, tmp_path / "cut", resume=True, **how)
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all((first[name] == second[name]).all() for name in first)
    for key in ("validation_before", "validation_after", "accuracy", "steps"):
        found = [
            json.loads((tmp_path / n / "certificate.json").read_text())["fine_tuning"][key]
            for n in ("whole", "cut")
        ]
        assert found[0] == found[1]


def test_the_state_of_another_fine_tuning_is_refused(made, tmp_path, capsys):
    _, run = made

    def kill(event) -> None:
        if "epoch 1/" in str(event):
            raise KeyboardInterrupt

    how = {"timesteps": 2, "sweep": (), "samples": 8}
    with pytest.raises(KeyboardInterrupt):
        sd.convert_network(run, tmp_path / "cut", report=kill, fine_tuning=FineTuning(3, batch_size=8), **how)
    with pytest.raises(sd.SnnDeployError, match="other data or another recipe"):
        sd.convert_network(
            run, tmp_path / "cut", resume=True, fine_tuning=FineTuning(3, seed=1, batch_size=8), **how
        )


def test_files_cannot_be_trained_on(tmp_path, monkeypatch, capsys):
    import numpy as np
    from support.anns import PlainNet, images

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
