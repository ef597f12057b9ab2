"""The figures of a report as Markdown, for a pull request or a model card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snn_deploy.core.text import markdown as escaped
from snn_deploy.report import format as fmt
from snn_deploy.report.model import ReportData
from snn_deploy.report.view.overview import headline, lede


def markdown(data: ReportData) -> str:
    """Accuracies, layers and energies of ``data``; names are printed as they are, never as markup."""
    parts = [f"# {escaped(data.header.title)}", escaped(lede(data))]
    if data.accuracies:
        rows = [(escaped(a.name), fmt.percent(a.fraction), fmt.number(a.samples)) for a in data.accuracies]
        parts.append(table(("accuracy", "", "samples"), rows))
    if data.activity is not None:
        parts.append(table(("layer", "neurons", "firing rate", "SOPs", "dense"), list(_layers(data))))
    if data.energy:
        parts.append(table(("energy per inference", "dynamic", "static"), list(_energy(data))))
    if data.warnings:
        parts.append("\n".join(f"- {escaped(warning)}" for warning in data.warnings))
    return "\n\n".join(parts) + "\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns but the first are numbers; cells are Markdown already."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))


def _layers(data: ReportData) -> Iterator[tuple[str, ...]]:
    assert data.activity is not None
    for layer in data.activity.layers:
        rate = fmt.DASH if layer.firing_rate is None else fmt.si(layer.firing_rate)
        counts = (fmt.number(layer.neurons), rate, fmt.si(layer.sops), fmt.si(layer.dense))
        yield escaped(layer.layer), *counts


def _energy(data: ReportData) -> Iterator[tuple[str, ...]]:
    for price in data.energy:
        static = fmt.span(price.static.energy, "J") if price.static else fmt.DASH
        yield escaped(price.profile), headline(price), static
