"""The report in a terminal: readable at 80 columns, on a dark or light background, and through a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from snn_deploy.report import format as fmt
from snn_deploy.report.blocks import Comparison
from snn_deploy.report.model import ReportData
from snn_deploy.report.view.activity import activity_view
from snn_deploy.report.view.comparison import comparison_view
from snn_deploy.report.view.latency import latency_lines
from snn_deploy.report.view.measured import measured_view
from snn_deploy.report.view.overview import headline, lede
from snn_deploy.report.view.parity import parity_view

_STYLES = {"ok": "green", "warn": "yellow", "bad": "red", "drift": "blue", "off": "dim"}


def summary(data: ReportData) -> RenderableType:
    """Accuracies, parity, layers and energies of ``data``; names are printed as they are, never as markup."""
    parts: list[RenderableType] = [Text(data.header.title, style="bold"), Text(lede(data))]
    for block in (_accuracies(data), _parity(data), _layers(data), _energy(data)):
        if block is not None:
            parts += [Text(), block]
    if data.measured:
        parts += [Text(), *(Text(f"{meter}: {text}") for meter, text in measured_view(data.measured))]
    if data.latency:
        parts += [Text(), *(Text(line) for line in latency_lines(data))]
    if data.comparison is not None:
        parts += [Text(), comparison_tables(data.comparison)]
    if data.warnings:
        parts += [Text(), *(Text(f"! {warning}", style="yellow") for warning in data.warnings)]
    return Group(*parts)


def _table(*columns: tuple[str, str]) -> Table:
    """A table without lines; columns are (name, "left" or "right")."""
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for position, (name, justify) in enumerate(columns):
        right = justify == "right"
        table.add_column(
            name, justify="right" if right else "left", no_wrap=right, overflow="fold",
            header_style="bold", ratio=1 if position == 0 else None,
        )  # fmt: skip
    return table


def _accuracies(data: ReportData) -> Table | None:
    if not data.accuracies:
        return None
    table = _table(("accuracy", "left"), ("", "right"), ("samples", "right"))
    for row in data.accuracies:
        table.add_row(Text(row.name), fmt.percent(row.fraction), fmt.number(row.samples))
    return table


def _parity(data: ReportData) -> Table | None:
    if not data.parity:
        return None
    table = _table(("export", "left"), ("verdict", "left"), ("differing spikes", "right"), ("ties", "right"))
    for row, check in zip(data.parity, parity_view(data.parity), strict=True):
        verdict = Text(f"{check.badge.glyph} {row.verdict}", style=_STYLES[check.badge.tone])
        figure = fmt.DASH
        if row.verdict != "not run":
            figure = f"{fmt.number(row.differing)} of {fmt.number(row.compared)}"
        table.add_row(Text(check.title), verdict, figure, fmt.number(row.ties) if row.ties else fmt.DASH)
    return table


def _layers(data: ReportData) -> Table | None:
    view = activity_view(data.activity)
    if view is None:
        return None
    table = _table(
        ("layer", "left"), ("neurons", "right"), ("rate", "right"), ("SOPs", "right"), ("share", "right"),
        ("dense", "right"),
    )  # fmt: skip
    for line in view.lines:
        table.add_row(Text(line.layer), line.neurons, line.rate, line.sops, line.share_text, line.dense)
    total = view.total
    table.add_row(
        Text(total.layer, style="bold"), total.neurons, total.rate, total.sops, "", total.dense, style="bold"
    )
    return table


def _energy(data: ReportData) -> Table | None:
    if not data.energy:
        return None
    table = _table(("energy per inference", "left"), ("dynamic", "right"), ("static", "right"))
    for price in data.energy:
        static = fmt.span(price.static.energy, "J") if price.static else fmt.DASH
        table.add_row(Text(price.profile), headline(price).replace("at least ", "≥" + fmt.NARROW), static)
    table.caption = Text("\n".join(_remarks(data)), style="dim") if any(_remarks(data)) else None
    table.caption_justify = "left"
    return table


def _remarks(data: ReportData) -> Iterator[str]:
    for price in data.energy:
        if price.unknown and price.dynamic is not None:
            yield f"≥ {price.profile}: without {'; '.join(price.unknown)}"


def comparison_tables(comparison: Comparison) -> RenderableType:
    """What changed: figures, energies, and what cannot be compared."""
    view = comparison_view(comparison)
    parts: list[RenderableType] = [Text(f"against {comparison.other}", style="bold")]
    for title, lines in (("figure", view.figures), ("dynamic energy per inference", view.energies)):
        if not lines:
            continue
        table = _table((title, "left"), ("before", "right"), ("now", "right"), ("change", "right"))
        for line in lines:
            table.add_row(
                Text(line.name), line.before, line.after, Text(line.change, style=_STYLES[line.tone])
            )
        parts += [Text(), table]
    notes = [*comparison.conditions, *(f"{name}: not compared, {why}" for name, why in comparison.refused)]
    if notes:
        parts += [Text(), *(Text(f"! {note}", style="yellow") for note in notes)]
    return Group(*parts)
