"""Make the models of the shelf anew.

``python tests/support/shelf.py RUNS [NAME ...]`` trains what RUNS does not hold, then exports and
proves it into ``models/``.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

MODELS = Path(__file__).resolve().parents[2] / "models"


def make(name: str, command: str, runs: Path) -> None:
    """Run the commands of one model, which name its run ``RUN`` and its bundle ``BUNDLE``."""
    folder = MODELS / name
    if folder.exists():
        shutil.rmtree(folder)
    for line in command.strip().splitlines():
        words = [
            word.replace("RUN", str(runs / name)).replace("BUNDLE", str(folder)) for word in shlex.split(line)
        ]
        subprocess.run([sys.executable, "-m", *words], check=True)


if __name__ == "__main__":
    where, *wanted = sys.argv[1:]
    listed = yaml.safe_load((MODELS / "SHELF.yaml").read_text())
    for model, content in listed.items():
        if not wanted or model in wanted:
            make(model, content["command"].replace("snn-deploy", "snn_deploy"), Path(where))
