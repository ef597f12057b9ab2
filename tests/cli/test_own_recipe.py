"""Own student, teacher and data from a recipe of a few lines: distilled with ``bkd``, exported as a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import snn_deploy as sd
from snn_deploy.cli.main import exit_code
from snn_deploy.core.errors import DataError
from snn_deploy.recipes.own_code import OwnCode
from snn_deploy.recipes.own_files import needed_files
from snn_deploy.recipes.recipe import load_recipe
from snn_deploy.tasks.samples import load_data

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


def test_a_run_is_opened_with_the_code_that_it_was_trained_with(folder):
    """With the file itself or, where that has changed or gone, the copy in the run; never another one."""
    assert exit_code(["distill", "mine/mine.yaml", "--run-dir", "run", "--trust"]) == 0
    rates = sd.simulate_network(bundled("a"), samples=None).rates
    changed = CODE.replace("neuron.LIFNode(", "neuron.LIFNode(tau=9.0, ").replace("* 0.5", "* 0.1")
    (folder / "my.py").write_text(changed)
    assert sd.simulate_network(bundled("b"), samples=None).rates == rates
    (folder / "my.py").unlink()
    assert sd.simulate_network(bundled("c"), samples=None).rates == rates
    for copy in Path("run/code").rglob("*.py"):
        copy.write_text(changed)
    (folder / "my.py").write_text(changed)
    assert exit_code(["export", "run", "--to", "nir"]) == 7
    with pytest.raises(DataError) as caught:
        bundled("d")
    assert any("has changed since" in problem.what + problem.try_instead for problem in caught.value.problems)


def bundled(name: str) -> Path:
    sd.export_bundle("run", name, formats=["nir"], samples=4)
    return Path(name)


def test_code_is_trusted_by_its_content(folder, capsys, monkeypatch):
    """On another machine it is not, until the user says so; the bundle needs none, but for its data."""
    assert exit_code(["distill", "mine/mine.yaml", "--run-dir", "run", "--trust"]) == 0
    bundled("b")
    command = [sys.executable, "-m", "snn_deploy", "simulate", "b", "--samples", "4"]
    environment = {**os.environ, "SNN_DEPLOY_CACHE": str(folder / "elsewhere")}

    def elsewhere(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*command[:3], *arguments], env=environment, capture_output=True, text=True, timeout=200
        )

    done = elsewhere("export", "run", "--to", "nir", "--out", "c")
    assert done.returncode == 2 and "--trust" in done.stderr
    done = elsewhere("simulate", "b")
    assert done.returncode == 2 and "--data FILE.npz" in done.stderr
    done = elsewhere("simulate", "b", "--trust")
    assert done.returncode == 0, done.stderr


def test_what_a_file_imports_is_part_of_it(folder, capsys):
    """A change in it is another code: not trusted, and not mixed with a module of that name elsewhere."""
    (folder / "my.py").write_text(
        "from sizes import SAMPLES\n" + CODE.replace("samples=80", "samples=SAMPLES")
    )
    (folder / "sizes.py").write_text("SAMPLES = 40\n")
    (folder / "mine.yaml").write_text(RECIPE.replace(", samples: 60", ""))
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    (other / "sizes.py").write_text("SAMPLES = 44\n")
    found = []
    for place in (folder, other, folder):
        recipe = load_recipe(str(place / "mine.yaml"), trust=True)
        data = load_data(recipe)
        found.append(len(data.train) + len(data.validation) + len(data.test))
    assert found == [40, 44, 40]
    (folder / "sizes.py").write_text("SAMPLES = 48\n")
    assert exit_code(["validate", "mine/mine.yaml"]) == 2
    assert "--trust" in capsys.readouterr().err


def test_a_file_in_a_package(folder):
    package = folder / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sizes.py").write_text("SAMPLES = 40\n")
    (package / "deep").mkdir()
    (package / "deep" / "__init__.py").write_text("from ..sizes import SAMPLES\n")
    text = "from .deep import SAMPLES\nfrom pkg import sizes\n" + CODE.replace(
        "samples=80", "samples=SAMPLES"
    )
    (package / "my.py").write_text(text)
    code = OwnCode.of(package / "my.py:load")
    assert len(code.load()()[0]) == 40
    assert list(needed_files(code.file)) == [
        "pkg/__init__.py", "pkg/deep/__init__.py", "pkg/my.py", "pkg/sizes.py",
    ]  # fmt: skip


def test_validate_holds_the_code_against_the_recipe(folder, capsys):
    assert exit_code(["validate", "mine/mine.yaml"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("read it, then add --trust") == 3
    wrong = ["-o", "student.widht=3", "-o", "data.name=my.py:laod", "-o", "teacher.size=1"]
    assert exit_code(["validate", "mine/mine.yaml", "--trust", *wrong]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Did you mean 'width'?" in said and "Did you mean 'load'?" in said and "teacher.size" in said
    assert exit_code(["validate", "mine/mine.yaml"]) == 0, "trusted since"


def test_a_yes_at_the_terminal_is_trust(folder, monkeypatch):
    questions = []

    def confirm(text: str, **_: object) -> bool:
        questions.append(text)
        return len(questions) > 1

    monkeypatch.setattr("typer.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert exit_code(["validate", "mine/mine.yaml"]) == 2
    assert len(questions) == 1 and "my.py" in questions[0], "one file is asked for once"
    assert exit_code(["validate", "mine/mine.yaml"]) == 0
    assert len(questions) == 2


def test_a_sweep_over_own_code(folder, capsys):
    with Path("mine/mine.yaml").open("a") as file:
        file.write("sweep: {student.width: [3, 5]}\n")
    command = ["sweep", "mine/mine.yaml", "--trials", "1", "--dir", "s", "-o", "train.epochs=1"]
    assert exit_code(command) == 2
    assert "--trust" in capsys.readouterr().err
    assert exit_code([*command, "--trust"]) == 0
    assert exit_code(["export", "s/trials/0000", "--to", "nir", "--samples", "4"]) == 0


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
