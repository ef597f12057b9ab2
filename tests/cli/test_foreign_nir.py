"""NIR files as other frameworks write them, without a word of ours: to ONNX and Lava, or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import onnxruntime
import pytest
from oracles.nir_loops import simulate

from snn_deploy.cli.main import exit_code

DT, STEPS, SAMPLES = 1e-4, 10, 8


@pytest.fixture(autouse=True)
def _no_lava(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", str(tmp_path / "nowhere"))


def weights(*shape: int) -> np.ndarray:
    """On a grid of 1/8: sums are exact."""
    return (np.random.default_rng(sum(shape)).integers(-6, 10, shape) / 8).astype(np.float32)


def lif(*shape: int) -> nir.LIF:
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=2 * DT * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def write(
    folder: Path, nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], shape, out
) -> nir.NIRGraph:
    """Write ``net.nir`` with the NIR library, and ``x.npz`` beside it."""
    ends = {"input": nir.Input({"input": np.array(shape)}), "output": nir.Output({"output": np.array(out)})}
    graph = nir.NIRGraph({**ends, **nodes}, edges, type_check=False)
    nir.write(folder / "net.nir", graph)
    x = np.random.default_rng(0).random((STEPS, SAMPLES, *shape)) < 0.4
    np.savez(folder / "x.npz", x=x.astype(np.float32))
    return graph


def dense(folder: Path) -> nir.NIRGraph:
    """As snnTorch numbers the layers of a Sequential; the last is called like a tensor of ours."""
    nodes = {
        "0": nir.Affine(weights(20, 12), weights(20)),
        "1": lif(20),
        "2": nir.Linear(weights(4, 20)),
        "out": lif(4),
    }
    return write(
        folder, nodes, [("input", "0"), ("0", "1"), ("1", "2"), ("2", "out"), ("out", "output")], (12,), (4,)
    )


def residual(folder: Path) -> nir.NIRGraph:
    """Spikes of two layers add before a pool."""
    nodes = {
        "a": nir.Conv2d((6, 6), weights(3, 2, 3, 3), 1, 1, 1, 1, np.zeros(3, np.float32)),
        "b": lif(3, 6, 6),
        "c": nir.Conv2d((6, 6), weights(3, 3, 3, 3), 1, 1, 1, 1, np.zeros(3, np.float32)),
        "d": lif(3, 6, 6),
        "p": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "f": nir.Flatten({"input": np.array([3, 3, 3])}, 0, -1),
        "g": nir.Linear(weights(4, 27)),
        "h": lif(4),
    }  # fmt: skip
    edges = [
        ("input", "a"),
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("b", "p"),
        ("d", "p"),
        ("p", "f"),
        ("f", "g"),
    ]
    return write(folder, nodes, [*edges, ("g", "h"), ("h", "output")], (2, 6, 6), (4,))


def export(folder: Path, formats: str, *more: str) -> int:
    arguments = ["export", str(folder / "net.nir"), "--to", formats, "--data", str(folder / "x.npz")]
    return exit_code([*arguments, "--out", str(folder / "bundle"), *more])


@pytest.mark.parametrize("build", [dense, residual])
def test_becomes_onnx_and_lava(build, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = build(tmp_path)
    assert export(tmp_path, "onnx,lava", "--onnx", "step,scan,unrolled,step-int8") == 0
    shown = capsys.readouterr()
    assert "assumed" in shown.out + shown.err
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    verdicts = {(p["format"], p["runtime"]): p["verdict"] for p in manifest["parity"]}
    assert {verdicts[f"onnx {kind}", "onnxruntime"] for kind in ("step", "scan", "unrolled")} == {"equal"}
    assert verdicts["onnx step-int8", "onnxruntime"] in {"equal", "approximate"}
    assert verdicts["lava", "loihi"] in {"equal", "approximate"}
    assert verdicts["lava", "lava"] == "not run"
    assert {"dt", "integrator", "fires_at", "reset"} <= set(manifest["semantics"]["assumed"])
    kit = [sys.executable, "-W", "error", str(tmp_path / "bundle" / "run_onnx.py")]
    done = subprocess.run(kit, capture_output=True, text=True, check=False)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        f"PASS model.{name}.onnx" for name in ("step", "scan", "unrolled", "step-int8")
    ]
    x = np.load(tmp_path / "x.npz")["x"]
    walked = simulate(graph, x[:, :3], dt=DT, reset="zero")
    assert 0.02 < walked.mean() < 0.98
    session = onnxruntime.InferenceSession(str(tmp_path / "bundle" / "model.scan.onnx"))
    first = session.get_outputs()[0].name
    np.testing.assert_array_equal(session.run([first], {"x_seq": x[:, :3]})[0], walked)


def recurrent(folder: Path) -> nir.NIRGraph:
    """A loop over two populations, and a delay that differs within the layer."""
    nodes = {
        "w": nir.Linear(weights(5, 3)),
        "n": lif(5),
        "r": nir.Linear(weights(5, 5)),
        "late": nir.Delay(DT * np.array([0, 1, 2, 3, 4], np.float32)),
        "t": nir.Threshold(np.full(5, 0.5, np.float32)),
    }  # fmt: skip
    edges = [
        ("input", "w"),
        ("w", "n"),
        ("n", "r"),
        ("r", "n"),
        ("n", "late"),
        ("late", "t"),
        ("t", "r"),
        ("t", "output"),
    ]
    return write(folder, nodes, edges, (3,), (5,))


def test_what_one_format_cannot_say_the_other_can(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recurrent(tmp_path)
    assert export(tmp_path, "onnx,lava", "--json") == 3
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert all(problem["what"].startswith("[lava]") for problem in problems)
    assert [problem["where"] for problem in problems] == ["n"]
    assert "in a loop over several populations" in problems[0]["what"]
    assert not (tmp_path / "bundle").exists()
    assert export(tmp_path, "onnx", "--onnx", "step,scan,unrolled") == 0


def test_all_reasons_of_all_formats_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = recurrent(tmp_path)
    graph.nodes["n"].v_reset = np.array([0, 0, 0, 0, 0.25], np.float32)
    nir.write(tmp_path / "net.nir", graph)
    assert export(tmp_path, "onnx,lava", "--json") == 3
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert {problem["what"].split()[0] for problem in problems} == {"[onnx]", "[lava]"}
    assert any(p["where"] == "n" and "start values" in p["what"] for p in problems)


def test_data_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dense(tmp_path)
    assert exit_code(["export", str(tmp_path / "net.nir"), "--to", "onnx"]) == 2
    assert "--data" in capsys.readouterr().err
