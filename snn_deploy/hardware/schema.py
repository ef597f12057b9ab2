"""Typed model of a chip profile; ``hardware_profiles/README.md`` explains the fields to people."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from snn_deploy.hardware.evidence import Grade, Model, Number, Positive
from snn_deploy.hardware.evidence import Source as Source
from snn_deploy.hardware.interval import Interval
from snn_deploy.hardware.limits import Limits
from snn_deploy.hardware.units import UNITS

Scope = Literal["per_term", "marginal+static", "all_in", "workload_anchor"]
Basis = Literal["measured", "simulated", "derived", "vendor", "projected", "unstated"]

BANDS: dict[Basis, float] = {
    "measured": 1.25,
    "simulated": 1.5,
    "derived": 1.5,
    "vendor": 2.0,
    "unstated": 2.0,
    "projected": 3.0,
}
"""Interval ``value / band .. value * band`` of a number whose source gives none (our choice); grade C: 3."""
SECOND_HAND_BAND = 3.0


class Term(Model):
    """One priced operation. ``value`` is None where no reliable number is public; ``note`` then says so."""

    value: Positive | None
    low: Positive | None = None
    high: Positive | None = None
    unit: str
    basis: Basis | None = None
    grade: Grade | None = None
    source: Source | None = None
    operating_point: str = ""
    includes: tuple[str, ...] = ()
    note: str = ""

    @property
    def band_by_rule(self) -> float | None:
        """The factor of :data:`BANDS` where the document states no interval, else None."""
        if self.low is not None or self.basis is None:
            return None
        return max(BANDS[self.basis], SECOND_HAND_BAND if self.grade == "C" else 1.0)

    def interval(self) -> Interval | None:
        """Value and bounds in SI units (J, W, W/MHz); None where the value is unknown."""
        if self.value is None:
            return None
        band = self.band_by_rule or 1.0
        low = self.value / band if self.low is None else self.low
        high = self.value * band if self.high is None else self.high
        return Interval(low, self.value, high) * UNITS[self.unit][1]


class Terms(Model):
    """All terms of a profile; see :data:`snn_deploy.hardware.units.TERMS` for their meaning."""

    sop: Term | None = None
    mac: Term | None = None
    neuron_active: Term | None = None
    neuron_inactive: Term | None = None
    spike_out: Term | None = None
    hop: Term | None = None
    weight_read_bit: Term | None = None
    state_rw_bit: Term | None = None
    static_per_chip: Term | None = None
    static_per_core: Term | None = None
    idle_clock_per_mhz: Term | None = None

    def present(self) -> dict[str, Term]:
        """The terms that the profile has, by name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: term for name, term in found.items() if term is not None}


class Memory(Model):
    """Widths in which weights and state are deployed, for chips that price memory traffic.

    Attributes:
        weight_bits: bits read per synaptic event.
        state_bits: bits of one neuron's state; read and written back at every access.
        state_access: ``event``: every event reads and writes the state of its target, and every update of a
            neuron does so again; ``update``: events gather elsewhere, only updates touch the state.
    """

    weight_bits: int = Field(ge=1, le=64)
    state_bits: int = Field(ge=1, le=256)
    state_access: Literal["event", "update"]


class Counting(Model):
    """Which counts a chip pays.

    Attributes:
        zero_weights: ``pay`` for connections whose weight is 0, or ``skip`` them.
        graded: an event of several units costs one sop per ``unit``, one sop per ``site``, or one ``mac`` per
            site; ``refuse`` where the chip cannot take it.
        pooled: the same for activity behind a pool.
        analog: a real-valued input costs a mac for every ``dense`` connection, a mac per non-zero ``site``,
            or is refused.
        neuron_update: ``clocked`` updates every neuron in every step; ``touched`` only those that received
            an event; ``none`` prices no updates.
        neuron_active: under ``clocked``, the updates that cost ``neuron_active``: of neurons that are
            ``spiking`` or were ``touched``.
        memory: widths of memory traffic; needed where its bits are priced.
    """

    zero_weights: Literal["pay", "skip"]
    graded: Literal["unit", "site", "mac", "refuse"]
    pooled: Literal["unit", "site", "mac", "refuse"]
    analog: Literal["dense", "site", "refuse"]
    neuron_update: Literal["clocked", "touched", "none"]
    neuron_active: Literal["spiking", "touched"] = "spiking"
    memory: Memory | None = None


class OperatingPoint(Model):
    """Conditions under which the terms hold."""

    supply_v: Positive | None = None
    temperature_c: Number | None = None
    clock_mhz: Positive | None = None
    note: str = ""


class Fact(Model):
    """One figure of a measured workload."""

    what: str
    value: Number
    unit: str


class Anchor(Model):
    """A published measurement that the profile's own terms must reproduce.

    ``quantities`` says how often each term occurs in ``seconds`` (chips for static power, MHz for an idle
    clock); the estimate is compared with ``published``
    (an energy, or a power over those seconds) and must err by ``error`` (a signed fraction, stated so that a
    changed number is noticed).
    """

    name: str
    quantities: dict[str, Positive] = Field(min_length=1)
    seconds: Positive = 1.0
    published: Fact
    error: Annotated[float, Field(strict=True, ge=-0.25, le=0.25)]
    source: Source
    note: str = ""


class Workload(Model):
    """A measured workload on this chip, to hold an estimate against; not reproducible from terms."""

    name: str
    facts: tuple[Fact, ...] = Field(min_length=1)
    grade: Grade
    source: Source
    note: str = ""


class RateRange(Model):
    """Synaptic events per second between which an all-in figure was measured."""

    low: Positive
    high: Positive


class Profile(Model):
    """A chip (or an arithmetic reference) at one operating point.

    Attributes:
        kind: ``arithmetic`` prices operations without any machine around them: for comparisons only.
        scope: ``per_term``; ``marginal+static`` (cost of one more event plus idle power); ``all_in`` (chip
            power divided by event rate: holds only near ``valid_rate``); ``workload_anchor`` (nothing but
            measured workloads is known).
        timestep_seconds: the real-time step the chip usually runs at, None where there is none.
    """

    schema_version: Literal[1]
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.+_-]*$", max_length=60)
    version: int = Field(ge=1)
    checked_on: date
    title: str
    chip: str
    process: str
    precision: str
    kind: Literal["chip", "arithmetic"]
    scope: Scope
    operating_point: OperatingPoint
    timestep_seconds: Positive | None = None
    validity: str = Field(min_length=20)
    excludes: tuple[str, ...] = ()
    valid_rate: RateRange | None = None
    terms: Terms
    counting: Counting
    anchors: tuple[Anchor, ...] = ()
    workloads: tuple[Workload, ...] = ()
    limits: Limits = Limits()

    def unknown_terms(self) -> tuple[str, ...]:
        """Terms whose value is not publicly known."""
        return tuple(name for name, term in self.terms.present().items() if term.value is None)
