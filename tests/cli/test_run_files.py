"""What makes a run no longer what was trained, and two commands at once in one run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
from support.kills import go
from support.tiny_runs import write_recipe

from snn_deploy.cli.main import exit_code
from snn_deploy.core.locks import locked
from snn_deploy.tasks.distill import distill_student

PROFILE = ("--profile", "horowitz-45nm-fp32")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def edit(file: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert exit_code(["distill", str(write_recipe(folder)), "--run-dir", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def negate(run: Path) -> None:
    file = run / "student.safetensors"
    weights = safetensors.torch.load_file(file)
    safetensors.torch.save_file({k: v if "var" in k else -v for k, v in weights.items()}, file)


def reword(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


SWAPPED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "weights": ("student.safetensors has changed since the run finished", negate),
    "recipe": (
        "recipe.yaml is not the recipe that was trained",
        lambda run: reword(run / "recipe.yaml", "seed: 0", "seed: 1"),
    ),
    "metrics": (
        "metrics.jsonl has changed since the run finished",
        lambda run: reword(run / "metrics.jsonl", '"best": true', '"best":  true'),
    ),
    "classes cut": (
        "result.json' is damaged",
        lambda run: edit(run / "result.json", lambda r: r["data"].update(classes=r["data"]["classes"][:1])),
    ),
    "classes reversed": (
        "result.json' is damaged",
        lambda run: edit(run / "result.json", lambda r: r["data"]["classes"].reverse()),
    ),
    "accuracy": (
        "result.json' is damaged",
        lambda run: edit(run / "result.json", lambda r: r["student"].update(test_accuracy=0.999)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SWAPPED)
@pytest.mark.parametrize("command", ["export", "check", "report"])
def test_a_run_that_is_not_what_it_was_is_refused(
    run: Path, what: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    says, change = SWAPPED[what]
    change(run)
    more = {"check": ["--target", "onnx"], "export": ["--to", "nir", *PROFILE]}
    assert exit_code([command, str(run), *more.get(command, PROFILE)]) == 7
    assert says in " ".join(capsys.readouterr().err.split())


def test_two_trainings_in_one_folder(trained: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resume = ["distill", str(trained / "tiny.yaml"), "--run-dir", str(run), "--resume"]
    with locked(run / ".lock", str(run)):
        before = tree(run)
        assert go(resume, None) == exit_code(resume) == 2
        assert "is in use by process" in capsys.readouterr().err
        assert tree(run) == before
    assert exit_code(resume) == 0


def test_two_trainings_that_start_at_once(trained: Path, tmp_path: Path) -> None:
    """One trains, the other one is refused, or finds the run finished; the result is that of one alone."""
    command = [sys.executable, "-m", "snn_deploy", "distill", str(trained / "tiny.yaml"), "--resume"]
    both = [
        subprocess.Popen([*command, "--run-dir", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 2], [0, 0]), said
    assert codes == [0, 0] or any("is in use by process" in text for text in said)
    for name in ("student.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / "run" / name).read_bytes()
    assert not list((tmp_path / "run").rglob(".*"))


def test_an_export_while_a_training_ends(trained: Path, tmp_path: Path) -> None:
    """It either says that the run has not finished, or exports what the finished run exports."""
    recipe, run = trained / "tiny.yaml", tmp_path / "run"
    codes: list[int] = []

    def look(event: object) -> None:
        out = tmp_path / f"bundle{len(codes)}"
        codes.append(exit_code(["export", str(run), "--to", "nir", "--out", str(out), *PROFILE]))

    distill_student(str(recipe), run, device="cpu", report=look)
    look(None)
    assert {*codes[:-1]} == {7}
    assert codes[-1] == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f"bundle{len(codes) - 1}", "run"]
