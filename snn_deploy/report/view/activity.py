"""Activity: the table of layers, the heat map of layers and steps, and the spikes-per-synapse gauge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snn_deploy.report import format as fmt
from snn_deploy.report.charts import LogAxis, Tick, binned, level
from snn_deploy.report.model import Activity, LayerRow
from snn_deploy.report.view.names import short_names

LEVELS = 8
MAX_COLUMNS = 64
BREAK_EVEN = (0.15, 1.38)
"""Spikes per synapse and inference up to which a spiking network costs less than an efficient non-spiking
one, depending on its implementation: Dampfhoffer et al., IEEE TETCI 7(3), 2023."""


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One line of the table; ``share`` and ``rate_share`` are bar lengths in percent."""

    layer: str
    edges: str
    neurons: str
    rate: str
    rate_share: float
    spikes: str
    sops: str
    share: float
    share_text: str
    units: str
    dense: str
    density: str
    edge_class: str


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One cell: position and width in percent, colour level, and what it says."""

    x: float
    width: float
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One layer over the steps; ``label`` is its short name."""

    layer: str
    label: str
    cells: tuple[HeatCell, ...]
    total: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Total of one step; ``height`` in percent of the highest."""

    x: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Heat:
    """Layers x steps with the totals per step above."""

    rows: tuple[HeatRow, ...]
    bars: tuple[Bar, ...]
    peak: str
    steps: tuple[Tick, ...]
    legend: tuple[str, str]
    merged: int


@dataclass(frozen=True, slots=True)
class Gauge:
    """Spikes per synapse on a log axis, with the published break-even band."""

    value: str
    at: float
    band: tuple[float, float]
    ticks: tuple[Tick, ...]
    verdict: str


@dataclass(frozen=True, slots=True)
class ActivityView:
    """Everything about activity."""

    lines: tuple[LayerLine, ...]
    total: LayerLine
    heat: Heat
    gauge: Gauge
    remarks: tuple[str, ...]
    has_units: bool


def activity_view(activity: Activity | None) -> ActivityView | None:
    """The activity blocks; None without counts."""
    if activity is None:
        return None
    highest = max((layer.firing_rate or 0.0 for layer in activity.layers), default=0.0)
    return ActivityView(
        lines=tuple(_line(layer, activity, highest) for layer in activity.layers),
        total=_total(activity),
        heat=_heat(activity),
        gauge=_gauge(activity.sops_per_synapse),
        remarks=tuple(_remarks(activity)),
        has_units=any(e.units != e.sites for layer in activity.layers for e in layer.edges),
    )


def _remarks(activity: Activity) -> Iterator[str]:
    """What stands out, in sentences."""
    hottest = max(activity.layers, key=lambda layer: layer.sops, default=None)
    if hottest is not None and activity.sops:
        share = fmt.percent(hottest.sops / activity.sops, 0)
        yield f"{hottest.layer} does {share} of the synaptic operations."
    silent = [layer.layer for layer in activity.layers if layer.firing_rate == 0.0]
    if silent:
        yield f"Never spike on these samples: {', '.join(silent)}."
    edges = [edge for layer in activity.layers for edge in layer.edges]
    if graded := [edge.name for edge in edges if edge.units is not None and edge.units > edge.sites]:
        names = ", ".join(graded)
        yield f"Single events outnumber active elements at {names}; chips that send each one pay units."
    if analog := [edge.name for edge in edges if edge.units is None]:
        yield f"Takes real values, which event-driven chips cannot: {', '.join(analog)}."
    if activity.uncounted:
        yield f"No synapses, hence not counted: {', '.join(activity.uncounted)}."


def _line(layer: LayerRow, activity: Activity, highest: float) -> LayerLine:
    classes = [edge.edge_class + (" (pooled)" if edge.pooled else "") for edge in layer.edges]
    units = [edge.units for edge in layer.edges]
    share = layer.sops / activity.sops if activity.sops else 0.0
    rate = layer.firing_rate
    return LayerLine(
        layer=layer.layer,
        edges=", ".join(edge.name for edge in layer.edges if edge.name != layer.layer),
        neurons=fmt.number(layer.neurons) if layer.neurons else fmt.DASH,
        rate=fmt.DASH if rate is None else fmt.si(rate),
        rate_share=100 * rate / highest if rate and highest else 0.0,
        spikes=fmt.si(layer.spikes) if rate is not None else fmt.DASH,
        sops=fmt.si(layer.sops),
        share=100 * share,
        share_text=fmt.percent(share, 0 if share >= 0.1 else 1),
        units=_sum(units),
        dense=fmt.si(layer.dense),
        density=" / ".join(fmt.percent(edge.density) for edge in layer.edges) or fmt.DASH,
        edge_class=" + ".join(dict.fromkeys(classes)) or fmt.DASH,
    )


def _sum(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not values:
        return fmt.DASH
    return fmt.si(sum(known)) if len(known) == len(values) else fmt.DASH


def _total(activity: Activity) -> LayerLine:
    clocked = sum(layer.updates_clocked for layer in activity.layers if layer.firing_rate is not None)
    edges = [edge for layer in activity.layers for edge in layer.edges]
    return LayerLine(
        layer="whole network",
        edges="",
        neurons=fmt.number(activity.neurons),
        rate=fmt.si(activity.spikes / clocked) if clocked else fmt.DASH,
        rate_share=0.0,
        spikes=fmt.si(activity.spikes),
        sops=fmt.si(activity.sops),
        share=0.0,
        share_text="",
        units=_sum([edge.units for edge in edges]),
        dense=fmt.si(sum(edge.dense for edge in edges)),
        density="",
        edge_class="",
    )


def _heat(activity: Activity) -> Heat:
    rows, merged = binned(activity.sops_by_step, MAX_COLUMNS)
    columns = len(rows[0]) if rows else 0
    positive = [value for row in rows for value in row if value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    width = 100 / columns if columns else 100.0
    totals = [sum(column) for column in zip(*rows, strict=True)]
    peak = max(totals, default=0.0)
    told = [fmt.steps(i, merged, activity.timesteps, " (mean)") for i in range(columns)]
    labels = short_names([layer.layer for layer in activity.layers])
    return Heat(
        rows=tuple(
            HeatRow(
                layer=layer.layer,
                label=labels[layer.layer],
                cells=tuple(
                    HeatCell(
                        x=round(i * width, 4),
                        width=round(width, 4),
                        level=level(value, low, high, LEVELS),
                        title=f"{layer.layer}, {told[i]}: {fmt.si(value)} SOPs",
                    )
                    for i, value in enumerate(row)
                ),
                total=fmt.si(sum(layer_row)),
            )
            for layer, row, layer_row in zip(activity.layers, rows, activity.sops_by_step, strict=True)
        ),
        bars=tuple(
            Bar(
                x=round(i * width, 4),
                width=round(width, 4),
                height=round(100 * value / peak, 2) if peak else 0.0,
                title=f"{told[i]}: {fmt.si(value)} SOPs in all layers",
            )
            for i, value in enumerate(totals)
        ),
        peak=fmt.si(peak),
        steps=_step_ticks(columns, merged),
        legend=(fmt.si(low), fmt.si(high)),
        merged=merged,
    )


def _step_ticks(columns: int, merged: int) -> tuple[Tick, ...]:
    every = next(n for n in (1, 2, 4, 5, 8, 10, 16, 20, 32) if columns / n <= 16 or n == 32)
    return tuple(
        Tick(100 * (i + 0.5) / columns, str(i * merged + 1)) for i in range(columns) if i % every == 0
    )


def _gauge(value: float) -> Gauge:
    axis = LogAxis(min(0.005, value / 2) if value > 0 else 0.005, max(20.0, value * 2))
    low, high = BREAK_EVEN
    if value < low:
        verdict = "below every published break-even point"
    elif value > high:
        verdict = "above every published break-even point"
    else:
        verdict = "inside the band of published break-even points: it depends on the competitor"
    return Gauge(
        value=fmt.si(value),
        at=axis.at(value),
        band=(axis.at(low), axis.at(high)),
        ticks=axis.ticks(""),
        verdict=verdict,
    )
