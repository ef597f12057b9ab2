"""One test for each exit code of the design, each through a real failure."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.cli.main import exit_code
from snn_deploy.export.c.runtime import CProgram
from snn_deploy.export.nir import NirWriter

QUICK = ["-o", "train.epochs=1", "-o", "teacher=null", "-o", "method={name: none}"]


def test_0_done() -> None:
    assert exit_code(["ls", "methods"]) == 0


def test_1_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snn_deploy.core.assets.asset_names", lambda kind: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        exit_code(["ls", "recipes"])
    done = subprocess.run(
        [sys.executable, "-c", "import snn_deploy.core.assets as a; a.asset_names = lambda k: 1 / 0\n"
         "from snn_deploy.cli.main import run; run(['ls', 'recipes'])"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1


def test_2_faults_in_a_recipe_are_all_shown(capsys: pytest.CaptureFixture[str]) -> None:
    faults = ["-o", "train.epochs=0", "-o", "method.alhpa=1", "-o", "student.name=spiking-cn"]
    assert exit_code(["distill", "quickstart", *faults]) == 2
    shown = capsys.readouterr().err
    assert all(where in shown for where in ("train.epochs", "method.alhpa", "student.name"))
    assert exit_code(["distill", "quickstart", *faults, "--json"]) == 2
    problems = {p["where"]: p["what"] for p in json.loads(capsys.readouterr().out)["problems"]}
    assert set(problems) == {"train.epochs", "method.alhpa", "student.name"}
    assert "Did you mean 'alpha'" in problems["method.alhpa"]
    assert "Did you mean 'spiking-cnn'" in problems["student.name"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["distil"],
        ["distill", "quickstart", "--nope"],
        ["distill", "quikstart"],
        ["export", ".", "--to", "onx"],
        ["export", ".", "--onnx", "scam"],
        ["simulate", ".", "--samples", "many"],
        ["show", "quikstart"],
    ],
)
def test_2_usage(arguments: list[str]) -> None:
    assert exit_code(arguments) == 2


def test_3_the_target_cannot_express_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "soft")
    soft = ["-o", "student.neuron.v_reset=null"]
    assert exit_code(["distill", "quickstart", *QUICK, *soft, "--run-dir", run]) == 0
    assert exit_code(["export", run, "--to", "lava"]) == 3
    shown = capsys.readouterr().err
    assert "block1.neuron" in shown
    assert "reset" in shown
    assert not (tmp_path / "soft" / "bundle").exists()


def test_4_parity(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = NirWriter.write

    def flawed(self: NirWriter, graph, folder, calibration):  # type: ignore[no-untyped-def]
        import copy

        wrong = copy.deepcopy(graph)
        node = wrong.nodes["block2.neuron"]
        node.v_threshold = node.v_threshold * 1.05
        return write(self, wrong, folder, calibration)

    monkeypatch.setattr(NirWriter, "write", flawed)
    out = tmp_path / "bundle"
    assert exit_code(["export", str(run_dir), "--to", "nir", "--samples", "8", "--out", str(out)]) == 4
    assert json.loads((out / "manifest.json").read_text())["verdict"] == "failed"
    shown = capsys.readouterr()
    assert "marked failed" in shown.err
    assert "block2.neuron" in shown.err
    layers = json.loads((out / "manifest.json").read_text())["parity"][0]["layers"]
    wrong = {layer["layer"] for layer in layers if layer["differing"]}
    assert wrong == {"block2.neuron"}, "the flips are counted where they happen, not downstream"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_4_the_c_code_must_fire_what_our_simulator_fires(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    assert exit_code(["export", str(run_dir), "--to", "c", "--samples", "8", "--out", str(out)]) == 0
    capsys.readouterr()
    simulate = ["simulate", str(out), "--backend", "c", "--samples", "8"]
    assert exit_code([*simulate, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["against"], told["spikes_differing"]) == ("loihi", 0)
    assert told["spikes_compared"] > 0
    run = CProgram.run

    def flawed(self: CProgram, x, **options):  # type: ignore[no-untyped-def]
        trace = run(self, x, **options)
        spikes = trace.records[self.layers[0]]
        spikes[1, 2, 0, 0, 3] = 1 - spikes[1, 2, 0, 0, 3]
        return trace

    monkeypatch.setattr(CProgram, "run", flawed)
    assert exit_code(simulate) == 4
    said = " ".join(capsys.readouterr().err.split())
    assert "1 spikes differ between the C code and our simulator" in said
    assert "at step 1 of sample 2, neuron 3" in said


def test_6_lava_is_not_installed(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", str(tmp_path / "nowhere" / "python"))
    out = tmp_path / "bundle"
    export = ["export", str(run_dir), "--to", "nir,lava", "--samples", "16", "--out", str(out)]
    assert exit_code(export) == 0
    parity = json.loads((out / "manifest.json").read_text())["parity"]
    lava = next(p for p in parity if p["runtime"] == "lava")
    assert lava["verdict"] == "not run"
    assert lava["reason"]
    assert exit_code(["simulate", str(out), "--backend", "lava", "--samples", "2"]) == 6


@pytest.mark.parametrize(
    ("missing", "judge", "verdict"),
    [
        (("snntorch",), "norse", "equal"),
        (("snntorch", "norse"), "snntorch", "not run"),
    ],
)
def test_a_nir_reader_that_is_missing_ends_no_export(
    missing: tuple[str, ...],
    judge: str,
    verdict: str,
    bundle_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next best reader takes its place; where there is none, that check alone was not run."""
    for name in [n for n in sys.modules if n.partition(".")[0] in missing] + list(missing):
        monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "bundle"
    file = [str(bundle_dir / "model.nir"), "--data", "digits-dvs", "--to", "nir"]
    assert exit_code(["export", *file, "--samples", "8", "--out", str(out)]) == 0
    own, foreign = json.loads((out / "manifest.json").read_text())["parity"]
    assert (own["runtime"], own["verdict"]) == ("reference", "equal")
    assert (foreign["runtime"], foreign["verdict"]) == (judge, verdict)
    with np.load(out / "example.npz") as example:
        assert sorted(example) == ["nir_out", "x"]


