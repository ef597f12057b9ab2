"""How early the network could decide, and what it takes for what."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from snn_deploy.core.early_exit import NEAR
from snn_deploy.report import format as fmt
from snn_deploy.report.charts import Plot, level
from snn_deploy.report.model import ReportData
from snn_deploy.report.shown import Decisions

MATRIX = 20
"""Up to so many classes are shown as a matrix; our choice."""
LISTED = 12


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One class: its row of counts with colour levels, and its accuracy with the interval in words."""

    name: str
    cells: tuple[tuple[str, int, bool], ...]
    accuracy: str
    share: float
    samples: str


@dataclass(frozen=True, slots=True)
class DecisionsView:
    """Curves over steps; a matrix for few classes, the worst classes and pairs for many."""

    steps: int
    shares: Plot
    sops: Plot | None
    verdict: str
    columns: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    worst: tuple[MatrixRow, ...]
    pairs: tuple[str, ...]
    samples: str


def decisions_view(data: ReportData) -> DecisionsView | None:
    """The view; None where nothing is decided."""
    found = data.decisions
    if found is None:
        return None
    series = (
        ("accuracy", "validation", found.accuracy),
        ("decision settled", "training", found.settled),
    )
    sops = _sops(data, found)
    names = [_name(found, k) for k in range(found.classes)]
    rows = _rows(found, names)
    small = found.classes <= MATRIX
    return DecisionsView(
        steps=found.steps[-1],
        shares=Plot.of_fractions(series),
        sops=Plot.from_zero("sum of synaptic operations", "loss", sops) if sops else None,
        verdict=_verdict(found, sops),
        columns=tuple(names) if small and rows else (),
        rows=rows if small else (),
        worst=() if small else _worst(found, rows),
        pairs=tuple(_pairs(found, names)),
        samples=fmt.number(found.samples),
    )


def _name(found: Decisions, number: int) -> str:
    return found.names[number] if found.names else str(number)


def _sops(data: ReportData, found: Decisions) -> list[float]:
    """Synaptic operations up to each of the steps looked at."""
    if data.activity is None or not data.activity.sops_by_step:
        return []
    summed = list(accumulate(sum(column) for column in zip(*data.activity.sops_by_step, strict=True)))
    return [summed[step - 1] for step in found.steps] if len(summed) >= found.steps[-1] else []


def _verdict(found: Decisions, sops: list[float]) -> str:
    """The first step from which the accuracy stays within half a point of the last (the decisions, without
    labels: 99.5 % of them settled)."""
    values = found.accuracy or found.settled
    early = len(values) - 1
    while early and abs(values[early - 1] - values[-1]) <= NEAR:
        early -= 1
    if early == len(values) - 1:
        return "It uses all its steps: stopped earlier, it decides differently."
    what = "accuracy is" if found.accuracy else "of the decisions are the last ones:"
    text = f"After {found.steps[early]} of {found.steps[-1]} steps {what} {fmt.percent(values[early])}"
    if found.accuracy:
        text += f", at the end {fmt.percent(values[-1])}"
    if sops and sops[-1]:
        text += f"; by then {fmt.percent(sops[early] / sops[-1], 0)} of the synaptic operations are done"
    return text + "."


def _rows(found: Decisions, names: list[str]) -> tuple[MatrixRow, ...]:
    counts = {(true, decided): n for true, decided, n in found.confused}
    most = max(counts.values(), default=1)
    rows = []
    for k, (correct, samples) in enumerate(found.per_class):
        cells = []
        for other in range(found.classes if found.classes <= MATRIX else 0):
            n = correct if other == k else counts.get((k, other), 0)
            shade = 0 if other == k else level(n, 1, max(most, 8), 8)
            cells.append((fmt.number(n) if n else "", shade, other == k))
        share = correct / samples if samples else 0.0
        rows.append(
            MatrixRow(
                name=names[k],
                cells=tuple(cells),
                accuracy=fmt.percent(share) if samples else fmt.DASH,
                share=round(100 * share, 1),
                samples=f"{fmt.number(correct)} of {fmt.number(samples)}",
            )
        )
    return tuple(rows)


def _worst(found: Decisions, rows: tuple[MatrixRow, ...]) -> tuple[MatrixRow, ...]:
    """Rows of the classes with the lowest accuracy, of those with samples."""
    seen = [row for row, (_, samples) in zip(rows, found.per_class, strict=False) if samples]
    return tuple(sorted(seen, key=lambda row: row.share)[:LISTED])


def _pairs(found: Decisions, names: list[str]) -> list[str]:
    if found.classes <= MATRIX:
        return []
    return [
        f"{names[true]} taken for {names[decided]}: {fmt.number(n)} of {fmt.number(found.per_class[true][1])}"
        for true, decided, n in found.confused[:LISTED]
    ]
