"""The report of a sweep: the Pareto front as a table and a drawing, and every trial.

``sweep.md`` and ``sweep.html`` say the same; ``pareto.svg`` is the drawing alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from snn_deploy.core.files import write_text
from snn_deploy.core.text import visible
from snn_deploy.hardware.interval import Interval
from snn_deploy.recipes.run_folder import environment
from snn_deploy.report import format as fmt
from snn_deploy.report.build import shown
from snn_deploy.report.charts import LinearAxis, LogAxis
from snn_deploy.sweep.plan import Plan
from snn_deploy.sweep.study import Done

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 20, 52
"""Of the drawing and the margins around its axes, in pixels."""


def write_report(
    folder: Path, plan: Plan, trials: Sequence[Done], front: Sequence[Done], lost: int
) -> dict[str, Path]:
    """Write all three files into ``folder``; their paths by kind."""
    drawing = draw(trials, front, plan.profile)
    facts = list(_facts(plan, trials, lost))
    columns, rows = table(plan, front)
    every = [_row(plan, trial, trial in front) for trial in trials]
    template = resources.files("snn_deploy.sweep").joinpath("page.html").read_text()
    page = (
        jinja2.Environment(autoescape=True, finalize=shown)
        .from_string(template)
        .render(
            title=f"Sweep of {plan.recipe.name}",
            facts=facts,
            drawing=drawing,
            columns=columns,
            rows=rows,
            all_columns=["", *columns],
            every=every,
        )
    )
    texts = {
        "html": ("sweep.html", page),
        "md": ("sweep.md", _markdown(plan, facts, columns, rows, every)),
        "svg": ("pareto.svg", drawing + "\n"),
    }
    files = {kind: folder / name for kind, (name, _) in texts.items()}
    for kind, (_, text) in texts.items():
        write_text(files[kind], text)
    return files


def table(plan: Plan, trials: Sequence[Done]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of ``trials``."""
    columns = ["trial", "validation", "energy per inference", *short_names(plan.space), "seed"]
    return columns, [_row(plan, trial, None) for trial in trials]


def _row(plan: Plan, trial: Done, best: bool | None) -> list[str]:
    values = [_plain(trial.values.get(path)) for path in plan.space]
    figures = [trial.error, ""]
    if trial.accuracy is not None:
        figures = [fmt.percent(trial.accuracy, 2), fmt.span(Interval(**trial.energy), "J")]
    mark = [] if best is None else ["\u25cf" if best else ""]
    return [*mark, str(trial.number), *figures, *values, str(trial.seed)]


def short_names(paths: Iterable[str]) -> list[str]:
    """Each dotted path without as much of its beginning as leaves it different from the others."""
    every = [path.split(".") for path in paths]
    names = []
    for parts in every:
        for size in range(1, len(parts) + 1):
            tail = parts[-size:]
            if not tail[0].isdigit() and sum(other[-size:] == tail for other in every) == 1:
                break
        names.append(".".join(tail))
    return names


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _facts(plan: Plan, trials: Sequence[Done], lost: int) -> Iterable[tuple[str, str]]:
    failed = sum(trial.accuracy is None for trial in trials)
    yield (
        "recipe",
        f"{plan.recipe.name} ({plan.recipe.digest()[:16]}), method "
        + " + ".join(part.name for part in plan.recipe.method),
    )
    steps = "" if "timesteps" in plan.space else f", T = {plan.recipe.timesteps}"
    yield "data", plan.recipe.data.name + steps
    yield "accuracy", "on the validation split; the test split decided nothing"
    yield (
        "energy",
        f"dynamic, per inference, profile {plan.profile}, counted on up to {plan.samples} validation samples",
    )
    left_out = dict.fromkeys(reason for trial in trials for reason in trial.unknown)
    if left_out:
        yield "not priced", f"{'; '.join(left_out)}: every energy is a lower bound"
    yield "trials", f"{len(trials)}, {failed} of them failed; {lost} lost with their process and done again"
    yield "sampler", f"TPE for two objectives, seed {plan.seed}"
    packages = environment()["packages"]
    yield "made", f"{fmt.moment(environment()['time'])}, torch {packages['torch']}"


