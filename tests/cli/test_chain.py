"""The main job through the commands: distil, export, simulate, report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from snn_deploy.cli.main import exit_code


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    capsys.readouterr()
    assert exit_code([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_finished_run_is_returned_as_it_is(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run_dir / "metrics.jsonl").read_bytes()
    quick = ["-o", "train.epochs=3", "-o", "teacher.train.epochs=2"]
    again = as_json(capsys, "distill", "quickstart", *quick, "--run-dir", str(run_dir), "--resume")
    assert again["student"]["test_accuracy"] > 0.5
    assert (run_dir / "metrics.jsonl").read_bytes() == before
    assert (run_dir / "STATUS").read_text() == "done\n"


def test_the_bundle_is_equal_in_every_runtime(bundle_dir: Path) -> None:
    manifest = json.loads((bundle_dir / "manifest.json").read_text())
    assert manifest["verdict"] == "verified"
    exact = [p for p in manifest["parity"] if p["exact"]]
    assert {(p["format"], p["runtime"]) for p in exact} >= {
        ("nir", "reference"),
        ("onnx step", "onnxruntime"),
        ("onnx scan", "onnxruntime"),
    }
    for parity in exact:
        assert parity["verdict"] in {"equal", "ties only"}, parity
        assert parity["differing"] == 0
        assert parity["compared"] > 100_000
    assert manifest["provenance"]["recipe"]["name"] == "quickstart"


@pytest.mark.parametrize("kit", ["run_nir.py", "run_onnx.py"])
def test_the_kits_run_without_the_package(bundle_dir: Path, kit: str) -> None:
    hide = (
        "import runpy, sys\n"
        "sys.modules['snn_deploy'] = None\n"
        "runpy.run_path(sys.argv.pop(), run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide, kit], cwd=bundle_dir, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout


@pytest.mark.parametrize("backend", ["reference", "onnxruntime"])
def test_simulation_agrees(bundle_dir: Path, backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = as_json(capsys, "simulate", str(bundle_dir), "--backend", backend, "--samples", "30")
    assert result["spikes_differing"] == 0
    assert result["same_decision"] == result["samples"] == 30
    assert result["accuracy"] == result["accuracy_reference"]


def test_the_report_counts_and_prices(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = as_json(capsys, "report", str(run_dir), "--samples", "16", "--out", str(tmp_path / "r"))
    assert content["activity"]["samples"] == 16
    assert {p["profile"] for p in content["energy"]} >= {"horowitz-45nm-fp32", "loihi1-davies", "loihi2"}
    assert (tmp_path / "r" / "report.html").is_file()


def test_a_nir_file_of_a_bundle_is_an_entry_point(bundle_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    arguments = [str(bundle_dir / "model.nir"), "--data", "digits-dvs", "--to", "nir,onnx", "--samples", "8"]
    assert exit_code(["export", *arguments, "--out", str(out)]) == 0
    assert json.loads((out / "manifest.json").read_text())["verdict"] == "verified"


def test_dry_run_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "run"
    content = as_json(capsys, "distill", "quickstart", "--dry-run", "--run-dir", str(target))
    assert "spiking-cnn" in content["student"]
    assert not target.exists()


def test_lists_and_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = as_json(capsys, "ls")
    assert {"recipes", "profiles", "methods"} <= set(everything)
    assert "quickstart" in {row["name"] for row in everything["recipes"]}
    mine = tmp_path / "mine.yaml"
    assert exit_code(["cp", "quickstart", str(mine)]) == 0
    assert exit_code(["validate", str(mine), "quickstart"]) == 0
    assert exit_code(["cp", "quickstart", str(mine)]) == 2, "never overwrites"
    for name in ("quickstart", "loihi1-davies", "tser", "digits-dvs"):
        assert exit_code(["show", name]) == 0
