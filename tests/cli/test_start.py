"""``--help`` is fast and loads nothing heavy."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

from snn_deploy import __version__
from snn_deploy.cli.main import exit_code

COMMANDS = [
    "distill",
    "sweep",
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


def test_help_does_not_import_torch_and_is_quick() -> None:
    code = (
        "import sys\n"
        "from snn_deploy.cli.main import exit_code\n"
        "assert exit_code(['--help']) == 0\n"
        "heavy = {'torch', 'spikingjelly', 'nir', 'onnx', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    assert statistics.median(seconds) <= 0.6, "0.3 s on a free core; twice that beside another test"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([command, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"snn-deploy {__version__}\n"
