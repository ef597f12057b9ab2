"""Converted residual networks as C: real numbers as they are, integers once trained on with hard reset."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support.anns import ResidualNet, images, trained

from snn_deploy.cli.main import exit_code
from snn_deploy.export.c.compiler import SANITIZERS
from snn_deploy.export.c.runtime import CProgram
from snn_deploy.export.c_float.runtime import FloatCProgram

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
NET = "import torch\nfrom torch import nn\nfrom torch.nn import functional\n\n\n"
DATA = """
import numpy as np


def load():
    def part(name):
        content = np.load(name)
        return content["x"][0], content["y"]

    train = part("train.npz")
    return {"train": train, "validation": train, "test": part("test.npz")}
"""
RECIPE = {
    "name": "hard",
    "timesteps": 4,
    "data": {"name": "data.py:load"},
    "teacher": {"name": "onnx"},
    "student": {"name": "converted", "neuron": {"kind": "if", "v_threshold": 1.0, "v_reset": 0.0}},
    "method": {"name": "kd"},
    "train": {"epochs": 4, "batch_size": 32, "lr": 3e-3},
}
SAMPLES = 48


@pytest.fixture(scope="module")
def conversion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a converted network, ``snn``, its data, and a recipe to train it on. One channel of the
    ANN is silent, as some of most trained ones are."""
    folder = tmp_path_factory.mktemp("converted")
    net = trained(ResidualNet)
    net.one.bias.data[1] = -5.0
    torch.save(net.state_dict(), folder / "net.pt")
    (folder / "net.py").write_text(NET + inspect.getsource(ResidualNet))
    (folder / "data.py").write_text(DATA)
    (folder / "hard.yaml").write_text(yaml.safe_dump(RECIPE))
    for name, count, seed in (("train", 256, 11), ("test", 64, 12)):
        x, y = images(count, seed=seed)
        np.savez(folder / f"{name}.npz", x=x[None].numpy(), y=y.numpy())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = ["convert", "net.py:ResidualNet", "--weights", "net.pt", "--data", "data.py:load"]
        command += ["--sweep", "4", "--timesteps", "4", "--images", "64", "--rounds", "1", "--samples", "64"]
        assert exit_code([*command, "--out", "snn"]) == 0
    return folder


def exported(source: str, formats: str) -> dict:
    """The manifest of ``bundle``, every exact proof of which found nothing that differs."""
    command = ["export", source, "--to", formats, "--data", "data.py:load", "--samples", str(SAMPLES)]
    assert exit_code([*command, "--allow", "reset-in-metadata", "--out", "bundle"]) == 0
    manifest = json.loads(Path("bundle/manifest.json").read_text())
    assert manifest["verdict"] == "verified"
    assert all(p["differing"] == 0 for p in manifest["parity"] if p["exact"])
    return manifest


def same_with_sanitizers(kind: type[CProgram] | type[FloatCProgram], file: Path) -> int:
    """Whether the checked code does the same on test images; how many spikes fell."""
    x = torch.from_numpy(np.load("test.npz")["x"])[:, :SAMPLES].expand(4, -1, -1, -1, -1)
    plain, checked = (kind(file, extra=extra).run(x, record=True) for extra in ((), SANITIZERS))
    assert torch.equal(plain.output, checked.output)
    assert all(torch.equal(checked.records[name], spikes) for name, spikes in plain.records.items())
    return sum(int(spikes.sum()) for spikes in plain.records.values())


def test_soft_reset_becomes_float_c(conversion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its option-A shortcut is a padded convolution with a flag in the file's metadata."""
    monkeypatch.chdir(conversion)
    manifest = exported("snn", "nir,onnx,c-float")
    assert {p["runtime"] for p in manifest["parity"]} >= {"reference", "onnxruntime", "c-float"}
    assert same_with_sanitizers(FloatCProgram, Path("bundle/model_float.nir")) > 0


def test_trained_on_with_hard_reset_it_becomes_integer_c(
    conversion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding moves few spikes in any layer, also beside a silent channel."""
    monkeypatch.chdir(conversion)
    assert exit_code(["distill", "hard.yaml", "--trust", "--init", "snn", "--run-dir", "run"]) == 0
    rows = {p["runtime"]: p for p in exported("run", "c")["parity"]}
    assert rows.keys() == {"loihi", "c"}
    assert rows["c"]["verdict"] == "equal"
    assert all(layer["differing"] < 0.05 * layer["compared"] for layer in rows["loihi"]["layers"])
    assert same_with_sanitizers(CProgram, Path("bundle/model.net")) > 0
