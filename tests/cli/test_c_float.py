"""A network that Lava and the integer C cannot hold, from a module to proven float32 C."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from snn_deploy.cli.main import exit_code

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

NET = """
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn


def net():
    torch.manual_seed(1)
    made = nn.Sequential(
        layer.Conv2d(2, 6, 3, padding=1, stride=2), neuron.IFNode(v_threshold=0.3, v_reset=None),
        layer.AvgPool2d(2), layer.Flatten(), layer.Linear(96, 10),
        neuron.LIFNode(v_threshold=0.1, v_reset=None),
    )
    functional.set_step_mode(made, "m")
    return made
"""


def test_a_soft_reset_becomes_proven_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    common = ["net.py:net", "--data", "digits-dvs", "--samples", "8", "--timesteps", "6"]
    assert exit_code(["export", *common, "--to", "c", "--out", "integers"]) == 3
    assert "c-float hold more" in capsys.readouterr().err
    assert exit_code(["export", *common, "--to", "c-float", "--out", "bundle"]) == 0
    manifest = json.loads(Path("bundle/manifest.json").read_text())
    (row,) = manifest["parity"]
    assert (manifest["verdict"], row["verdict"]) == ("verified", "equal")
    assert sum(layer["differing"] for layer in row["layers"]) == 0
    held = {path.name for path in Path("bundle").iterdir()}
    assert {"run_c_float.sh", "main_float.c", "example_float.bin"} <= held
    again = ["simulate", "bundle", "--backend", "c-float", "--data", "digits-dvs", "--samples", "8"]
    assert exit_code(again) == 0
