"""Chip fit: where the layers go, how full the cores are, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.report import format as fmt
from snn_deploy.report.blocks import ChipFit, FitFinding
from snn_deploy.report.view.overview import Badge

_BADGES = {
    "fits": Badge("ok", "✓", "fits"),
    "does not fit": Badge("bad", "✗", "does not fit"),
    "cannot tell": Badge("warn", "?", "cannot tell"),
}


@dataclass(frozen=True, slots=True)
class FitLine:
    """One layer; ``uses`` follow the columns of the table."""

    layer: str
    cores: str
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FindingLine:
    """Equal findings at several nodes share a line."""

    where: str
    found: str
    limit: str
    source: str
    try_instead: str


@dataclass(frozen=True, slots=True)
class FitView:
    """One chip."""

    profile: str
    chip: str
    badge: Badge
    headline: str
    scheme: str
    columns: tuple[str, ...]
    rows: tuple[FitLine, ...]
    findings: tuple[tuple[str, tuple[FindingLine, ...]], ...]


def fit_view(fits: tuple[ChipFit, ...]) -> tuple[FitView, ...]:
    """All chips, in the order of the profiles."""
    return tuple(_fit(fit) for fit in fits)


def _fit(fit: ChipFit) -> FitView:
    columns = tuple(dict.fromkeys(name for row in fit.rows for name in row.uses))
    titles = {
        "violated": "What does not fit",
        "unknown": "What nobody can tell",
        "changed": "What the chip changes",
    }
    grouped = ((title, _grouped(fit.findings, state)) for state, title in titles.items())
    return FitView(
        profile=fit.profile,
        chip=fit.chip,
        badge=_BADGES[fit.verdict],
        headline=_cores(fit),
        scheme=fit.scheme,
        columns=columns,
        rows=tuple(
            FitLine(row.layer, row.cores, tuple(_use(row.uses.get(name)) for name in columns))
            for row in fit.rows
        ),
        findings=tuple((title, lines) for title, lines in grouped if lines),
    )


def _cores(fit: ChipFit) -> str:
    if fit.cores is None:
        return ""
    low, high = fit.cores
    needed = f"at least {fmt.number(low)}" if high is None else fmt.number(low)
    if high is not None and high != low:
        needed += f" to {fmt.number(high)}"
    if fit.available is None:
        return f"{needed} cores"
    room = " or ".join(fmt.number(n) for n in dict.fromkeys(fit.available))
    share = f", {fmt.percent(fit.utilisation, 0)} of them" if fit.utilisation is not None else ""
    return f"{needed} of {room} cores{share}"


def _use(use: tuple[int, int | None] | None) -> str:
    if use is None:
        return fmt.DASH
    amount, available = use
    if not available:
        return fmt.number(amount)
    share = fmt.percent(amount / available, 0) if amount <= available else "too much"
    return f"{fmt.number(amount)} / {fmt.number(available)} ({share})"


def _grouped(findings: tuple[FitFinding, ...], state: str) -> tuple[FindingLine, ...]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for f in findings:
        if f.state == state:
            groups.setdefault((f.found, f.limit, f.source, f.try_instead), []).append(f.where)
    return tuple(FindingLine(", ".join(nodes), *key) for key, nodes in groups.items())
