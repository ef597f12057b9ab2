"""``trace``: from a script that made a network and its NIR file to the proof that we read it right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.snntorch_nets import dense, exported, leaky

from snn_deploy.cli.main import exit_code

CODE = """
import torch
from support.snntorch_nets import dense, leaky


def net(gain: float = 1.0):
    torch.manual_seed(0)
    made = dense(leaky, reset_mechanism="subtract", reset_delay=True)
    for parameter in made.parameters():
        parameter.data *= gain
    return made


nothing = torch.nn.Linear(3, 2)
"""
KNOWN = ["--shape", "12", "--timesteps", "7"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import torch

    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text(CODE)
    torch.manual_seed(0)
    exported(
        dense(leaky, reset_mechanism="subtract", reset_delay=True), tmp_path / "net.nir", torch.ones(1, 1, 12)
    )
    return tmp_path


def export(trace: str, *more: str) -> int:
    given = [
        "--from",
        "snntorch",
        "--trace",
        trace,
        "--data",
        "x.npz",
        "--to",
        "onnx",
        "--allow",
        "reset-in-metadata",
    ]
    return exit_code(["export", "net.nir", *given, *more])


@pytest.mark.usefixtures("folder")
def test_a_trace_proves_the_reading_and_catches_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    x = (np.random.default_rng(0).random((7, 5, 12)) < 0.4).astype(np.float32)
    np.savez("x.npz", x=x)
    assert exit_code(["trace", "my_net.py:net", "--data", "x.npz", "--timesteps", "7"]) == 0
    assert "--trace net.trace.npz" in capsys.readouterr().out
    with np.load("net.trace.npz") as kept:
        assert kept["x"].shape == (7, 4, 12)
    assert export("net.trace.npz", "--out", "right") == 0
    assert "The reading is proven" in Path("right/README.md").read_text()
    capsys.readouterr()
    assert export("net.trace.npz", "--reset", "zero", "--out", "wrong") == 4
    assert exit_code(["trace", "my_net.py:net", "--arg", "gain=1.5", *KNOWN, "--out", "other.npz"]) == 0
    assert export("other.npz", "--out", "wrong") == 4


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["my_net.py:net"], "--shape"),
        (["net.nir"], "is no code"),
        (["my_net.py:nothing", *KNOWN], "no neurons that are known"),
        (["my_net.py:net", *KNOWN, "--out", "my_net.py"], "exists"),
    ],
)
def test_what_cannot_be_traced(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["trace", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_random_spikes_are_those_of_the_seed() -> None:
    for out, seed in (("a.npz", "1"), ("b.npz", "1"), ("c.npz", "2")):
        assert exit_code(["trace", "my_net.py:net", *KNOWN, "--seed", seed, "--out", out]) == 0
    a, b, c = (np.load(f"{name}.npz")["x"] for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
