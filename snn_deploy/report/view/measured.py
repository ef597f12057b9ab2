"""Energy of the machine that made the report, or why it was not measured."""

from __future__ import annotations

from snn_deploy.report import format as fmt
from snn_deploy.report.blocks import Measurement


def measured_view(rows: tuple[Measurement, ...]) -> tuple[tuple[str, str], ...]:
    """Name of the meter and what it showed, in a sentence."""
    return tuple((row.meter, _text(row)) for row in rows)


def _text(row: Measurement) -> str:
    if row.energy is None or row.idle is None or row.seconds is None:
        return f"not measured: {row.reason}"
    used, idle = fmt.span(row.energy, "J"), fmt.span(row.idle, "J")
    return (
        f"{used} per inference, of which {idle} also flow without work; "
        f"{row.what}, {fmt.number(row.inferences)} inferences of {fmt.seconds(row.seconds)}"
    )