def test_7_missing_and_damaged(bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["export", str(tmp_path / "nowhere")]) == 7
    nmnist = ["-o", f"data.root={tmp_path}"]
    assert exit_code(["distill", "nmnist-tser", *nmnist, "--run-dir", str(tmp_path / "r")]) == 7
    damaged = tmp_path / "bundle"
    shutil.copytree(bundle_dir, damaged)
    (damaged / "model.nir").write_bytes((damaged / "model.nir").read_bytes()[:1000])
    (damaged / "model.scan.onnx").unlink()
    capsys.readouterr()
    assert exit_code(["simulate", str(damaged)]) == 7
    shown = capsys.readouterr().err
    assert "model.nir" in shown
    assert "model.scan.onnx" in shown
    assert exit_code(["export", str(damaged / "model.nir"), "--data", "digits-dvs"]) == 7


def test_7_a_full_disk_leaves_nothing_half_written(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.nir")

    monkeypatch.setattr("snn_deploy.export.bundle.write_json", full)
    out = tmp_path / "bundle"
    assert exit_code(["export", str(run_dir), "--to", "nir", "--samples", "4", "--out", str(out)]) == 7
    assert list(tmp_path.iterdir()) == []


def test_8_diverged(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert exit_code(["distill", "quickstart", *QUICK, "-o", "train.lr=1.0e+38", "--run-dir", str(run)]) == 8
    assert (run / "STATUS").read_text() == "failed\n"


def test_75_interrupted_and_resumable(tmp_path: Path) -> None:
    run = tmp_path / "run"
    slow = ["-o", "train.epochs=200", "-o", "teacher=null", "-o", "method={name: none}"]
    command = [sys.executable, "-m", "snn_deploy", "distill", "quickstart", *slow, "--run-dir", str(run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not _steps(run):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 75, shown
    assert "--resume" in shown
    assert (run / "STATUS").read_text() == "interrupted\n"


def test_interrupting_an_export_leaves_nothing(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("snn_deploy.export.bundle.prove_files", stop)
    out = tmp_path / "bundle"
    assert exit_code(["export", str(run_dir), "--to", "nir", "--samples", "4", "--out", str(out)]) == 130
    assert list(tmp_path.iterdir()) == []


def _steps(run: Path) -> bool:
    metrics = run / "metrics.jsonl"
    return metrics.is_file() and metrics.stat().st_size > 0
