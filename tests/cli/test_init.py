"""``init`` writes an example that works as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import snn_deploy
from snn_deploy.cli.main import exit_code


def test_the_example_works_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))
    assert exit_code(["init", "mine"]) == 0
    assert "snn-deploy distill mine/recipe.yaml --trust" in capsys.readouterr().out
    assert exit_code(["distill", "mine/recipe.yaml", "--trust"]) == 0
    assert exit_code(["export", "runs/mine", "--to", "nir,onnx", "--samples", "16"]) == 0
    manifest = json.loads(Path("runs/mine/bundle/manifest.json").read_text())
    assert manifest["verdict"] == "verified"
    assert manifest["parity"][0]["accuracy"] > 0.9
    root = Path(snn_deploy.__file__).parents[1]
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    environment = {**os.environ, "PYTHONPATH": f"{root}"}
    done = subprocess.run(test, cwd="mine", env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout


def test_nothing_is_overwritten(tmp_path, capsys):
    assert exit_code(["init", str(tmp_path)]) == 0
    (tmp_path / "my_net.py").write_text("mine")
    assert exit_code(["init", str(tmp_path)]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert (tmp_path / "my_net.py").read_text() == "mine"