def draw(trials: Sequence[Done], front: Sequence[Done], profile: str) -> str:
    """Accuracy over energy as SVG: every trial a dot, the front dark and joined, with trial numbers."""
    good = [trial for trial in trials if trial.accuracy is not None]
    if not good:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
    energy = LogAxis.around([trial.energy["mid"] for trial in good], room=1.3)
    accuracy = LinearAxis.of_fractions([trial.accuracy or 0.0 for trial in good])

    def x(value: float) -> float:
        return round(LEFT + energy.at(value) / 100 * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - accuracy.at(value) / 100 * (HEIGHT - TOP - BOTTOM), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        'aria-label="validation accuracy over energy per inference" font-family="system-ui, sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for tick in accuracy.percent_ticks():
        at = round(HEIGHT - BOTTOM - tick.at / 100 * (HEIGHT - TOP - BOTTOM), 1)
        parts.append(f'<path d="M{LEFT} {at}H{WIDTH - RIGHT}" stroke="#e3e6ea"/>')
        parts.append(_text(LEFT - 8, at + 4, tick.label, "end"))
    for at_share, label in _energy_ticks(energy):
        at = round(LEFT + at_share / 100 * (WIDTH - LEFT - RIGHT), 1)
        parts.append(f'<path d="M{at} {TOP}V{HEIGHT - BOTTOM}" stroke="#e3e6ea"/>')
        parts.append(_text(at, HEIGHT - BOTTOM + 18, label, "middle"))
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(
        _text(middle, HEIGHT - 10, f"dynamic energy per inference, {profile} (central value)", "middle")
    )
    parts.append(_text(LEFT, 12, "validation accuracy", "start"))
    best = {trial.number for trial in front}
    parts += [
        f'<circle cx="{x(t.energy["mid"])}" cy="{y(t.accuracy or 0)}" r="4" fill="#a9b2bd"/>'
        for t in good
        if t.number not in best
    ]
    corners = [(x(t.energy["mid"]), y(t.accuracy or 0)) for t in front]
    steps = f"M{corners[0][0]} {corners[0][1]}" + "".join(f"H{a}V{b}" for a, b in corners[1:])
    parts.append(f'<path d="{steps}" fill="none" stroke="#0072b2" stroke-width="1.5"/>')
    for trial, (a, b) in zip(front, corners, strict=True):
        parts.append(f'<circle cx="{a}" cy="{b}" r="5" fill="#0072b2"/>')
        parts.append(_text(a - 8, b - 8, str(trial.number), "end", "#0072b2"))
    return "\n".join([*parts, "</svg>"])


def _energy_ticks(axis: LogAxis) -> list[tuple[float, str]]:
    """Powers of ten, and where less than two of them fit, round numbers between them too."""
    powers = [(tick.at, tick.label) for tick in axis.ticks("J", at_most=6)]
    if len(powers) > 1:
        return powers
    ticks = []
    for exponent in range(-18, 6):
        for digit in (1, 1.5, 2, 3, 4, 5, 6, 8):
            value = digit * 10.0**exponent
            if axis.low <= value <= axis.high:
                ticks.append((axis.at(value), fmt.si(value, "J")))
    return ticks[:: -(-len(ticks) // 6)] if ticks else powers


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#545c66") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{html.escape(visible(text))}</text>'


def _markdown(
    plan: Plan,
    facts: Sequence[tuple[str, str]],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    every: Sequence[Sequence[str]],
) -> str:
    lines = [f"# Sweep of {plan.recipe.name}", ""]
    lines += [f"- {name}: {_cell(what)}" for name, what in facts]
    lines += ["", "## Pareto front", "", "![validation accuracy over energy](pareto.svg)", ""]
    lines += _rows(columns, rows)
    lines += ["", "## All trials", ""]
    lines += _rows(["front", *columns], every)
    return "\n".join(lines) + "\n"


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table]


def _cell(text: str) -> str:
    return html.escape(visible(" ".join(text.split())), quote=False).replace("|", "\\|")
