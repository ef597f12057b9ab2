"""What lists, shows, checks or compares answers at once, and so does a wrong name: neither loads torch."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from snn_deploy import __version__
from snn_deploy.cli.main import exit_code
from snn_deploy.core import components
from snn_deploy.core.assets import asset_names
from snn_deploy.report.build import render_json
from snn_deploy.report.model import Header, ReportData

COMMANDS = [
    "distill",
    "sweep",
    "convert",
    "conform",
    "trace",
    "export",
    "check",
    "simulate",
    "report",
    "ls",
    "show",
    "cp",
    "validate",
    "doctor",
]
KINDS = ["recipes", "methods", "data", "students", "teachers", "formats", "backends", "profiles"]
LIGHT = [
    ("--help", 0),
    ("ls", 0),
    *((f"ls {kind}", 0) for kind in KINDS),
    ("show quickstart", 0),
    ("show loihi2", 0),
    ("show samd_nld", 0),
    ("validate quickstart", 0),
    ("compare a.json b.json", 0),
]
WRONG = [
    ("ls nosuch", 2),
    ("show nosuch", 2),
    ("validate nosuch", 2),
    ("distill nosuch", 2),
    ("sweep nosuch", 2),
    ("compare nosuch a.json", 7),
    ("convert nosuch", 7),
    ("export nosuch", 7),
    ("check nosuch --target loihi2", 7),
    ("simulate nosuch", 7),
    ("report nosuch", 7),
]
HEAVY = {"torch", "spikingjelly", "nir", "onnx", "onnxruntime", "h5py", "sklearn", "tensorboard", "optuna"}
RUN = """
import json, sys
from snn_deploy.cli.main import exit_code
for arguments, expected in json.loads(sys.argv[1]):
    code = exit_code(arguments)
    assert code == expected, (arguments, code)
    heavy = set(json.loads(sys.argv[2])) & set(sys.modules)
    assert not heavy, (arguments, heavy)
"""


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A folder with the reports ``a.json`` and ``b.json``."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(render_json(ReportData(header=Header(title=name, kind="nir"))))
    return tmp_path


def seconds(folder: Path, commands: list[tuple[list[str], int]], heavy: set[str] = HEAVY) -> float:
    """Processor time of a new process that runs ``commands``; none of ``heavy`` may be loaded in it."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands), json.dumps(sorted(heavy))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return used() - before


@pytest.mark.parametrize("commands", [LIGHT, WRONG], ids=["right", "wrong"])
def test_answers_without_torch(commands: list[tuple[str, int]], reports: Path) -> None:
    seconds(reports, [(command.split(), expected) for command, expected in commands])


@pytest.mark.parametrize("command", ["--help", "ls", "validate quickstart", "compare a.json b.json"])
def test_answers_at_once(command: str, reports: Path) -> None:
    enough = any(seconds(reports, [(command.split(), 0)]) <= 0.6 for _ in range(5))
    assert enough, "0.2 to 0.4 s on a free core; more beside another test"


def test_help_loads_hardly_anything(tmp_path: Path) -> None:
    seconds(tmp_path, [(["--help"], 0)], HEAVY | {"numpy", "pydantic", "yaml"})


def test_all_that_ships_is_shown_and_checked_without_torch(tmp_path: Path) -> None:
    tables = (
        components.METHODS,
        components.STUDENTS,
        components.TEACHERS,
        components.DATASETS,
        components.FORMATS,
    )
    shown = [(["show", name], 0) for table in tables for name in table]
    seconds(tmp_path, [*shown, (["validate", *asset_names("distill")], 0)])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([command, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"snn-deploy {__version__}\n"
