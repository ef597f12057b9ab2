"""Deliberate faults on the way to Lava: each ends in an error that names it, and in its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from support.graphs import graph, lif

from snn_deploy.cli.main import exit_code
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.lava import client as lava
from snn_deploy.simulate.lava import jobs

Change = Callable[[h5py.File], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sound file as lava-dl writes it: input, conv, flatten, dense."""
    path = tmp_path / "sound.net"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as content:
        for position, kind in enumerate(["input", "conv", "flatten", "dense"]):
            group = content.create_group(f"layer/{position}")
            group.create_dataset("type", (1,), "S10", [kind.encode()])
        content["layer/0/shape"] = np.array([1, 4, 4])
        content["layer/1/shape"] = np.array([2, 3, 3])
        content["layer/1/weight"] = 2.0 * rng.integers(-10, 40, (2, 1, 2, 2)).astype(np.float32)
        content["layer/1/bias"] = np.float32([2, -2])
        content["layer/1/groups"] = 1
        content["layer/2/shape"] = np.array([18])
        content["layer/3/shape"] = np.array([3])
        content["layer/3/weight"] = 2.0 * rng.integers(-10, 40, (3, 18)).astype(np.float32)
        for position in (1, 3):
            neuron = content.create_group(f"layer/{position}/neuron")
            neuron["type"] = "CUBA"
            neuron["iDecay"], neuron["vDecay"], neuron["vThMant"] = 4096, 128, 80
    return path


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    np.savez(
        tmp_path / "x.npz", x=(np.random.default_rng(1).random((5, 2, 1, 4, 4)) < 0.5).astype(np.float32)
    )
    return ["--data", str(tmp_path / "x.npz")]


def _set(name: str, value: object, *, at: tuple[int, ...] | None = None) -> Change:
    """Replace a dataset, or the element ``at`` of one."""

    def change(content: h5py.File) -> None:
        if at is not None:
            values = content[name][()]
            values[at] = value
            content[name][...] = values
            return
        del content[name]
        content[name] = value

    return change


def _add(name: str, value: object) -> Change:
    return lambda content: content.__setitem__(name, value)


ZERO, ODD = np.zeros((3, 18), np.float32), np.float32([[3, -2] * 9] * 3)

CHECKED: dict[str, tuple[Change, int, str]] = {
    "a dense weight of 300": (_set("layer/3/weight", 300, at=(0, 0)), 3, "300; [-256, 254] fits"),
    "a conv weight of 300": (_set("layer/1/weight", 300, at=(0, 0, 0, 0)), 5, "300 8 bits, -256..254"),
    "an all-zero dense matrix": (
        _set("layer/3/weight", ZERO),
        3,
        "all weights are 0, which overflows",
    ),
    "an unknown layer": (_set("layer/2/type", np.array([b"faltten"], "S10")), 3, "Did you mean 'flatten'"),
    "a layer that netx lacks": (_set("layer/2/type", np.array([b"pool"], "S10")), 3, "layer type 'pool'"),
    "groups that are no scalar": (_set("layer/1/groups", np.array([1])), 3, "'groups' of shape (1,)"),
    "a bias beyond 16 bits": (_set("layer/1/bias", np.float32([40_000, 0])), 3, "biases are 16-bit integers"),
    "a bias beyond the chip": (_set("layer/1/bias", np.float32([5_000, 0])), 5, "13 bits, -4096..4095"),
    "a threshold beyond 24 bits": (_set("layer/3/neuron/vThMant", 1 << 25), 3, "0..2^24 - 1"),
    "a threshold beyond the chip": (_set("layer/3/neuron/vThMant", 140_000), 5, "17 bits, at most 131071"),
    "a decay beyond its range": (_set("layer/3/neuron/vDecay", 5_000), 3, "decays lie in 0..4096"),
    "weights of another layer": (_set("layer/3/weight", np.float32(np.ones((3, 17)))), 3, "18 neurons"),
    "delays in a conv": (_add("layer/1/delay", np.ones(2)), 3, "netx ignores silently"),
    "weights that are no integers": (_set("layer/3/weight", 0.5, at=(0, 0)), 3, "no integers"),
    "odd weights of mixed sign": (_set("layer/3/weight", ODD), 5, "odd weights of mixed sign"),
    "no shape of the input": (lambda content: _drop_input(content), 3, "conv without known input shape"),
    "text instead of weights": (_set("layer/3/weight", "text"), 7, "holds object instead of numbers"),
    "a weight that is not finite": (_set("layer/3/weight", np.nan, at=(0, 0)), 7, "not finite"),
    "weights in another file": (_set("layer/3/weight", h5py.ExternalLink("/etc/passwd", "/")), 7, "a link"),
    "a missing layer": (lambda content: content.__delitem__("layer/2"), 7, "misses 2"),
}


