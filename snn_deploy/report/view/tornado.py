"""What moves an energy: the swing of the total when one constant, or the input, goes to its bounds."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.hardware.interval import Interval, total
from snn_deploy.hardware.units import LABELS
from snn_deploy.report import format as fmt
from snn_deploy.report.model import Activity, ProfilePrice

_EVENTS = ("sop", "mac", "weight_read_bit", "state_rw_bit")
"""Terms whose number follows the synaptic events."""


@dataclass(frozen=True, slots=True)
class Swing:
    """One bar: from ``x`` over ``width``, in percent of the axis; ``text`` has the total at both ends."""

    label: str
    x: float
    width: float
    text: str
    share: str


@dataclass(frozen=True, slots=True)
class Tornado:
    """All bars, widest first; ``centre`` is the position of the central value."""

    centre: float
    swings: tuple[Swing, ...]
    advice: str


def tornado(price: ProfilePrice, activity: Activity | None) -> Tornado | None:
    """The swings of ``price``'s dynamic energy; None where nothing is known or nothing moves.

    A term k with energy E_k = q_k e_k moves the total E to E - E_k + q_k low(e_k) and to E - E_k + q_k
    high(e_k). The input moves all terms that follow the synaptic events in proportion to the 5th and 95th
    percentile of the synaptic operations over the samples.
    """
    if price.dynamic is None or price.dynamic.mid == 0:
        return None
    middle = price.dynamic.mid
    found: list[tuple[str, Interval]] = []
    for term in dict.fromkeys(t.term for layer in price.layers for t in layer.terms):
        parts = [t.energy for layer in price.layers for t in layer.terms if t.term == term and t.energy]
        energy = total(parts)
        if energy.high > energy.low:
            low, high = energy.low - energy.mid, energy.high - energy.mid
            found.append((LABELS[term], Interval(middle + low, middle, middle + high)))
    if activity is not None and activity.sops and activity.samples > 1:
        low, _, high = (quantile / activity.sops for quantile in activity.sample_quantiles)
        events = total(
            t.energy for layer in price.layers for t in layer.terms if t.energy and t.term in _EVENTS
        ).mid
        moved = Interval(middle + (min(low, 1) - 1) * events, middle, middle + (max(high, 1) - 1) * events)
        if moved.high > moved.low:
            found.append(("input, 5 to 95 % of samples", moved))
    if not found:
        return None
    found.sort(key=lambda pair: pair[1].low - pair[1].high)
    least, most = min(i.low for _, i in found), max(i.high for _, i in found)
    scale = 100 / (most - least)
    swings = tuple(
        Swing(
            label,
            round((interval.low - least) * scale, 3),
            round((interval.high - interval.low) * scale, 3),
            f"({fmt.bounds(interval, 'J')})",
            f"{fmt.change(interval.low / middle - 1)} to {fmt.change(interval.high / middle - 1)}",
        )
        for label, interval in found
    )
    return Tornado(round((middle - least) * scale, 3), swings, _advice(price))


def _advice(price: ProfilePrice) -> str:
    """The layer that costs most, and what it is made of."""
    known = [(layer.energy.mid, layer) for layer in price.layers if layer.energy is not None]
    top, layer = max(known, key=lambda pair: pair[0])
    whole = sum(energy for energy, _ in known)
    terms = [(t.energy.mid, t) for t in layer.terms if t.energy is not None]
    _, largest = max(terms, key=lambda pair: pair[0])
    way = {
        "synapses": "fewer channels, a larger stride or fewer spikes before it",
        "neurons": "fewer neurons or fewer steps",
        "routing": "fewer spikes",
        "memory": "narrower weights or fewer spikes before it",
    }[largest.group]
    share = fmt.percent(top / whole, 0) if whole else fmt.DASH
    return f"{layer.layer} has {share} of it, most for {LABELS[largest.term]}: {way} would help."
