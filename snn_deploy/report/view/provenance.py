"""Provenance: every constant with its source, the anchors a profile reproduces, and how numbers are made."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.hardware.units import UNITS
from snn_deploy.report import format as fmt
from snn_deploy.report.model import AnchorRow, Constant, ProfilePrice

FORMULAS: tuple[tuple[str, str, str], ...] = (
    (
        "accuracy",
        "Accuracy",
        "correct decisions over samples: teacher and student as trained, on the whole test split; exported "
        "files in their own runtimes, on the samples counted here. Interval: 95 % score interval of a "
        "proportion (Wilson 1927)",
    ),
    (
        "parity",
        "Differing spikes",
        "every spike of every layer, step and sample compared between the file in its runtime and its "
        "reference, each layer given the reference's own input; parity.csv of the bundle",
    ),
    (
        "counts",
        "SOPs by site",
        "sum over non-zero source elements of the number of targets each reaches; exact, integers, every "
        "edge, step and sample. Units: each element weighted by its number of single events. Dense: all "
        "connections, times the number of steps. Touched updates: neurons that received an event. All means "
        "per inference; counts.npz has them by step and sample",
    ),
    (
        "network",
        "The network",
        "nodes, shapes and parameters of the graph that was run; firing rates, synaptic operations, "
        "energies, proofs and chip fit are the figures of the other sections, layer by layer",
    ),
    (
        "recording",
        "See it run",
        "inputs, spikes and decisions of single samples in the reference simulator, one bit per neuron and "
        "step; report.json holds the same bits",
    ),
    (
        "decisions",
        "Decisions over steps",
        "class with the highest mean output up to each step (the output of the step itself, where the "
        "network is decoded by its last value), over all samples counted; reference simulator",
    ),
    (
        "exits",
        "Early exit",
        "each sample stopped with the first step whose confidence, the largest softmax of the scaled sum of "
        "outputs so far over T, reaches the threshold, and counted up to there; means over all samples",
    ),
    (
        "break-even",
        "Spikes per synapse",
        "synaptic operations per inference over connections; band of break-even points: Dampfhoffer et al., "
        "IEEE TETCI 7(3), 2023",
    ),
    (
        "energy",
        "Dynamic energy",
        "sum over layers and terms of (mean count per inference × energy of the term), from the constants "
        "above. Intervals: bounds add, every term may err in the same direction",
    ),
    (
        "static",
        "Static energy",
        "(power per chip × chips + power per core × cores + clock power) × time of one inference; never "
        "added to dynamic",
    ),
    (
        "swing",
        "What moves it",
        "the total with one term at its bounds and all others at their central values; input: terms that "
        "follow the synaptic operations, in proportion to their 5th and 95th percentile over the samples",
    ),
    (
        "measured",
        "Measured energy",
        "rise of the machine's own counter (RAPL, NVML) over a window of repeated inferences, divided by "
        "their number; interval: one update of the counter at either end",
    ),
    (
        "latency",
        "Time of a step",
        "samples one after the other, batch 1, on one thread, every step timed alone after two samples of "
        "warming up; median and 99th percentile. C takes its own time; ONNX Runtime and the reference with "
        "their call from Python. Of chips the real-time step of the profile, where it has one",
    ),
    (
        "fit",
        "Chip fit",
        "the chip's own memory formulas and published limits, each with its source beside it; snn-deploy "
        "check says the same",
    ),
    ("comparison", "Comparison", "the same figures of the other report.json, and their relative change"),
    ("training", "Training", "metrics.jsonl of the run, one value per epoch"),
    ("conditions", "Conditions", "manifest, recipe and environment of the run, as listed below"),
)
"""Key, name and text of every kind of number on the page; its elements name the key in ``data-from``."""


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
