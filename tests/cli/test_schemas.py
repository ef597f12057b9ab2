"""The JSON schemas of docs/schemas: those of the code, and what the commands write keeps to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from support.schemas import DOCUMENTS, schema_file, schema_text
from torch import nn

import snn_deploy as sd
from snn_deploy.cli.main import exit_code


def documents(bundle: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert exit_code(["compare", str(bundle), str(bundle), "--json"]) == 0
    return {
        "manifest": json.loads((bundle / "manifest.json").read_text()),
        "report": json.loads((bundle / "report" / "report.json").read_text()),
        "compare": json.loads(capsys.readouterr().out),
    }


def certificate(folder: Path) -> dict[str, Any]:
    for name in ("train", "test"):
        np.savez(folder / f"{name}.npz", x=np.eye(4, dtype=np.float32)[None], y=np.arange(4))
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4))
    data = {"data": str(folder / "test.npz"), "calibration": str(folder / "train.npz")}
    found = sd.convert_network(net, folder / "snn", timesteps=2, sweep=(), **data)
    return json.loads((found.path / "certificate.json").read_text())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_is_the_schema_of_the_code(name: str) -> None:
    assert schema_file(name).read_text() == schema_text(name), "run: make schemas"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_written_keeps_to_it(
    name: str, bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = jsonschema.Draft202012Validator(json.loads(schema_file(name).read_text()))
    document = certificate(tmp_path) if name == "certificate" else documents(bundle_dir, capsys)[name]
    judge.validate(document)
    for key in judge.schema["required"]:
        less = {k: v for k, v in document.items() if k != key}
        assert not judge.is_valid(less), key
        assert not judge.is_valid(document | {key: object()}), key
