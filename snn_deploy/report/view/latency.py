"""Time beside energy: what was measured here by backend, and what is published of the chips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snn_deploy.report import format as fmt
from snn_deploy.report.blocks import StepLatency
from snn_deploy.report.model import ProfilePrice, ReportData
from snn_deploy.report.view.overview import headline

TIMES = ("1/s", "s", "ms", "us")
"""Units of published facts that say how long something takes."""


@dataclass(frozen=True, slots=True)
class TimeRow:
    """One machine in words: its step, an inference of T steps and its energy, and where the time is from."""

    name: str
    detail: str
    step: str
    inference: str
    energy: str
    source: str


@dataclass(frozen=True, slots=True)
class LatencyView:
    """Rows of this machine, then of chips; ``machine`` and ``steps`` say under which conditions."""

    rows: tuple[TimeRow, ...]
    machine: str
    steps: str


def latency_view(data: ReportData) -> LatencyView | None:
    """The view; None where no time was measured."""
    if not data.latency:
        return None
    steps = data.activity.timesteps if data.activity else data.header.timesteps or 1
    return LatencyView(
        rows=(*_machine(data, steps), *(_chip(p, steps) for p in data.energy if p.kind == "chip")),
        machine=data.latency[0].machine,
        steps=fmt.number(steps),
    )


def _machine(data: ReportData, steps: int) -> Iterator[TimeRow]:
    energy = next((m for m in data.measured if m.energy is not None), None)
    shown = fmt.span(energy.energy, "J") if energy is not None and energy.energy is not None else fmt.DASH
    for row in data.latency:
        yield TimeRow(
            name=row.what,
            detail="this machine",
            step=_step(row),
            inference=fmt.DASH if row.p50 is None else fmt.seconds(steps * row.p50),
            energy=shown if row.backend == "reference" else fmt.DASH,
            source=f"measured over {fmt.number(row.steps)} steps"
            if row.p50 is not None
            else f"not measured: {row.reason}",
        )


def _step(row: StepLatency) -> str:
    if row.p50 is None or row.p99 is None:
        return fmt.DASH
    return f"{fmt.seconds(row.p50)}, p99 {fmt.seconds(row.p99)}"


def _chip(price: ProfilePrice, steps: int) -> TimeRow:
    step = price.timestep_seconds
    return TimeRow(
        name=price.profile,
        detail=price.title,
        step=fmt.DASH if step is None else fmt.seconds(step),
        inference=fmt.DASH if step is None else fmt.seconds(steps * step),
        energy=headline(price),
        source="the profile's real-time step" if step is not None else _published(price),
    )


def _published(price: ProfilePrice) -> str:
    """What is known of the time of other networks on the chip."""
    known = [
        f"{workload.name}, {fact}"
        for workload in price.workloads
        for fact in workload.facts
        if fact.rpartition(" ")[2] in TIMES
    ]
    return f"no step time is published; {'; '.join(known)}" if known else "no step time is published"


def latency_lines(data: ReportData) -> Iterator[str]:
    """A line per backend, for a terminal."""
    for row in data.latency:
        if row.p50 is None:
            yield f"{row.what}: not measured: {row.reason}"
        else:
            yield f"{row.what}: {_step(row)} a step (batch 1, one thread, {fmt.number(row.steps)} steps)"
