"""Own student, teacher and data from a recipe of a few lines: distilled with ``bkd``, exported as a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from snn_deploy.cli.main import exit_code

CODE = """
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn


class Net(nn.Sequential):
    def __init__(self, in_shape, classes, width=4):
        super().__init__(
            layer.Conv2d(in_shape[0], width, 3, padding=1, step_mode="m"),
            neuron.LIFNode(step_mode="m"),
            layer.Flatten(step_mode="m"),
            layer.Linear(width * in_shape[1] * in_shape[2], classes, step_mode="m"),
            neuron.IFNode(step_mode="m"),
        )


def teach(width=6):
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(width * 36, 2))


def load(samples=80):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(samples) % 2
    x = torch.rand(samples, 1, 6, 6, generator=generator) * 0.5
    x[:, :, :3] += y[:, None, None, None]
    return x, y
"""
RECIPE = """
name: mine
timesteps: 4
data: {name: my.py:load, samples: 60}
teacher: {name: my.py:teach, checkpoint: t.pt}
student: {name: my.py:Net, width: 5}
method: {name: bkd, student_tap: "1", teacher_tap: "1", resize: pool}
train: {epochs: 2, batch_size: 16}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "my.py").write_text(CODE)
    (mine / "mine.yaml").write_text(RECIPE)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(216, 2))
    torch.save({"model": net.state_dict()}, mine / "t.pt")
    monkeypatch.chdir(tmp_path)
    return mine


def test_own_parts_from_a_recipe_to_a_bundle(folder, capsys):
    assert len(RECIPE.strip().splitlines()) <= 15
    distil = ["distill", "mine/mine.yaml", "--run-dir", "run"]
    assert exit_code(distil) == 2
    assert "--trust" in capsys.readouterr().err
    assert not Path("run").exists()
    assert exit_code([*distil, "--trust"]) == 0
    recipe = Path("run/recipe.yaml").read_text()
    assert str(folder / "my.py:Net") in recipe and "code_sha256" in recipe
    assert exit_code(["export", "run", "--to", "nir,onnx", "--samples", "8"]) == 0
    manifest = json.loads(Path("run/bundle/manifest.json").read_text())
    assert manifest["verdict"] != "failed"
    assert manifest["provenance"]["recipe"]["student"]["code_sha256"]
    assert all(layer["differing"] == 0 for layer in manifest["parity"][0]["layers"])
    (folder / "my.py").write_text(CODE + "\n# edited\n")
    capsys.readouterr()
    assert exit_code(["export", "run", "--to", "nir"]) == 7
    assert "has changed since" in " ".join(capsys.readouterr().err.split())


def test_a_tap_that_is_not_there(folder, capsys):
    command = ["distill", "mine/mine.yaml", "--run-dir", "run", "--trust", "-o", "method.student_tap='11'"]
    assert exit_code(command) == 2
    assert "Did you mean '1'?" in " ".join(capsys.readouterr().err.split())


def test_arguments_and_data_that_do_not_fit(folder, capsys):
    command = ["distill", "mine/mine.yaml", "--trust", "-o"]
    assert exit_code([*command, "student.widht=3", "--run-dir", "a"]) == 2
    assert "Did you mean 'width'?" in " ".join(capsys.readouterr().err.split())
    (folder / "my.py").write_text(CODE.replace("return x, y", "return x[0], y"))
    assert exit_code([*command, "seed=1", "--run-dir", "b"]) == 7
    assert "due are finite x" in " ".join(capsys.readouterr().err.split())
