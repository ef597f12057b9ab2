"""Price counted activity with a chip profile.

Per inference, with q_k the mean number of occurrences of term k and e_k its interval:

    E_dynamic = Σ_layers Σ_k q_k e_k            E_static = (P_chip n_chips + P_core n_cores + P_clock f) t

Dynamic and static energy are never merged: one belongs to the network, the other to the time it runs. A term
whose energy is unknown, or whose number cannot be counted, is named and leaves a *lower bound*, never a 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from snn_deploy.core.errors import ConfigError
from snn_deploy.energy.counts import Counts
from snn_deploy.energy.quantities import Quantity, layer_quantities
from snn_deploy.hardware.interval import ZERO, Interval, total
from snn_deploy.hardware.schema import Profile
from snn_deploy.hardware.units import LABELS


@dataclass(frozen=True, slots=True)
class TermPrice:
    """One term of one layer: how often it occurs per inference and what that costs in joules.

    ``energy`` is None where it is not known, and ``unknown`` then says why.
    """

    term: str
    quantity: float | None
    energy: Interval | None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class LayerPrice:
    """Dynamic energy of one layer per inference, by term."""

    layer: str
    terms: tuple[TermPrice, ...]

    @property
    def energy(self) -> Interval:
        """Sum of the known terms."""
        return total(term.energy for term in self.terms if term.energy is not None)


@dataclass(frozen=True, slots=True)
class StaticPrice:
    """Static energy of one inference: ``power`` in watts over ``seconds``; ``basis`` names their origin."""

    power: Interval
    seconds: float
    chips: int
    basis: str

    @property
    def energy(self) -> Interval:
        """Power times time."""
        return self.power * self.seconds


@dataclass(frozen=True, slots=True)
class Twin:
    """A non-spiking network of the same connections: one dense pass of multiply-accumulates per inference.

    Where the profile prices memory traffic, every multiply-accumulate has that of one event.

    ``ratio`` is spiking / non-spiking. Both share the profile's constants, so its bounds, which let them err
    in opposite directions, are the widest possible.
    """

    macs: int
    energy: Interval
    ratio: Interval | None


@dataclass(frozen=True, slots=True)
class Price:
    """What one inference costs under one profile.

    Attributes:
        profile: id of the profile.
        layers: dynamic energy per layer, in execution order.
        unknown: reasons why ``dynamic`` is a lower bound; empty where every term is priced.
        static: None where the profile has no static power or no time is known; ``static_unknown`` says which.
        twin: None where the profile prices no multiply-accumulate.
    """

    profile: str
    layers: tuple[LayerPrice, ...]
    unknown: tuple[str, ...]
    static: StaticPrice | None
    static_unknown: str
    twin: Twin | None

    @property
    def dynamic(self) -> Interval | None:
        """Dynamic energy per inference in joules: the sum over layers; None where no term is known."""
        known = [term.energy for layer in self.layers for term in layer.terms if term.energy is not None]
        return total(known) if known else None

    @property
    def lower_bound(self) -> bool:
        """Whether something that costs energy is missing from ``dynamic``."""
        return bool(self.unknown)

    def by_term(self) -> dict[str, Interval]:
        """Dynamic energy per term, summed over layers; terms without a known energy are left out."""
        result: dict[str, Interval] = {}
        for layer in self.layers:
            for term in layer.terms:
                if term.energy is not None:
                    result[term.term] = result.get(term.term, ZERO) + term.energy
        return result


def price(
    counts: Counts,
    profile: Profile,
    *,
    timestep_seconds: float | None = None,
    runtime_seconds: float | None = None,
    chips: int = 1,
    cores: int | None = None,
) -> Price:
    """Price ``counts`` per inference (mean over samples).

    Args:
        counts: of any number of samples.
        profile: what each event costs.
        timestep_seconds: duration of one step; default: the profile's real-time step.
        runtime_seconds: duration of one inference, instead of steps times their duration.
        chips: chips that are powered.
        cores: cores that are powered, for profiles that price power per core.

    Raises:
        ConfigError: both durations are given, or an all-in profile is used away from the event rate that it
            was measured at.
    """
    if timestep_seconds is not None and runtime_seconds is not None:
        raise ConfigError("Give either the duration of a step or of an inference, not both.")
    if counts.samples == 0:
        raise ConfigError("Counts of no sample cannot be priced.")
    step = timestep_seconds or profile.timestep_seconds
    seconds = runtime_seconds or (None if step is None else step * counts.timesteps)
    if profile.scope == "all_in":
        _check_rate(counts, profile, seconds)
    layers = tuple(
        LayerPrice(layer, tuple(_priced(quantity, profile) for quantity in quantities))
        for layer, quantities in layer_quantities(counts, profile)
    )
    unknown = dict.fromkeys(term.unknown for layer in layers for term in layer.terms if term.unknown)
    power = static_power(profile, chips=chips, cores=cores)
    static = None
    if power is not None and seconds is not None:
        basis = "given run time" if step is None or runtime_seconds else _steps(counts.timesteps, step)
        static = StaticPrice(power, seconds, chips, basis)
    result = Price(
        profile=profile.id,
        layers=layers,
        unknown=tuple(unknown),
        static=static,
        static_unknown=_static_unknown(profile, power, seconds),
        twin=None,
    )
    return replace(result, twin=_twin(result, counts, profile))


def _steps(timesteps: int, seconds: float) -> str:
    return f"{timesteps} steps of {1e3 * seconds:g} ms"


def static_power(profile: Profile, *, chips: int = 1, cores: int | None = None) -> Interval | None:
    """Power without activity of ``chips`` chips, in watts.

    None where the profile knows none, and where it prices cores whose number is not known.
    """
    terms = profile.terms.present()
    parts = []
    if (term := terms.get("static_per_chip")) and (power := term.interval()):
        parts.append(power * chips)
    if (term := terms.get("static_per_core")) and (power := term.interval()):
        if cores is None:
            return None
        parts.append(power * cores)
    if (term := terms.get("idle_clock_per_mhz")) and (power := term.interval()):
        parts.append(power * (profile.operating_point.clock_mhz or 0.0) * chips)
    return total(parts) if parts else None


def _priced(quantity: Quantity, profile: Profile) -> TermPrice:
    term = profile.terms.present().get(quantity.term)
    interval = term.interval() if term else None
    label = LABELS[quantity.term]
    if quantity.number == 0.0:
        return TermPrice(quantity.term, 0.0, ZERO)
    if quantity.refused:
        return TermPrice(quantity.term, quantity.number, None, quantity.refused)
    if interval is None:
        reason = f"{label} (energy {'not publicly known' if term else 'not in this profile'})"
        return TermPrice(quantity.term, quantity.number, None, reason)
    if quantity.number is None:
        return TermPrice(quantity.term, None, None, f"{label} ({quantity.uncounted})")
    return TermPrice(quantity.term, quantity.number, interval * quantity.number)


def _static_unknown(profile: Profile, power: Interval | None, seconds: float | None) -> str:
    if power is None and profile.terms.static_per_core is not None:
        return "power per core needs a placement onto cores"
    if power is None:
        return (
            "not part of an arithmetic profile" if profile.kind == "arithmetic" else "no static power known"
        )
    return "" if seconds is not None else "needs a run time or a duration of the step"


def _check_rate(counts: Counts, profile: Profile, seconds: float | None) -> None:
    valid = profile.valid_rate
    if valid is None:
        return
    if seconds is None:
        raise ConfigError(
            f"The all-in profile '{profile.id}' needs a run time: it holds only near the event rate it was "
            "measured at.",
            hint="Give the duration of a step.",
        )
    rate = float(counts.sops().sum(0).mean()) / seconds
    if not valid.low <= rate <= valid.high:
        raise ConfigError(
            f"'{profile.id}' is an all-in average that holds for {valid.low:.3g} to {valid.high:.3g} "
            f"events/s; this run has {rate:.3g}.",
            hint="Use a profile that separates marginal energy from static power.",
        )


def _twin(result: Price, counts: Counts, profile: Profile) -> Twin | None:
    mac = profile.terms.mac.interval() if profile.terms.mac else None
    if mac is None:
        return None
    skip = profile.counting.zero_weights == "skip"
    macs = sum(edge.connections_nonzero if skip else edge.connections for edge in counts.edges)
    energy = (mac + _traffic(profile)) * macs
    spiking = result.dynamic
    ratio = None if spiking is None or result.lower_bound or not macs else spiking.over(energy)
    return Twin(macs, energy, ratio)


def _traffic(profile: Profile) -> Interval:
    """Memory traffic of one connection that is used once, under the rule that events are priced by."""
    memory, terms = profile.counting.memory, profile.terms.present()
    if memory is None:
        return ZERO
    bits = {"weight_read_bit": memory.weight_bits}
    if memory.state_access == "event":
        bits["state_rw_bit"] = 2 * memory.state_bits
    known = [(terms[name].interval(), number) for name, number in bits.items() if name in terms]
    return total(interval * number for interval, number in known if interval is not None)
