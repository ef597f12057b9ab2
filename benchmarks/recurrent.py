"""What recurrence and learned delays give on real speech: the recipe ``speech-rsnn`` with and without them.

    python benchmarks/recurrent.py --root PATH/TO/JapaneseVowels --results FILE.md

The recipe's settings were chosen with both, on validation series. Test series are read once in each run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from bench import Table, conditions

import snn_deploy as sd

WAYS = {
    "both": (),
    "recurrence": ("student.longest_delay=0",),
    "delays": ("student.recurrent=false",),
    "neither": ("student.recurrent=false", "student.longest_delay=0"),
}


def accuracies(root: Path, overrides: tuple[str, ...], seeds: int) -> list[tuple[float, int]]:
    """Test accuracy in percent and number of parameters, seed by seed."""
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            recipe = sd.load_recipe("speech-rsnn", [*overrides, f"seed={seed}", f"data.root={root}"])
            student = sd.distill_student(recipe, Path(folder) / "run").result()["student"]
        found.append((100 * student["test_accuracy"], student["parameters"]))
    return found


def main() -> int:
    """Run every way with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(
        "Recurrence and learned delays on speech",
        f"{conditions('torch', 'spikingjelly', threads=1)} JapaneseVowels, 370 test series, T = 29; "
        f"{given.seeds} seeds. A series of the 370 is 0.27 points.",
        *("hidden layer with", "parameters", "test accuracy, mean", "deviation", "seeds"),
    )
    for name, overrides in WAYS.items():
        found = accuracies(given.root, overrides, given.seeds)
        percent = [accuracy for accuracy, _ in found]
        table.add(
            *(name, f"{found[0][1]:,}", f"{statistics.mean(percent):.1f} %"),
            *(f"{statistics.stdev(percent):.1f}", ", ".join(f"{value:.1f}" for value in percent)),
        )
    table.keep(given.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
