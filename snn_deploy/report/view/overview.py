"""The head of the page: what this is, the four figures that matter, and the conditions."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.report import format as fmt
from snn_deploy.report.model import ProfilePrice, ReportData

KINDS = {
    "run": "distillation run",
    "bundle": "deployment bundle",
    "nir": "NIR graph",
    "net": "lava-dl network",
    "module": "torch module",
    "conversion": "converted network",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A verdict: ``tone`` is ok, warn, bad or off; the glyph says the same without colour."""

    tone: str
    glyph: str
    text: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline figure; ``interval`` belongs to ``value`` and is never left out.

    ``origin`` is the key of its entry under provenance.
    """

    label: str
    value: str
    detail: str
    interval: str = ""
    tone: str = ""
    origin: str = "counts"


def badge(verdict: str | None) -> Badge | None:
    """The verdict of a bundle or of one check."""
    known = {
        "verified": Badge("ok", "✓", "verified"),
        "equal": Badge("ok", "✓", "equal"),
        "ties only": Badge("warn", "≈", "float ties only"),
        "approximate": Badge("drift", "≈", "approximate, as declared"),
        "not verified": Badge("warn", "?", "not verified"),
        "not shown": Badge("warn", "?", "not shown"),
        "failed": Badge("bad", "✗", "failed"),
        "not run": Badge("off", "–", "not run"),
    }
    return known.get(verdict) if verdict else None


def lede(data: ReportData) -> str:
    """One sentence that says what was looked at."""
    header = data.header
    parts = ["Spiking network"]
    if header.timesteps:
        steps = f"{header.timesteps} time step" + ("s" if header.timesteps > 1 else "")
        duration = f" of {fmt.seconds(header.step_seconds)}" if header.step_seconds else ""
        parts.append(f"with {steps}{duration}")
    text = " ".join(parts)
    if header.input_shape:
        text += f", input {fmt.shape(header.input_shape)}"
    if header.output_shape:
        text += f", output {fmt.shape(header.output_shape)}"
    if header.samples:
        of = ""
        if header.samples_available and header.samples_available != header.samples:
            of = f" of {fmt.number(header.samples_available)}"
        samples = f"{fmt.number(header.samples)}{of} {header.split} sample".replace("  ", " ")
        plural = "s" if (header.samples_available or header.samples) > 1 else ""
        text += f". Counted on {samples}{plural}"
        text += f" of {header.data}" if header.data else ""
    return text + "."


def tiles(data: ReportData) -> tuple[Tile, ...]:
    """Energy, accuracy, parity and activity, as far as they are known."""
    found = (_energy(data), _accuracy(data), _parity(data), _sops(data))
    return tuple(tile for tile in found if tile is not None)


def _accuracy(data: ReportData) -> Tile | None:
    student = next((a for a in data.accuracies if a.role == "student"), None)
    best = student or next((a for a in data.accuracies if a.role == "exported"), None)
    if best is None:
        return None
    teacher = next((a for a in data.accuracies if a.role == "teacher"), None)
    detail = f"{fmt.number(best.samples)} samples"
    if teacher is not None:
        detail = f"teacher {fmt.percent(teacher.fraction)} · {detail}"
    name = "Student accuracy" if student else "Accuracy"
    return Tile(name, fmt.percent(best.fraction), detail, origin="accuracy")


def _parity(data: ReportData) -> Tile | None:
    exact = [row for row in data.parity if row.exact and row.verdict != "not run"]
    if not exact:
        return None
    differing, ties = sum(row.differing for row in exact), sum(row.ties for row in exact)
    compared = sum(row.compared for row in exact)
    detail = f"of {fmt.number(compared)} compared in {len(exact)} exact check" + "s" * (len(exact) > 1)
    if ties:
        detail += f" · {fmt.number(ties)} float tie" + "s" * (ties > 1)
    failed = any(row.verdict == "failed" for row in exact)
    return Tile(
        "Differing spikes", fmt.number(differing), detail, tone="bad" if failed else "ok", origin="parity"
    )


def _sops(data: ReportData) -> Tile | None:
    activity = data.activity
    if activity is None:
        return None
    low, _, high = activity.sample_quantiles
    interval = f"(5–95 % of samples: {fmt.si(low)}–{fmt.si(high)})"
    spikes = activity.spikes / activity.neurons if activity.neurons else 0.0
    detail = f"per inference · {fmt.si(spikes)} spikes per neuron"
    return Tile("Synaptic operations", fmt.si(activity.sops), detail, interval=interval)


def leading(data: ReportData) -> ProfilePrice | None:
    """The price a person reads first: on the chip the network was made for, else on the first chip with a
    known energy, else of arithmetic; without a known one the target's, or the first."""
    known = [price for price in data.energy if price.dynamic is not None]
    target = [price for price in data.energy if price.profile == data.header.target]
    chips = [price for price in known if price.kind == "chip"]
    wanted = [price for price in target if price in known]
    return next(iter([*wanted, *chips, *known, *target, *data.energy]), None)


def _energy(data: ReportData) -> Tile | None:
    priced = leading(data)
    if priced is None:
        return None
    if priced.dynamic is None:
        name = priced.profile
        return Tile("Dynamic energy", fmt.UNKNOWN, f"no term known · {name}", origin=f"profile-{name}")
    target = data.header.target
    unknown = f" · {target}: no public number" if target and target != priced.profile else ""
    sign = "≥" + fmt.NARROW if priced.unknown else ""
    central = fmt.span(priced.dynamic, "J").split(" (")[0]
    return Tile(
        "Dynamic energy",
        sign + central,
        f"per inference · {priced.profile}{unknown}",
        interval=f"({fmt.bounds(priced.dynamic, 'J')})",
        origin=f"profile-{priced.profile}",
    )


def headline(price: ProfilePrice) -> str:
    """Dynamic energy of a profile with its interval in the same breath."""
    if price.dynamic is None:
        return fmt.UNKNOWN
    return ("at least " if price.unknown else "") + fmt.span(price.dynamic, "J")


def facts(data: ReportData) -> tuple[tuple[str, str], ...]:
    """Conditions and origin, name by name."""
    header = data.header
    pairs = [
        ("Network", header.title),
        ("Made from", KINDS[header.kind]),
        ("SHA-256", header.network_digest),
        ("Data", " · ".join(part for part in (header.data, header.split) if part)),
        ("Data digest", header.data_digest),
        ("Samples counted", fmt.number(header.samples) if header.samples else ""),
        *header.settings.items(),
        ("snn-deploy", header.tool_version),
        *((name, version) for name, version in header.packages.items() if name != "snn-deploy"),
        ("Created", fmt.moment(header.created)),
    ]
    return tuple((name, value) for name, value in pairs if value)
