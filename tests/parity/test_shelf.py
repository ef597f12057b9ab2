"""The models of the shelf, proven again: hashes, and every file on the samples that the bundle holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from snn_deploy.cli.main import exit_code
from snn_deploy.core.assets import asset_dir
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.shelf import Shelved, copy_model, shelved
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.simulate import open_backend

LARGEST, ALL = 1_100_000, 6_000_000
BACKENDS = {"nir": "reference", "onnx": "onnxruntime", "lava": "loihi", "c": "c", "c-float": "c-float"}
MODELS = shelved()


def test_the_shelf_is_small() -> None:
    assert len(MODELS) >= 7
    files = {m.name: [p for p in (asset_dir("models") / m.name).rglob("*") if p.is_file()] for m in MODELS}
    sizes = {name: sum(path.stat().st_size for path in held) for name, held in files.items()}
    assert all(size <= LARGEST for size in sizes.values()), sizes
    assert sum(sizes.values()) <= ALL


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_file_computes_what_was_proven(model: Shelved) -> None:
    assert model.verdict == "verified"
    folder = asset_dir("models") / model.name
    source = open_source(folder)
    with np.load(folder / "example.npz", allow_pickle=False) as example:
        x = torch.from_numpy(example["x"]).float()
        due = {name: torch.from_numpy(example[f"{name}_out"]) for name in model.formats}
    for name, output in due.items():
        if name.startswith("c") and shutil.which("cc") is None:
            continue
        found = open_backend(source, BACKENDS[name]).run(x).output
        torch.testing.assert_close(found, output.float(), rtol=1e-5, atol=1e-6)
        assert torch.equal(found.mean(0).argmax(-1), output.float().mean(0).argmax(-1))


def test_a_copy_is_a_bundle_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = MODELS[0].name
    assert exit_code(["cp", "model", name]) == 0
    assert exit_code(["cp", "model", name]) == 2
    assert exit_code(["cp", "model", name, "again"]) == 0
    assert exit_code(["cp", "quickstart", "mine.yaml", "again"]) == 2
    assert exit_code(["check", name, "--target", "loihi2"]) in {0, 5}
    capsys.readouterr()
    assert exit_code(["ls", "models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [row["name"] for row in rows] == [model.name for model in MODELS]
    assert all("Apache-2.0" in row["description"] and row["data licence"] for row in rows)
    with pytest.raises(ConfigError, match="no model"):
        copy_model("nosuch", tmp_path / "new")
