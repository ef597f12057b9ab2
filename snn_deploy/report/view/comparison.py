"""This report against another one, line by line."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.report import format as fmt
from snn_deploy.report.blocks import Change, Comparison

NOTABLE = 0.005
"""Relative changes below this are shown without colour (our choice)."""


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One figure; ``tone`` is ok where it got better, bad where worse, off where it did not change."""

    name: str
    before: str
    after: str
    change: str
    tone: str


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """Figures and energies of both reports."""

    other: str
    figures: tuple[ChangeLine, ...]
    energies: tuple[ChangeLine, ...]
    notes: tuple[str, ...]


def comparison_view(comparison: Comparison) -> ComparisonView:
    """Lines as read by people."""
    return ComparisonView(
        other=comparison.other,
        figures=tuple(_line(change) for change in comparison.figures),
        energies=tuple(_line(change) for change in comparison.energies),
        notes=(
            *comparison.conditions,
            *(f"{name}: not compared, {why}" for name, why in comparison.refused),
        ),
    )


def _line(change: Change) -> ChangeLine:
    before, after = (_shown(value, change.kind) for value in (change.before, change.after))
    if change.before is None or change.after is None:
        return ChangeLine(change.name, before, after, fmt.DASH, "off")
    if change.kind == "fraction":
        points = 100 * (change.after - change.before)
        tone = "off" if abs(points) < 0.05 else "ok" if points > 0 else "bad"
        return ChangeLine(change.name, before, after, f"{fmt.signed(points)}{fmt.NARROW}points", tone)
    if change.relative is None:
        shown, tone = ("from nothing", "bad") if change.after else (fmt.change(0.0), "off")
        return ChangeLine(change.name, before, after, shown, tone)
    tone = "off" if abs(change.relative) < NOTABLE else "ok" if change.relative < 0 else "bad"
    return ChangeLine(change.name, before, after, fmt.change(change.relative), tone)


def _shown(value: float | None, kind: str) -> str:
    if value is None:
        return fmt.DASH
    if kind == "fraction":
        return fmt.percent(value)
    return fmt.si(value, "J" if kind == "energy" else "")
