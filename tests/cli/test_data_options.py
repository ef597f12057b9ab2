"""Options of a data set by name, ``-o``: every command that shows samples to a network takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snn_deploy.cli.main import exit_code

NET = """
from spikingjelly.activation_based import layer, neuron
from torch import nn


def net():
    return nn.Sequential(
        layer.Flatten(step_mode="m"), layer.Linear(512, 10, step_mode="m"), neuron.IFNode(step_mode="m")
    )
"""
SHOWN = ("net.py:net", "--data", "digits-dvs", "--samples", "4", "--timesteps", "3")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)


def test_a_bundle_is_proven_on_frames_made_as_stated() -> None:
    option = ("-o", "data.binary=false")
    assert exit_code(["export", *SHOWN, "--to", "onnx", "--onnx", "step", "--out", "bundle", *option]) == 0
    manifest = json.loads(Path("bundle/manifest.json").read_text())
    data = manifest["provenance"]["data"]
    assert manifest["input"]["values"]["kind"] == "counts"
    assert "binary=False" in data["frames"]
    assert exit_code(["report", *SHOWN, "--out", "report", *option]) == 0
    told = json.loads(Path("report/report.json").read_text())
    assert told["header"]["data_digest"] == data["digest"]


@pytest.mark.parametrize(
    "command", [("export", "--out", "bundle"), ("report", "--out", "report"), ("simulate",)]
)
def test_what_is_no_option_of_the_data_is_named(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code([*command, *SHOWN, "-o", "train.epochs=3", "-o", "data.binry=false"]) == 2
    said = capsys.readouterr().err
    assert "train.epochs=3" in said
    assert exit_code([*command, *SHOWN, "-o", "data.binry=false"]) == 2
    assert "binary" in capsys.readouterr().err
