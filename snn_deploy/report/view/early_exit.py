"""What stopping by confidence saves: accuracy against synaptic operations, and a row per threshold."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.core.early_exit import NEAR
from snn_deploy.report import format as fmt
from snn_deploy.report.charts import Plot
from snn_deploy.report.model import ReportData
from snn_deploy.report.shown import EarlyExit, ExitPoint

ROWS = 8


@dataclass(frozen=True, slots=True)
class ExitRow:
    """One threshold in words; ``own`` is that of the network."""

    at: str
    steps: str
    sops: str
    share: str
    accuracy: str
    own: bool


@dataclass(frozen=True, slots=True)
class ExitView:
    """The curve, its sentence, and a few of the thresholds."""

    verdict: str
    plot: Plot
    most: str
    accuracy: str
    rows: tuple[ExitRow, ...]


def exit_view(data: ReportData) -> ExitView | None:
    """The view; None where nothing can stop early."""
    found = data.early_exit
    if found is None:
        return None
    whole = found.points[-1]
    what = "accuracy" if whole.accuracy is not None else "decided as after the last step"
    return ExitView(
        verdict=_verdict(found),
        plot=_plot(found.points, what),
        most=fmt.si(whole.sops),
        accuracy=what,
        rows=tuple(_row(point, whole, found.at) for point in _listed(found)),
    )


def _value(point: ExitPoint) -> float:
    return point.settled if point.accuracy is None else point.accuracy


def _plot(points: tuple[ExitPoint, ...], name: str) -> Plot:
    """The values over the synaptic operations, which run from 0 to those of all steps."""
    most = points[-1].sops or 1.0
    series = [(name, "validation", [_value(point) for point in points])]
    return Plot.of_fractions(series, [100 * point.sops / most for point in points])


def _verdict(found: EarlyExit) -> str:
    """What the network's own threshold gives, else the least one that keeps the accuracy."""
    whole = found.points[-1]
    kept = [point for point in found.points if _value(point) >= _value(whole) - NEAR]
    point = next((p for p in found.points if p.at == found.at), kept[0])
    if point is whole:
        return "It needs all its steps: stopped when it is sure, it decides worse."
    own = "At its own threshold, a confidence of " if point.at == found.at else "Stopped at a confidence of "
    word = "decided alike" if whole.accuracy is None else "right"
    return (
        f"{own}{point.at:.3g}, it runs {point.steps:.1f} of {whole.steps:.0f} steps on average and spends "
        f"{fmt.percent(point.sops / whole.sops if whole.sops else 1.0, 0)} of the synaptic operations; "
        f"{fmt.percent(_value(point))} are {word}, {fmt.percent(_value(whole))} with all steps."
    )


def _listed(found: EarlyExit) -> list[ExitPoint]:
    """At most so many of the thresholds, evenly spread, the last and the network's own among them."""
    points = found.points
    places = {i * (len(points) - 1) // max(ROWS - 1, 1) for i in range(ROWS)}
    return [point for i, point in enumerate(points) if i in places or point.at == found.at]


def _row(point: ExitPoint, whole: ExitPoint, own: float | None) -> ExitRow:
    return ExitRow(
        at=f"{point.at:.4g}",
        steps=f"{point.steps:.2f}",
        sops=fmt.si(point.sops),
        share=fmt.percent(point.sops / whole.sops, 0) if whole.sops else fmt.DASH,
        accuracy=fmt.percent(_value(point)),
        own=point.at == own,
    )
