"""Energy: profiles on one log axis with whiskers, then each profile layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.hardware.interval import Interval, total
from snn_deploy.report import format as fmt
from snn_deploy.report.charts import LogAxis, Tick
from snn_deploy.report.model import Activity, LayerEnergy, ProfilePrice
from snn_deploy.report.view.names import short_names
from snn_deploy.report.view.overview import headline
from snn_deploy.report.view.tornado import Tornado, tornado

GROUPS = ("synapses", "neurons", "routing", "memory")
EVIDENCE = {
    "solid": "measured, or derived from a measurement",
    "hatched": "simulated or projected",
    "hollow": "second-hand, vendor's claim, or basis not stated",
}
_STYLE = {"measured": "solid", "derived": "solid", "simulated": "hatched", "projected": "hatched"}


@dataclass(frozen=True, slots=True)
class Mark:
    """One interval on the shared axis: ``kind`` is dynamic, static or twin; ``evidence`` fills its band."""

    kind: str
    name: str
    evidence: str
    low: float
    mid: float
    high: float
    text: str
    title: str
    open_end: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """One profile of the comparison."""

    profile: str
    title: str
    marks: tuple[Mark, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a stacked bar, in percent of the highest upper bound."""

    group: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class LayerBar:
    """Dynamic energy of one layer."""

    layer: str
    label: str
    segments: tuple[Segment, ...]
    whisker: tuple[float, float] | None
    value: str
    share: str


@dataclass(frozen=True, slots=True)
class Detail:
    """One profile in full."""

    profile: str
    title: str
    conditions: str
    headline: str
    headline_detail: str
    static: str
    bars: tuple[LayerBar, ...]
    groups: tuple[str, ...]
    unknown: tuple[str, ...]
    twin: str
    validity: str
    excludes: str
    workloads: tuple[tuple[str, str], ...]
    tornado: Tornado | None


