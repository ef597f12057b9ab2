"""Every block of the README and of the tutorials does what it says, in the order in which it is read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from support.data import FOLDER, ROOT
from support.recordings import aedat4, some_events

TUTORIALS = ROOT / "docs" / "tutorials"
NAMES = ["quickstart", "own", "convert", "camera", "microcontroller"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NET = """
import torch
from spikingjelly.activation_based import neuron


class Net(torch.nn.Sequential):
    def __init__(self, in_shape=(2, 16, 16), classes=10):
        super().__init__(torch.nn.Flatten(2), torch.nn.Linear(512, classes), neuron.LIFNode(step_mode="m"))
"""
LOAD = """
def load():
    return "test.npz"
"""
RECIPE = """
name: mine
timesteps: 8
data: {name: my_data.py:load}
student: {name: my_net.py:Net}
method: {name: none}
train: {epochs: 1, batch_size: 8}
"""
CNN = """
import torch
from torch import nn

cnn = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
torch.onnx.export(cnn, torch.zeros(1, 1, 28, 28), "cnn.onnx", dynamo=False)
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every block that can be run."""
    return [(kind, text) for kind, text in BLOCK.findall(page.read_text()) if kind != "text"]


def do(kind: str, text: str, folder: Path) -> None:
    """Run a block in ``folder``; one that begins with ``# NAME.SUFFIX`` is written to that file instead."""
    if named := re.match(r"# (\S+\.\w+)\n", text):
        (folder / named[1]).write_text(text.partition("\n")[2])
        return
    if kind == "c":
        text = f"cc -std=c99 -Wall -Werror -fsyntax-only -I runs/small/bundle -x c - <<'END'\n{text}\nEND"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    given["SNN_DEPLOY_DATA"] = str(FOLDER)
    shell = ["bash", "-euo", "pipefail", "-c", text]
    command = [sys.executable, "-c", text] if kind == "python" else shell
    done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True)
    assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A reader's own, who has done nothing but the page at hand."""
    return tmp_path


def test_readme(folder):
    """All of it but the installation; what is the reader's own is made here."""
    theirs = blocks(ROOT / "README.md")
    bring = next(text for _, text in theirs if "my_net.py" in text)
    for kind, text in theirs:
        if "pip install" in text:
            continue
        if text != bring:
            do(kind, text, folder)
            continue
        _own_files(folder)
        for line in text.splitlines():
            if "recording.aedat4" in line:
                do("sh", "snn-deploy export runs/quickstart --to c --out runs/mine/bundle", folder)
            if "fashion-mnist" not in line or (FOLDER / "FashionMNIST").is_dir():
                do(kind, line, folder)
    assert (folder / "my-project" / "recipe.yaml").is_file()


def _own_files(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((8, 40, 2, 16, 16)) < 0.2).astype(np.float32)
    np.savez(folder / "test.npz", x=x, y=rng.integers(0, 10, 40))
    (folder / "my_net.py").write_text(NET)
    weight = torch.rand(10, 512, generator=torch.Generator().manual_seed(0)) - 0.4
    torch.save({"1.weight": weight, "1.bias": torch.zeros(10)}, folder / "net.pt")
    one = np.ones(10, np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([2, 16, 16])}),
        "flat": nir.Flatten({"input": np.array([2, 16, 16])}, 0),
        "w": nir.Affine(weight.numpy(), 0 * one),
        "lif": nir.LIF(tau=2e-3 * one, r=20 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "output": nir.Output({"output": np.array([10])}),
    }
    edges = [("input", "flat"), ("flat", "w"), ("w", "lif"), ("lif", "output")]
    nir.write(folder / "theirs.nir", nir.NIRGraph(nodes, edges, type_check=False))
    (folder / "my_data.py").write_text(LOAD)
    (folder / "mine.yaml").write_text(RECIPE)
    do("python", CNN, folder)
    (folder / "recording.aedat4").write_bytes(aedat4([some_events(0, 400, height=16, width=16)]))


@pytest.mark.parametrize("name", NAMES)
def test_tutorial(folder, name):
    if name == "microcontroller":
        if shutil.which("cc") is None:
            pytest.skip("no C compiler")
        rows = "\n".join(f"{t},{t % 16},{t * 7 % 16},{t % 2}" for t in range(0, 160_000, 150))
        (folder / "events.csv").write_text(f"t,x,y,p\n{rows}\n")
    found = blocks(TUTORIALS / f"{name}.md")
    assert len(found) >= 3
    for kind, text in found:
        do(kind, text, folder)


def test_every_tutorial_is_run():
    assert {path.stem for path in TUTORIALS.glob("*.md")} == set(NAMES)
