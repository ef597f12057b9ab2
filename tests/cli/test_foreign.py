"""NIR files from elsewhere through the commands: what they leave open, and for whom they are written."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest

from snn_deploy.cli.main import exit_code


@pytest.fixture
def data(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    x = (rng.random((6, 12, 4)) < 0.5).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=rng.integers(0, 3, 12))
    return str(tmp_path / "data.npz")


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Two layers as another tool writes them: no Input, no Output, no word about time."""
    rng = np.random.default_rng(1)

    def lif(size: int) -> nir.LIF:
        one = np.ones(size)
        return nir.LIF(tau=3e-3 * one, r=3 * one, v_leak=0 * one, v_threshold=one)

    nodes = {
        "a": nir.Linear(rng.normal(size=(8, 4)).astype(np.float32)),
        "b": lif(8),
        "c": nir.Linear(rng.normal(size=(3, 8)).astype(np.float32)),
        "d": lif(3),
    }
    net = nir.NIRGraph(nodes, [("a", "b"), ("b", "c"), ("c", "d")], metadata={}, type_check=False)
    nir.write(tmp_path / "theirs.nir", net)
    return str(tmp_path / "theirs.nir")


def manifest(path: Path) -> dict:
    return json.loads((path / "manifest.json").read_text())


def test_is_converted_and_says_what_was_assumed(
    file: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--to", "nir,onnx", "--for", "snntorch", "--data", data, "--out", str(out)]
    assert exit_code(["export", file, *arguments]) == 0
    written = manifest(out)
    assumed = written["provenance"]["assumed"]
    assert ["Input" in line or "Output" in line or "step is 0.001 s" in line for line in assumed] == [
        True
    ] * 3
    assert written["semantics"]["assumed"] == ["integrator", "fires_at", "reset"]
    assert {p["runtime"]: p["verdict"] for p in written["parity"]} == {
        "reference": "equal", "snntorch": "equal", "onnxruntime": "equal",
    }  # fmt: skip
    assert nir.read(out / "model.nir").nodes["b"].tau.tolist() == pytest.approx([3e-4] * 8)
    shown = capsys.readouterr().err
    assert all(line in shown for line in assumed)
    report = (out / "report" / "report.html").read_text()
    assert "The step is 0.001 s" in report


def test_can_be_told_its_time(file: str, data: str, tmp_path: Path) -> None:
    stated = ["--dt", "1e-4", "--integrator", "exponential", "--fires-at", ">=", "--reset", "subtract"]
    arguments = ["--to", "nir", "--data", data, "--out", str(tmp_path / "out")]
    assert exit_code(["export", file, *stated, *arguments]) == 3, "NIR cannot say this reset"
    allowed = [*arguments, "--allow", "reset-in-metadata"]
    assert exit_code(["export", file, *stated, *allowed]) == 0
    written = manifest(tmp_path / "out")
    semantics = written["semantics"]
    assert (semantics["dt"], semantics["integrator"], semantics["fires_at"], semantics["reset"]) == (
        1e-4, "exponential", ">=", "subtract",
    )  # fmt: skip
    assert semantics["assumed"] == []
    assert any("subtracts the threshold" in note for note in written["formats"]["nir"]["approximations"])
    assert exit_code(["simulate", file, *stated, "--data", data]) == 0
    assert exit_code(["check", file, *stated, "--target", "nir"]) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--integrator", "rk4", "--dt", "-1"], ["--integrator", "--dt", "euler or exponential"]),
        (["--allow", "reset-in-metdata"], ["unknown rule", "Did you mean 'reset-in-metadata'"]),
        (["--for", "norse", "--to", "onnx"], ["no NIR file is written", "--to nir"]),
        (["--for", "nengo", "--to", "nir"], ["no NIR flavour for 'nengo'", "spinnaker2"]),
        (["--nir-compat", "0.9", "--to", "nir"], ["version '0.9'", "1.0.4"]),
    ],
)
def test_options_that_are_wrong_are_named(
    arguments: list[str], says: list[str], file: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["export", file, "--data", data, *arguments]) == 2
    shown = capsys.readouterr().err
    assert all(text in shown for text in says), shown


def test_a_file_that_states_its_time_cannot_be_told_another(
    bundle_dir: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["check", str(bundle_dir / "model.nir"), "--target", "nir", "--dt", "0.5"]) == 2
    assert "the file says 0.0001" in capsys.readouterr().err
    assert exit_code(["report", str(run_dir), "--integrator", "exponential"]) == 2
    assert "Only a .nir file can be told its integrator" in capsys.readouterr().err


def test_a_student_goes_to_every_reader(run_dir: Path, tmp_path: Path) -> None:
    """Trained LIF neurons with hard reset and biases: Spyx cannot reset so, the others can."""
    for reader, code in (("norse", 0), ("sinabs", 0), ("spikingjelly", 0), ("spyx", 3)):
        arguments = ["--to", "nir", "--for", reader, "--samples", "8", "--out", str(tmp_path / reader)]
        assert exit_code(["export", str(run_dir), *arguments]) == code, reader
        if code == 0:
            verdicts = {p["runtime"]: p["verdict"] for p in manifest(tmp_path / reader)["parity"]}
            assert set(verdicts.values()) <= {"equal", "ties only"}, reader
            assert verdicts.get(reader, "equal") == "equal"