@dataclass(frozen=True, slots=True)
class EnergyView:
    """All profiles on one axis, and each in full."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    details: tuple[Detail, ...]
    evidence: tuple[tuple[str, str], ...]
    kinds: tuple[str, ...]


def energy_view(prices: tuple[ProfilePrice, ...], activity: Activity | None = None) -> EnergyView | None:
    """The energy blocks; None without prices."""
    if not prices:
        return None
    shown = [mark for price in prices for mark in _intervals(price)]
    axis = LogAxis.around([v for _, interval in shown for v in (interval.low, interval.high)], room=2.5)
    lanes = tuple(_lane(price, axis) for price in prices)
    used = {mark.evidence for lane in lanes for mark in lane.marks}
    kinds = {mark.kind for lane in lanes for mark in lane.marks}
    return EnergyView(
        lanes=lanes,
        ticks=axis.ticks("J"),
        details=tuple(_detail(price, activity) for price in prices),
        evidence=tuple((style, text) for style, text in EVIDENCE.items() if style in used),
        kinds=tuple(kind for kind in ("dynamic", "static", "twin") if kind in kinds),
    )


def _intervals(price: ProfilePrice) -> list[tuple[str, Interval]]:
    found = [("dynamic", price.dynamic)]
    found.append(("static", price.static.energy if price.static else None))
    found.append(("twin", price.twin.energy if price.twin else None))
    return [(kind, interval) for kind, interval in found if interval is not None and interval.high > 0]


def _lane(price: ProfilePrice, axis: LogAxis) -> Lane:
    names = {"dynamic": "dynamic", "static": "static", "twin": "twin"}
    marks = []
    for kind, interval in _intervals(price):
        partial = kind == "dynamic" and bool(price.unknown)
        text = ("≥" + fmt.NARROW if partial else "") + fmt.span(interval, "J")
        marks.append(
            Mark(
                kind=kind,
                name=names[kind],
                evidence=evidence(price, kind),
                low=axis.at(interval.low),
                mid=axis.at(interval.mid),
                high=axis.at(interval.high),
                text=text,
                title=f"{price.profile}, {names[kind]}: {text} per inference",
                open_end=partial,
            )
        )
    missing = []
    if price.dynamic is None:
        missing.append("dynamic energy unknown")
    if price.static is None and price.kind == "chip":
        missing.append(f"static energy: {price.static_unknown}")
    return Lane(price.profile, price.title, tuple(marks), tuple(missing))


def evidence(price: ProfilePrice, kind: str) -> str:
    """The weakest evidence among the constants behind a price: solid, hatched or hollow."""
    if kind == "static":
        used = {"static_per_chip", "static_per_core", "idle_clock_per_mhz"}
    elif kind == "twin":
        used = {"mac"}
    else:
        used = {t.term for layer in price.layers for t in layer.terms if t.energy and t.energy.high > 0}
    constants = [c for c in price.constants if c.term in used and c.value is not None]
    styles = {"hollow" if c.grade == "C" else _STYLE.get(c.basis, "hollow") for c in constants}
    return next((style for style in ("hollow", "hatched") if style in styles), "solid")


def _detail(price: ProfilePrice, activity: Activity | None) -> Detail:
    peak = max((layer.energy.high for layer in price.layers if layer.energy is not None), default=0.0)
    labels = short_names([layer.layer for layer in price.layers])
    bars = tuple(_bar(layer, labels[layer.layer], peak, price.dynamic) for layer in price.layers)
    used = {segment.group for bar in bars for segment in bar.segments}
    static = f"{fmt.span(price.static.energy, 'J')} for {_static_basis(price)}" if price.static else ""
    return Detail(
        profile=price.profile,
        title=price.title,
        conditions=" · ".join(part for part in (price.conditions, price.precision) if part),
        headline=headline(price),
        headline_detail="dynamic energy per inference",
        static=static or price.static_unknown,
        bars=bars if peak else (),
        groups=tuple(group for group in GROUPS if group in used),
        unknown=price.unknown,
        twin=_twin(price),
        validity=price.validity,
        excludes=", ".join(price.excludes),
        workloads=tuple(
            (f"{w.name}: {', '.join(w.facts)}", f"{w.citation} [{w.grade}]") for w in price.workloads
        ),
        tornado=tornado(price, activity),
    )


def _static_basis(price: ProfilePrice) -> str:
    static = price.static
    if static is None:
        return ""
    chips = f"{static.chips} chip" + "s" * (static.chips > 1)
    return f"{static.basis} ({fmt.seconds(static.seconds)}) on {chips} of {fmt.span(static.power, 'W')}"


def _twin(price: ProfilePrice) -> str:
    if price.twin is None:
        return ""
    text = f"{fmt.span(price.twin.energy, 'J')} for {fmt.si(price.twin.macs)} dense multiply-accumulates"
    if price.twin.ratio is not None:
        text += f"; spiking : non-spiking = {fmt.ratio(price.twin.ratio)}"
    return text


def _bar(layer: LayerEnergy, label: str, peak: float, whole: Interval | None) -> LayerBar:
    if layer.energy is None or peak == 0:
        return LayerBar(layer.layer, label, (), None, fmt.UNKNOWN, "")
    segments, x = [], 0.0
    for group in GROUPS:
        energies = [t.energy for t in layer.terms if t.group == group and t.energy is not None]
        part = total(energies)
        width = 100 * part.mid / peak
        if width > 0:
            title = f"{layer.layer}, {group}: {fmt.span(part, 'J')}"
            segments.append(Segment(group, round(x, 3), round(width, 3), title))
            x += width
    share = layer.energy.mid / whole.mid if whole and whole.mid else 0.0
    return LayerBar(
        layer=layer.layer,
        label=label,
        segments=tuple(segments),
        whisker=(100 * layer.energy.low / peak, 100 * layer.energy.high / peak),
        value=fmt.span(layer.energy, "J"),
        share=fmt.percent(share, 0 if share >= 0.1 else 1),
    )
