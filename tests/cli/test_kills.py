"""Commands that are killed at any moment: nothing lost, nothing left behind, nothing different."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.kills import KINDS
from support.processes import environment

FEW, MANY = 10, 100


def killed(kind: str, count: int, seed: int, cache: Path) -> str:
    """In a process of its own: it forks, which a process with threads should not."""
    done = subprocess.run(
        [sys.executable, "-m", "support.kills", kind, str(count), str(seed)],
        env=environment(cache),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_nothing_wrong(said: str) -> None:
    assert "lost=0, strays=0, different=0" in said, said


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_kills(kind: str, tmp_path: Path) -> None:
    assert_nothing_wrong(killed(kind, FEW, 0, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_kills(kind: str, tmp_path: Path) -> None:
    assert_nothing_wrong(killed(kind, MANY, 1, tmp_path))
