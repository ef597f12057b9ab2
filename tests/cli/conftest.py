"""A tiny trained run and its bundle, made once through the commands themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from snn_deploy.cli.main import exit_code

QUICK = ("-o", "train.epochs=3", "-o", "teacher.train.epochs=2")


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "quick"
    assert exit_code(["distill", "quickstart", *QUICK, "--run-dir", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def bundle_dir(run_dir: Path) -> Path:
    path = run_dir / "bundle"
    assert exit_code(["export", str(run_dir), "--to", "nir,onnx", "--samples", "24"]) == 0
    return path
