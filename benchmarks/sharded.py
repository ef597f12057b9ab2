"""``snn-deploy simulate`` in one process against two under ``torchrun``, a thread each.

    python benchmarks/sharded.py [--samples N] [--rounds N] [--markdown FILE]

The network is that of ``scaling.py`` in its base size but of width 64. The commands take turns; each is timed
whole, start and reading included, and so is one on two samples, which is nearly all start. Needs two cores
that nothing else uses: on a busy machine the clock tells how the others were pushed aside. CPU seconds, of
both processes together, tell what the second start costs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import Table, by_turns, conditions
from scaling import BASE, prepare

ROOT = Path(__file__).parents[1]
AIM = 1.7
"""Times as fast as one process."""
ONE = ("-m",)
TWO = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m")


def simulate(launcher: tuple[str, ...], network: Path, data: Path) -> str:
    """The command's figures."""
    command = [sys.executable, *launcher, "snn_deploy", "simulate", str(network), "--backend", "reference"]
    done = subprocess.run(
        [*command, "--data", str(data), "--samples", "all", "--json"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    size = BASE._replace(width=64, samples=options.samples)
    with tempfile.TemporaryDirectory() as folder:
        files = prepare(size, Path(folder) / "all")
        few = prepare(size._replace(samples=2), Path(folder) / "few")
        figures: list[object] = []
        works = {
            "one process": lambda: figures.append(json.loads(simulate(ONE, *files))),
            "two processes": lambda: figures.append(json.loads(simulate(TWO, *files))),
            "one process, start": lambda: simulate(ONE, *few),
            "two processes, start": lambda: simulate(TWO, *few),
        }
        least = by_turns(works, options.rounds)
        assert all(found == figures[0] for found in figures), "two processes must give the figures of one"
    notes = f"{conditions('torch', threads=1)} Load {os.getloadavg()[0]:.1f}; {options.samples} samples."
    table = Table("Samples divided among processes", notes, "", "seconds", "CPU seconds")
    for name, took in least.items():
        table.add(name, f"{took.wall:.2f}", f"{took.cpu:.2f}")
    whole = least["one process"].wall / least["two processes"].wall
    table.reach(f"two processes against one: {whole:.2f} times; to reach: {AIM}", whole >= AIM)
    table.close(options.markdown)


if __name__ == "__main__":
    main()
