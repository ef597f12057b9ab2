"""Who deploys a file needs no training library: it may be missing altogether."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest
from support.graphs import graph, lif

RUN = """
import json, sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"spikingjelly", "tensorboard", "sklearn", "torchvision", "triton"}:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Absent())
from snn_deploy.cli.main import exit_code
for arguments in json.loads(sys.argv[1]):
    code = exit_code(arguments)
    assert code == 0, (arguments, code)
import snn_deploy.graph.readers.from_torch
wings = [name for name in sys.modules if name.startswith(("snn_deploy.models", "snn_deploy.distill"))]
assert not wings, wings
"""


def commands_in_a_new_process(folder: Path, *commands: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps([command.split() for command in commands])],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``net.nir`` and ``x.npz``; no Lava."""
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", str(tmp_path / "nowhere"))
    rng = np.random.default_rng(0)
    weight = (rng.integers(-6, 10, (5, 12)) / 8).astype(np.float32)
    nodes = {"weights": nir.Linear(weight), "neurons": lif((5,))}
    edges = [("input", "weights"), ("weights", "neurons"), ("neurons", "output")]
    nir.write(tmp_path / "net.nir", graph(nodes, edges, (12,), (5,)))
    x = (rng.random((10, 8, 12)) < 0.4).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(8) % 5)
    return tmp_path


def test_a_nir_file_is_deployed(files: Path) -> None:
    time = "--dt 1e-4 --integrator euler --fires-at > --reset zero"
    commands_in_a_new_process(
        files,
        f"export net.nir --to nir,onnx --data x.npz {time}",
        f"check net.nir --target loihi2,nir,onnx {time}",
        f"simulate net.nir --data x.npz {time}",
        "simulate net-bundle --backend onnxruntime --data x.npz",
        f"report net.nir --data x.npz --out before {time}",
        "report net-bundle --data x.npz --out after",
        "compare before after",
    )


def test_a_lava_file_is_deployed(files: Path) -> None:
    time = "--dt 1e-4 --integrator euler --fires-at > --reset zero"
    commands_in_a_new_process(
        files,
        f"export net.nir --to lava --data x.npz {time}",
        "check net-bundle/model.net --target loihi2",
        "simulate net-bundle/model.net --data x.npz",
        "export net-bundle/model.net --to nir,onnx --data x.npz --out again",
    )
