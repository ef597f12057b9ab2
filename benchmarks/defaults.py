"""Which default an option of a method should have: the same student with each value, on validation data.

    python benchmarks/defaults.py norm --data digits-dvs
    python benchmarks/defaults.py lam --data nmnist --root PATH/TO/NMNIST

Student, data, schedule and teachers are those of ``methods.py``, and so is the way of comparing: seed by
seed. A value is better than the default that stands first where the 95 % interval of its differences
(Student's t) is above zero. The test samples are read for the table, not for the decision.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from methods import TAPS, Bench, compare
from methods_table import Outcome
from scipy import stats

MAPS = {"norm": ("sample_minmax", "batch_minmax", "share")}
LAMS = (0.1, 0.0, 0.01, 0.3, 1.0)


def choices(option: str, data: str) -> dict[str, dict[str, Any]]:
    """The settings under their names in the table, the default first; ``none`` has no teacher."""
    maps, _ = TAPS[data]
    if option == "norm":
        found = {f"norm {norm}": {"name": "samd_nld", "norm": norm, **maps} for norm in MAPS["norm"]}
        found["nld alone"] = {"name": "samd_nld", "samd": 0}
    else:
        found = {f"lam {lam}": {"name": "tser", "lam": lam} for lam in LAMS}
    return {**found, "none": {"name": "none"}}


def interval(values: Sequence[float]) -> str:
    """Mean and half of the 95 % interval of the mean."""
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):+.2f} ± {half:.2f}"


def rows(outcomes: dict[str, list[Outcome]]) -> list[str]:
    """Lines of the Markdown table."""
    default = next(iter(outcomes))
    lines = [
        f"| setting | validation, % | against `{default}` | test, % | against it | firing rate, % |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    base = [one.result["student"] for one in outcomes[default]]
    for name, done in outcomes.items():
        students = [one.result["student"] for one in done]
        cells = [f"`{name}`"]
        for which in ("validation_accuracy", "test_accuracy"):
            points = [100 * student[which] for student in students]
            less = [100 * (s[which] - b[which]) for s, b in zip(students, base, strict=True)]
            cells += [f"{statistics.mean(points):.2f}", "-" if name == default else interval(less)]
        cells.append(f"{statistics.mean(100 * s['firing_rate'] for s in students):.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Train what is missing; print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("option", choices=["norm", "lam"])
    parser.add_argument("--data", choices=["digits-dvs", "nmnist"], default="digits-dvs")
    parser.add_argument("--root", type=Path, help="folder of the data, where they are your own download")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/defaults"), help="where the runs lie")
    parser.add_argument("-o", "--override", action="append", default=[], help="as of snn-deploy distill")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    bench = Bench(given, "cpu")
    bench.methods = choices(given.option, given.data)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in bench.methods}
    for name, outcome in compare(bench, list(bench.methods), given.seeds):
        outcomes[name].append(outcome)
    first = next(iter(outcomes.values()))[0].result
    sizes = first["data"]["samples"]
    told = (
        f"{date.today()}, {first['data']['name']}: {sizes['train']} samples train, {sizes['validation']} "
        f"choose epoch and value, {sizes['test']} are tested; {given.seeds} seeds. Means, and differences "
        "seed by seed with their 95 % intervals."
    )
    text = "\n".join([f"# Default of `{given.option}`", "", told, "", *rows(outcomes), ""])
    (given.results / f"{date.today()}-default-{given.option}-{given.data}.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
