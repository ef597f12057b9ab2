"""How long commands take to answer that train and run nothing.

    python benchmarks/start.py [--rounds 5] [--short] [--markdown FILE]

Each command is a process of its own, by turns with the others: median and least time on the wall, least
processor time, and whether torch was loaded. ``--short`` takes only the commands with an aim.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import Seconds, Table, conditions, seconds

from snn_deploy.report.build import render_json
from snn_deploy.report.model import Header, ReportData

PROMPT = ("--help", "ls", "show quickstart", "validate quickstart", "compare a.json b.json")
AIM = 0.4
"""Seconds, at most, of each prompt command."""
COMMANDS = (
    *PROMPT,
    "ls methods",
    "show samd_nld",
    "show loihi2",
    "ls nosuch",
    "show nosuch",
    "validate nosuch",
    "distill nosuch",
    "export nosuch",
    "check nosuch --target loihi2",
    "simulate nosuch",
    "report nosuch",
    "compare nosuch a.json",
    *(f"{name} --help" for name in ("distill", "sweep", "export", "check", "simulate", "report", "doctor")),
)
LOADED = "import sys\nfrom snn_deploy.cli.main import exit_code\n{}\nprint('torch' in sys.modules)"


def main() -> None:
    """Time every command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a", "b"):
            report = ReportData(header=Header(title=name, kind="nir"))
            (Path(folder) / f"{name}.json").write_text(render_json(report))

        def run(*arguments: str) -> str:
            command = [sys.executable, *arguments]
            return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout

        times: dict[str, list[Seconds]] = {command: [] for command in (PROMPT if given.short else COMMANDS)}
        for _ in range(given.rounds):
            for command, found in times.items():
                found.append(seconds(lambda c=command: run("-m", "snn_deploy", *c.split())))
        note = f"{conditions('typer', 'pydantic', 'torch', threads=1)} Seconds, {given.rounds} rounds."
        table = Table("Time to answer", note, "command", "median", "least", "processor", "torch")
        for command, found in times.items():
            torch = run("-c", LOADED.format(f"exit_code({command.split()!r})")).splitlines()[-1] == "True"
            table.add(
                f"`{command}`",
                f"{statistics.median(one.wall for one in found):.2f}",
                f"{min(one.wall for one in found):.2f}",
                f"{min(one.cpu for one in found):.2f}",
                "loaded" if torch else "-",
            )
            if command in PROMPT:
                least = min(one.wall for one in found)
                table.reach(f"`{command}`: {least:.2f} s; to reach: at most {AIM} s", least <= AIM)
    table.close(given.markdown)


if __name__ == "__main__":
    main()
