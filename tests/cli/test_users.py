"""People with a network, with a recipe and with recordings of their own: their commands, as they type them.

Each starts in a folder that holds what they have, and ends with a proven bundle and a script that runs
without us.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.recordings import aedat2
from torch import nn

from snn_deploy.cli.main import exit_code

NETWORK = """
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = layer.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = layer.BatchNorm2d(channels)
        self.fire = neuron.ParametricLIFNode(surrogate_function=surrogate.ATan(), detach_reset=True)

    def forward(self, x):
        return self.fire(self.norm(self.conv(x))) + x


class Net(nn.Module):
    def __init__(self, channels=8, depth=2):
        super().__init__()
        self.stem = nn.Sequential(layer.Conv2d(2, channels, 3, padding=1), neuron.LIFNode(tau=1.5))
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(depth)))
        self.head = nn.Sequential(layer.AvgPool2d(2), layer.Flatten(), layer.Linear(channels * 16, 3))
        self.out = neuron.IFNode()
        functional.set_step_mode(self, "m")

    def forward(self, x):
        return self.out(self.head(self.blocks(self.stem(x))))
"""
PARTS = """
import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn


class Net(nn.Sequential):
    def __init__(self, in_shape, classes, width=8):
        super().__init__(
            layer.Conv2d(in_shape[0], width, 3, padding=1),
            neuron.LIFNode(),
            layer.AvgPool2d(2),
            layer.Flatten(),
            layer.Linear(width * in_shape[1] * in_shape[2] // 4, classes),
            neuron.IFNode(),
        )
        functional.set_step_mode(self, "m")


def make(num_classes, width=8):
    conv, score = nn.Conv2d(1, width, 3, padding=1), nn.Linear(width * 16, num_classes)
    return nn.Sequential(conv, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), score)


class Bars(torch.utils.data.Dataset):
    classes = ["upper", "lower"]

    def __init__(self, count=160):
        rng = np.random.default_rng(0)
        self.y = rng.integers(0, 2, count)
        self.x = rng.random((count, 1, 8, 8), dtype=np.float32) * 0.3
        for x, y in zip(self.x, self.y):
            x[:, 4 * y : 4 * y + 4] += 0.7

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return torch.from_numpy(self.x[i]), int(self.y[i])
"""
RECIPE = """
name: mine
timesteps: 4
data: {name: parts.py:Bars, count: 200}
teacher: {name: parts.py:make, checkpoint: teacher.pt}
student: {name: parts.py:Net, width: 6}
method: {name: bkd, student_tap: "1", teacher_tap: "1", resize: pool}
train: {epochs: 6, batch_size: 16, lr: 0.02}
"""
RECORDINGS = """
name: mine
timesteps: 4
data: {name: event-folder, root: recordings, height: 128, width: 128, downsample: 8, binary: false}
student: {name: spiking-cnn, blocks: [{channels: 4, stride: 2}, {channels: 8, stride: 2}]}
method: {name: none}
train: {epochs: 12, batch_size: 8, lr: 0.02}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SNN_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", str(tmp_path / "nowhere"))
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def typed(command: str) -> None:
    """A line as it is typed."""
    name, *arguments = shlex.split(command)
    assert name == "snn-deploy"
    assert exit_code(arguments) == 0, command


def kit(bundle: str, script: str, *arguments: str) -> list[str]:
    """What a script of a bundle prints."""
    command = [sys.executable, "-W", "error", script, *arguments]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_network_of_their_own():
    """One command."""
    Path("my_net.py").write_text(NETWORK)
    space: dict = {}
    exec(NETWORK, space)
    torch.manual_seed(0)
    net = space["Net"](channels=6).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(1, 3)
            module.bias.data.uniform_(-0.2, 0.6)
        elif hasattr(module, "weight") and isinstance(module.weight, nn.Parameter):
            module.weight.data *= 3
    torch.save({"model": {f"module.{k}": v for k, v in net.state_dict().items()}, "epoch": 9}, "net.pt")
    x = np.random.default_rng(0).random((6, 12, 2, 8, 8)) < 0.4
    np.savez("test.npz", x=x.astype(np.float32), y=np.arange(12) % 3)

    typed("snn-deploy export my_net.py:Net --weights net.pt --arg channels=6 --data test.npz --to nir,onnx")

    manifest = json.loads(Path("my_net-bundle/manifest.json").read_text())
    assert manifest["verdict"] == "verified"
    first = manifest["parity"][0]
    assert first["against"] == "the module itself"
    assert [layer["differing"] for layer in first["layers"]] == [0] * 4
    assert manifest["input"]["values"] == {"kind": "binary", "low": 0.0, "high": 1.0, "stated": False}
    for script in ("run_nir.py", "run_onnx.py"):
        assert all(line.startswith("PASS") for line in kit("my_net-bundle", script))


