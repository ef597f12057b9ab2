"""Independent readers and writers of recordings, in this environment or in one of their own.

``EVENT_JUDGES`` is the folder of a virtual environment with expelliarmus, aedat or dv-processing, which do
not have to fit with our packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def judged(package: str, code: str, *arguments: object) -> str:
    """What ``code`` prints where ``package`` is installed, or skip."""
    python = Path(os.environ["EVENT_JUDGES"]) / "bin" / "python" if "EVENT_JUDGES" in os.environ else None
    command = [str(python or sys.executable), "-c"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    probe = subprocess.run([*command, f"import {package}"], capture_output=True, env=clean, check=False)
    if probe.returncode:
        pytest.skip(f"the package {package} is not installed here, nor in the environment of EVENT_JUDGES")
    done = subprocess.run(
        [*command, code, *map(str, arguments)], capture_output=True, text=True, env=clean, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout
