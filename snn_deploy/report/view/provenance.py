"""Provenance: every constant with its source, the anchors a profile reproduces, and how numbers are made."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.hardware.units import UNITS
from snn_deploy.report import format as fmt
from snn_deploy.report.model import AnchorRow, Constant, ProfilePrice

FORMULAS = (
    (
        "SOPs by site",
        "sum over non-zero source elements of the number of targets each reaches; exact, integers, every "
        "edge, step and sample",
    ),
    ("SOPs by unit", "the same, each element weighted by its number of single events"),
    ("Dense", "all connections, times the number of steps"),
    ("Dynamic energy", "sum over layers and terms of (mean count per inference × energy of the term)"),
    (
        "Static energy",
        "(power per chip × chips + clock power) × time of one inference; never added to dynamic",
    ),
    ("Intervals", "bounds add: every term may err in the same direction"),
    ("Accuracy interval", "95 % score interval of a proportion (Wilson 1927)"),
)


@dataclass(frozen=True, slots=True)
class ConstantLine:
    """One constant as read by people."""

    term: str
    meaning: str
    value: str
    interval: str
    basis: str
    grade: str
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class AnchorLine:
    """One published measurement re-computed."""

    name: str
    estimate: str
    published: str
    error: str
    source: str


@dataclass(frozen=True, slots=True)
class ProfileProvenance:
    """All constants of one profile."""

    profile: str
    version: int
    scope: str
    constants: tuple[ConstantLine, ...]
    anchors: tuple[AnchorLine, ...]


def provenance_view(prices: tuple[ProfilePrice, ...]) -> tuple[ProfileProvenance, ...]:
    """One block per profile."""
    return tuple(
        ProfileProvenance(
            profile=price.profile,
            version=price.version,
            scope=price.scope.replace("_", " ").replace("+", " + "),
            constants=tuple(_constant(constant) for constant in price.constants),
            anchors=tuple(_anchor(anchor) for anchor in price.anchors),
        )
        for price in prices
    )


def _constant(constant: Constant) -> ConstantLine:
    source = [constant.citation, constant.where, f"doi:{constant.doi}" if constant.doi else ""]
    return ConstantLine(
        term=constant.term,
        meaning=constant.meaning,
        value=fmt.UNKNOWN
        if constant.value is None
        else fmt.span_in(constant.value, constant.unit, UNITS[constant.unit][1]),
        interval=constant.interval,
        basis=" at ".join(part for part in (constant.basis, constant.operating_point) if part) or fmt.DASH,
        grade=constant.grade or fmt.DASH,
        source=", ".join(part for part in source if part) or fmt.DASH,
        note=constant.note,
    )


def _anchor(anchor: AnchorRow) -> AnchorLine:
    sign = "+" if anchor.error >= 0 else fmt.MINUS
    return AnchorLine(
        name=anchor.name,
        estimate=fmt.span(anchor.estimate, anchor.unit),
        published=fmt.si(anchor.published, anchor.unit),
        error=f"{sign}{fmt.percent(abs(anchor.error))}",
        source=anchor.citation,
    )
