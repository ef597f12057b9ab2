"""No help, table or progress is wider than a terminal of 80 columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from snn_deploy.cli.progress import HEADER, _row
from snn_deploy.core.errors import known_names
from snn_deploy.distill.events import EpochDone

COMMANDS = [
    "distill",
    "sweep",
    "export",
    "convert",
    "check",
    "simulate",
    "stream",
    "report",
    "compare",
    "ls",
    "show",
    "cp",
    "validate",
    "doctor",
]
WIDTH = 80
SENTENCE = re.compile(r"(error|hint): |\w+ '[\w-]+': ")
"""What begins a sentence, which a terminal wraps by itself."""
STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def lines(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "snn_deploy", *arguments],
        env={**os.environ, "COLUMNS": str(WIDTH)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in {0, 2, 7}, done.stderr
    return STYLE.sub("", done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command):
    assert max(map(len, lines(*command.split(), "--help"))) <= WIDTH


@pytest.mark.parametrize(
    "command",
    [
        "ls",
        "ls recipes",
        "ls profiles",
        "show nmnist",
        "show samd_nld",
        "validate quickstart -o train.epoch=3 -o data.foo=1 -o student.neuron.kind=none",
        "validate quickstart digits-kd",
        "distill nosuch",
        "show nosuch",
        "export nosuch",
    ],
)
def test_output(command):
    rows = [line for line in lines(*command.split()) if not SENTENCE.match(line)]
    assert [row for row in rows if len(row) > WIDTH] == []


@pytest.mark.parametrize("phase", ["teacher", "student", "student for loihi2"])
def test_an_epoch_fits_as_a_line_and_as_a_row(phase):
    event = EpochDone(phase, 25, 25, 1.1013, 0.98984, 0.98882, best=True, seconds=87.2)
    assert len(str(event)) <= WIDTH
    assert len(_row(event)) <= WIDTH
    assert len(HEADER) <= WIDTH


def test_the_nearest_of_many_names_are_listed():
    many = [f"name-{i}" for i in range(60)]
    hint = known_names("nam-7", many, "snn-deploy ls")
    assert hint.startswith("Nearest: name-7, ")
    assert hint.endswith("; all 60: snn-deploy ls")
    assert hint.count(",") == 4
    assert known_names("x", ["a", "b"]) == "Known: a, b"
