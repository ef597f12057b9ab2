"""Which default an option of a method should have: the same student with each value, on validation data.

    python benchmarks/defaults.py norm
    SNN_DEPLOY_DATA=PATH python benchmarks/defaults.py lam --setting few-labels

Student, data, schedule and teacher are those of a setting of ``methods.py``, and so is the way of comparing:
seed by seed. A value is better than the default that stands first where the 95 % interval of its differences
(Student's t) is above zero. The test samples are read for the table, not for the decision.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from methods import Bench, choose, compare
from methods_settings import NONE, SETTINGS, Row, Setting
from methods_table import Interval, Outcome

MAPS = ("sample_minmax", "batch_minmax", "share")
LAMS = (0.1, 0.0, 0.01, 0.3, 1.0)


def trial(option: str, setting: Setting) -> Setting:
    """``setting`` with a row for each value of ``option``, the default first; ``none`` has no teacher."""
    if option == "norm":
        maps = setting.rows["samd_nld"].choices[0]
        rows = {f"norm {norm}": Row(({**maps, "norm": norm},)) for norm in MAPS}
        rows["nld alone"] = Row(({"name": "samd_nld", "samd": 0},))
    else:
        rows = {f"lam {lam}": Row(({"name": "tser", "lam": lam},)) for lam in LAMS}
    return replace(setting, rows={**rows, "none": NONE}, against=())


def lines(outcomes: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """Lines of the Markdown table."""
    default = next(iter(outcomes))
    found = [
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
            cells += [f"{statistics.mean(points):.2f}", "-" if name == default else str(Interval.of(less))]
        cells.append(f"{statistics.mean(100 * s['firing_rate'] for s in students):.1f}")
        found.append(f"| {' | '.join(cells)} |")
    return found


def main() -> None:
    """Train what is missing; print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("option", choices=["norm", "lam"])
    parser.add_argument("--setting", choices=sorted(SETTINGS), default="digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/defaults"), help="where the runs lie")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    bench = Bench(given.setting, trial(given.option, SETTINGS[given.setting]), given.runs, "cpu")
    bench.train_teacher(lambda event: None)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in bench.setting.rows}
    for name, outcome in compare(bench, choose(bench, list(outcomes)), given.seeds):
        outcomes[name].append(outcome)
    first = next(iter(outcomes.values()))[0].result
    sizes = first["data"]["samples"]
    told = (
        f"{date.today()}, {first['data']['name']}: {sizes['train']} samples train, {sizes['validation']} "
        f"choose epoch and value, {sizes['test']} are tested; {given.seeds} seeds. Means, and differences "
        "seed by seed with their 95 % intervals."
    )
    text = "\n".join([f"# Default of `{given.option}`", "", told, "", *lines(outcomes), ""])
    (given.results / f"{date.today()}-default-{given.option}-{given.setting}.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