def test_a_student_a_teacher_and_data_of_their_own():
    """A recipe of 7 lines, and two commands."""
    Path("parts.py").write_text(PARTS)
    Path("mine.yaml").write_text(RECIPE)
    assert len(RECIPE.strip().splitlines()) <= 15
    space: dict = {}
    exec(PARTS, space)
    torch.manual_seed(0)
    teacher, data = space["make"](2), space["Bars"]()
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    optimizer = torch.optim.Adam(teacher.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(teacher(x), y).backward()
        optimizer.step()
    torch.save(teacher.state_dict(), "teacher.pt")

    typed("snn-deploy distill mine.yaml --trust")
    typed("snn-deploy export runs/mine --to nir,onnx")

    result = json.loads(Path("runs/mine/result.json").read_text())
    assert result["data"]["classes"] == ["upper", "lower"]
    assert result["teacher"]["test_accuracy"] > 0.9 and result["student"]["test_accuracy"] > 0.9
    manifest = json.loads(Path("runs/mine/bundle/manifest.json").read_text())
    assert manifest["verdict"] == "verified" and manifest["classes"] == ["upper", "lower"]
    np.save("own.npy", np.repeat(data.x[None, :5], 4, 0))
    said = [
        line.split(":")[0] for line in kit("runs/mine/bundle", "run_onnx.py", str(Path("own.npy").resolve()))
    ]
    assert said == [data.classes[label] for label in data.y[:5]]


def test_recordings_of_their_own(capsys):
    """Files in a folder for each class, a recipe of 6 lines, and three commands."""
    rng = np.random.default_rng(0)
    for label, first in (("left", 0), ("right", 64)):
        place = Path("recordings") / label
        place.mkdir(parents=True)
        for number in range(20):
            t = np.sort(rng.integers(0, 40_000, 600))
            columns = (
                rng.integers(first, first + 64, 600),
                rng.integers(0, 128, 600),
                t,
                rng.integers(0, 2, 600),
            )
            events = [tuple(map(int, event)) for event in zip(*columns, strict=True)]
            (place / f"{number:02}.aedat").write_bytes(aedat2(events))
    Path("mine.yaml").write_text(RECORDINGS)

    typed("snn-deploy distill mine.yaml")
    typed("snn-deploy export runs/mine --to nir,onnx")
    capsys.readouterr()
    typed("snn-deploy stream runs/mine/bundle --events recordings/right/19.aedat --window 10000")

    assert "right" in capsys.readouterr().out
    result = json.loads(Path("runs/mine/result.json").read_text())
    assert result["data"]["classes"] == ["left", "right"] and result["student"]["test_accuracy"] > 0.9
    manifest = json.loads(Path("runs/mine/bundle/manifest.json").read_text())
    assert manifest["verdict"] == "verified"
    contract = manifest["input"]
    assert contract["made"]["sensor"] == [2, 128, 128] and contract["made"]["downsample"] == 8
    assert contract["values"] == {"kind": "counts", "low": 0.0, "high": 255.0, "stated": True}
    card = Path("runs/mine/bundle/README.md").read_text()
    assert "- Blocks of 8 x 8 pixels are joined to one." in card
    np.save("own.npy", np.full((4, 1, 2, 16, 16), 0.5))
    command = [sys.executable, "runs/mine/bundle/run_nir.py", "own.npy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "FAIL own.npy: has entries from 0.5 to 0.5, not all whole; due are whole numbers, 0 to 255 "
        "(see Input in README.md)\n"
    )