def _drop_input(content: h5py.File) -> None:
    del content["layer/0"]
    for position in (1, 2, 3):
        content.move(f"layer/{position}", f"layer/{position - 1}")


def _words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("fault", CHECKED)
def test_check_names_the_fault(fault: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, code, message = CHECKED[fault]
    with h5py.File(file, "a") as content:
        change(content)
    assert exit_code(["check", str(file), "--target", "loihi1,lava", "--json"]) == code
    assert message in _words(_findings(capsys.readouterr().out))


def _findings(printed: str) -> str:
    """What the JSON of a check or of an error names, as text."""
    content = json.loads(printed)
    if isinstance(content, dict):
        return " ".join(f"{p['where']} {p['what']} {p['rule']}" for p in content["problems"])
    found = [f for answer in content for f in answer["findings"] if f["state"] == "violated"]
    return " ".join(f"{f['where']} {f['found']} {f['limit']}" for f in found)


def test_the_sound_file_passes(file: Path, data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", str(file), "--target", "loihi1,lava"]) == 0
    assert exit_code(["simulate", str(file), *data]) == 0
    assert capsys.readouterr().err.splitlines() == ["Data: x.npz, 2 of 2 samples of 5 frames."]


def test_several_faults_are_in_one_table(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(file, "a") as content:
        _set("layer/3/weight", 300, at=(0, 0))(content)
        _set("layer/1/bias", np.float32([5_000, 0]))(content)
        _set("layer/1/neuron/vThMant", 140_000)(content)
    assert exit_code(["check", str(file), "--target", "loihi1"]) == 3
    shown = capsys.readouterr().out
    answers = [line.split() for line in shown.splitlines() if line.startswith("loihi1")]
    assert "runs in Lava simulation no" in " ".join(answers[0])
    assert "within the published limits does not fit" in " ".join(answers[1])
    table = shown[shown.index("what does not fit") :]
    for what in ("300", "bias 0..5000", "vThMant 140000"):
        assert what in table


def test_soft_reset_names_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = {"w": nir.Linear(np.ones((3, 4), np.float32)), "n": lif((3,))}
    made = graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], (4,), (3,))
    write_semantics(made, Semantics(reset="subtract"))
    write_nir(made, tmp_path / "soft.nir")
    assert exit_code(["check", str(tmp_path / "soft.nir"), "--target", "lava"]) == 3
    shown = _words(capsys.readouterr().out)
    assert "soft reset" in shown
    assert "hard reset" in shown


@pytest.mark.parametrize("command", [["check", "--target", "lava"], ["simulate"], ["report", "--out", "r"]])
def test_a_truncated_file(
    command: list[str], file: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(file.read_bytes()[:3000])
    verb, *options = command
    more = data if verb != "check" else []
    assert exit_code([verb, str(file), *options, *more]) == 7
    assert "is not a readable .net file" in _words(capsys.readouterr().err)


def test_input_that_is_no_spikes(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "half.npz", x=np.full((5, 2, 1, 4, 4), 0.5, np.float32))
    assert exit_code(["simulate", str(file), "--data", str(tmp_path / "half.npz")]) == 7
    assert "takes binary spikes" in _words(capsys.readouterr().err)


def _use_worker(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "worker.py").write_text(text)
    monkeypatch.setattr(jobs, "WORKER", folder / "worker.py")
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", sys.executable)


def test_a_hanging_worker(
    file: Path, data: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_worker(
        "import time\nprint('waiting for ever', flush=True)\ntime.sleep(600)", file.parent, monkeypatch
    )
    monkeypatch.setitem(lava.Lava.__init__.__kwdefaults__, "timeout", 1.5)
    assert exit_code(["simulate", str(file), *data, "--backend", "lava"]) == 6
    shown = _words(capsys.readouterr().err)
    assert "did not finish within 1.5 s and was stopped" in shown
    assert "waiting for ever" in shown


def test_a_crashing_worker(
    file: Path, data: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_worker("raise RuntimeError('the child has failed')", file.parent, monkeypatch)
    assert exit_code(["simulate", str(file), *data, "--backend", "lava"]) == 4
    shown = _words(capsys.readouterr().err)
    assert "exit status 1" in shown
    assert "the child has failed" in shown
