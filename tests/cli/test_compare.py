"""``compare`` and ``report --against``: output and exit codes, on a bundle made by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snn_deploy import compare_reports
from snn_deploy.cli.main import exit_code
from snn_deploy.core.errors import RegressionError


@pytest.fixture(scope="module")
def dearer(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's report with a tenth more energy under every profile."""
    content = json.loads((bundle_dir / "report" / "report.json").read_text())
    for price in content["energy"]:
        if price["dynamic"] is not None:
            price["dynamic"] = {key: value * 1.1 for key, value in price["dynamic"].items()}
    path = tmp_path_factory.mktemp("dearer") / "report.json"
    path.write_text(json.dumps(content))
    return path


def test_gate(bundle_dir: Path, dearer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate = ["--fail-if-energy-up", "5%"]
    assert exit_code(["compare", str(bundle_dir), str(bundle_dir), *gate]) == 0
    assert exit_code(["compare", str(dearer), str(bundle_dir), *gate]) == 0
    capsys.readouterr()
    assert exit_code(["compare", str(bundle_dir), str(dearer), *gate]) == 4
    shown = capsys.readouterr()
    assert "dynamic energy per inference" in shown.out
    assert "rose by more than 5.0" in shown.err
    assert "loihi1-davies" in shown.err
    assert exit_code(["compare", str(bundle_dir), str(dearer), "--fail-if-energy-up", "15 %"]) == 0
    assert exit_code(["compare", str(bundle_dir), str(dearer)]) == 0


@pytest.fixture(scope="module")
def worse(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's report with every accuracy five points lower."""
    content = json.loads((bundle_dir / "report" / "report.json").read_text())
    for accuracy in content["accuracies"]:
        accuracy["fraction"] -= 0.05
    path = tmp_path_factory.mktemp("worse") / "report.json"
    path.write_text(json.dumps(content))
    return path


def test_accuracy_gate(bundle_dir: Path, worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate = "--fail-if-accuracy-down"
    assert exit_code(["compare", str(bundle_dir), str(worse), gate, "5%"]) == 0
    assert exit_code(["compare", str(worse), str(bundle_dir), gate, "0%"]) == 0
    capsys.readouterr()
    assert exit_code(["compare", str(bundle_dir), str(worse), gate, "4.9%"]) == 4
    assert "accuracy, student" in capsys.readouterr().err
    assert exit_code(["compare", str(bundle_dir), str(worse), gate, "5", "--json"]) == 2


def test_accuracies_of_other_data_are_not_held_against_each_other(
    bundle_dir: Path, worse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(worse.read_text())
    content["header"]["data"] = "other"
    (tmp_path / "report.json").write_text(json.dumps(content))
    assert exit_code(["compare", str(bundle_dir), str(tmp_path), "--fail-if-accuracy-down", "50%"]) == 2
    content["header"], content["accuracies"] = json.loads(worse.read_text())["header"], []
    (tmp_path / "report.json").write_text(json.dumps(content))
    assert exit_code(["compare", str(bundle_dir), str(tmp_path), "--fail-if-accuracy-down", "50%"]) == 2
    assert "no accuracy to compare" in capsys.readouterr().err


def test_only_some_profiles(bundle_dir: Path, dearer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", str(bundle_dir), str(dearer), "--json", "--profile", "loihi1-davies"]
    assert exit_code(arguments) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["energies"]] == ["loihi1-davies"]
    assert exit_code([*arguments[:-1], "loihi1-davis"]) == 2
    assert "Did you mean 'loihi1-davies'" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("percent", ["5", "-1%", "much", "inf%", "nan%"])
def test_a_gate_without_a_percentage(bundle_dir: Path, percent: str) -> None:
    assert exit_code(["compare", str(bundle_dir), str(bundle_dir), "--fail-if-energy-up", percent]) == 2


def test_missing_report(bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["compare", str(bundle_dir), str(tmp_path)]) == 7
    assert "snn-deploy report" in capsys.readouterr().err


def test_json(bundle_dir: Path, dearer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["compare", str(bundle_dir), str(dearer), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in content["energies"]} >= {"horowitz-45nm-fp32", "loihi1-davies"}


def test_the_same_from_python(bundle_dir: Path, dearer: Path) -> None:
    assert all(c.relative == pytest.approx(0.1) for c in compare_reports(bundle_dir, dearer).energies)
    compare_reports(bundle_dir, dearer, most=0.15)
    with pytest.raises(RegressionError):
        compare_reports(bundle_dir, dearer, most=0.05)


def test_report_against_another(
    bundle_dir: Path, dearer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    arguments = ["report", str(bundle_dir), "--out", str(out), "--samples", "24", "--against", str(dearer)]
    assert exit_code([*arguments, "--format", "html,md,neurobench", "--measure"]) == 0
    shown = capsys.readouterr().out
    assert "against quick" in shown
    assert "RAPL" in shown
    assert {path.name for path in out.iterdir()} == {
        "report.html", "report.json", "report.md", "neurobench.json", "counts.npz",
    }  # fmt: skip
    page = (out / "report.html").read_text()
    assert "Against quick" in page
    assert "Does it fit the chip?" in page
    assert exit_code([*arguments, "--format", "htm"]) == 2
