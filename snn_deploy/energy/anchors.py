"""Published measurements that a profile's own terms must reproduce.

An anchor states how often each term occurred in a published experiment; the estimate is priced by the very
terms that price a network, with nothing fitted in between.
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.core.errors import ConfigError
from snn_deploy.hardware.interval import Interval, total
from snn_deploy.hardware.schema import Anchor, Profile
from snn_deploy.hardware.units import TERMS, UNITS


@dataclass(frozen=True, slots=True)
class AnchorResult:
    """An anchor re-computed: ``estimate`` and ``published`` in SI units, ``error`` = mid / published - 1."""

    name: str
    estimate: Interval
    published: float
    error: float


def reproduce(profile: Profile) -> tuple[AnchorResult, ...]:
    """Re-compute every anchor of ``profile``."""
    return tuple(_reproduce(profile, anchor) for anchor in profile.anchors)


def _reproduce(profile: Profile, anchor: Anchor) -> AnchorResult:
    dimension, scale = UNITS[anchor.published.unit]
    published = anchor.published.value * scale
    terms = profile.terms.present()
    parts = []
    for name, number in anchor.quantities.items():
        interval = terms[name].interval() if name in terms else None
        if interval is None:
            raise ConfigError(
                f"The anchor '{anchor.name}' of '{profile.id}' uses '{name}', which is unknown."
            )
        seconds = 1.0 if TERMS[name][0] == "energy" else anchor.seconds
        parts.append(interval * number * seconds)
    estimate = total(parts) * (1.0 / anchor.seconds if dimension == "power" else 1.0)
    return AnchorResult(anchor.name, estimate, published, estimate.mid / published - 1.0)
