"""Parity: one strip per exported file, one cell per layer, and the table behind it."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.core.text import proof_name, runtime_name
from snn_deploy.report import format as fmt
from snn_deploy.report.model import LayerParityRow, ParityRow
from snn_deploy.report.view.names import short_names
from snn_deploy.report.view.overview import Badge, badge


@dataclass(frozen=True, slots=True)
class Cell:
    """One layer of a strip; ``label`` is its short name."""

    label: str
    tone: str
    glyph: str
    title: str


@dataclass(frozen=True, slots=True)
class LayerCells:
    """One line of the table."""

    layer: str
    compared: str
    differing: str
    ties: str
    free: str
    first: str
    tone: str


@dataclass(frozen=True, slots=True)
class Check:
    """One exported file in one runtime."""

    title: str
    against: str
    badge: Badge
    figure: str
    detail: str
    cells: tuple[Cell, ...]
    rows: tuple[LayerCells, ...]


def parity_view(rows: tuple[ParityRow, ...]) -> tuple[Check, ...]:
    """All checks, in the order they were made."""
    return tuple(_check(row) for row in rows)


def _check(row: ParityRow) -> Check:
    against = row.against or ("the network" if row.reference == "network" else runtime_name(row.reference))
    labels = short_names([layer.layer for layer in row.layers])
    return Check(
        title=proof_name(row.format, row.runtime),
        against=f"against {against}" + (f", {fmt.number(row.samples)} samples" if row.samples else ""),
        badge=badge(row.verdict) or Badge("off", "–", row.verdict),
        figure=_figure(row),
        detail=_detail(row),
        cells=tuple(_cell(layer, row.exact, labels[layer.layer]) for layer in row.layers),
        rows=tuple(_line(layer, row.exact) for layer in row.layers),
    )


def _figure(row: ParityRow) -> str:
    if row.verdict == "not run":
        return row.reason or "not run"
    what = "spikes" if row.layers else "outputs"
    compared = f"{fmt.number(row.compared)} {what}"
    if row.exact:
        return f"{fmt.number(row.differing)} of {compared} differ"
    flips = sum(layer.differing for layer in row.layers) if row.layers else row.output_differing
    if not flips:
        return f"all {compared} equal"
    return f"{fmt.percent(1 - flips / row.compared, 2)} of {compared} equal"


def _detail(row: ParityRow) -> str:
    if row.verdict == "not run":
        return ""
    parts = []
    if row.ties:
        parts.append(f"{fmt.number(row.ties)} float tie" + "s" * (row.ties > 1))
    if row.samples:
        parts.append(f"same decision on {fmt.number(row.same_decision)} of {fmt.number(row.samples)}")
    if row.accuracy is not None and row.accuracy_reference is not None:
        before, after = fmt.percent(row.accuracy_reference), fmt.percent(row.accuracy)
        parts.append(f"accuracy {after}" if before == after else f"accuracy {before} → {after}")
    if row.verdict in {"failed", "equal"} and row.reason:
        parts.append(row.reason)
    return " · ".join(parts)


def _tone(layer: LayerParityRow, exact: bool) -> tuple[str, str]:
    if not exact:
        return ("drift", "≈") if layer.differing else ("ok", "✓")
    if layer.unexplained:
        return "bad", "✗"
    return ("warn", "≈") if layer.ties or layer.after_ties else ("ok", "✓")


def _cell(layer: LayerParityRow, exact: bool, label: str) -> Cell:
    tone, glyph = _tone(layer, exact)
    share = layer.differing / layer.compared if layer.compared else 0.0
    title = f"{layer.layer}: {fmt.number(layer.differing)} of {fmt.number(layer.compared)} spikes differ"
    if layer.differing:
        title += f" ({fmt.percent(share, 2)}); {fmt.number(layer.ties + layer.after_ties)} explained by ties"
    return Cell(label, tone, glyph, title)


def _line(layer: LayerParityRow, exact: bool) -> LayerCells:
    first = ""
    if layer.first is not None:
        step, sample, element = layer.first
        first = f"step {step + 1}, sample {sample}, element {element}"
    ties = layer.ties + layer.after_ties
    differing = layer.unexplained if exact else layer.differing
    return LayerCells(
        layer=layer.layer,
        compared=fmt.number(layer.compared),
        differing=fmt.number(differing),
        ties=fmt.number(ties),
        free=fmt.number(layer.free_differing),
        first=first or fmt.DASH,
        tone=_tone(layer, exact)[0],
    )
