"""The first quarter of an hour on a GPU goes through all of its parts on a CPU, in miniature."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.benchmarks import FOLDER
from support.data import ROOT


def test_all_parts_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gpu", "--device", "cpu", "--miniature", "--out", str(tmp_path)]
    paths = f"{FOLDER}{os.pathsep}{ROOT}"
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("*-gpu.md")
    text = file.read_text()
    assert "no GPU: this is no result" in text
    assert "no spike differs" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 6
    assert not any("Error" in row for row in rows)
    assert "quickstart, 1 epochs: test accuracy" in text
