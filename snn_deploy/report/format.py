"""Numbers as people read them: SI prefixes, three significant digits, units never broken from their number.

JSON and CSV hold plain SI values; only what people read goes through here.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from snn_deploy.hardware.interval import Interval

NARROW = "\u202f"
"""Narrow no-break space between number and unit."""
MINUS = "\u2212"
DASH = "\u2013"
UNKNOWN = "unknown"

_PREFIXES = {
    -18: "a", -15: "f", -12: "p", -9: "n", -6: "\u00b5", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T",
    15: "P", 18: "E",
}  # fmt: skip


def _exponent(value: float) -> int:
    """Power of 1000 under which ``value``, rounded to three digits, lies between 1 and 999."""
    if value == 0:
        return 0
    rounded = float(f"{abs(value):.2e}")
    return min(max(3 * math.floor(math.log10(rounded) / 3 + 1e-9), -18), 18)


def _digits(value: float) -> str:
    """Three significant digits without exponent; whole numbers above 999 keep all their digits."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}")
    decimals = max(2 - math.floor(math.log10(abs(rounded)) + 1e-9), 0)
    return f"{rounded:.{decimals}f}".replace("-", MINUS)


def si(value: float, unit: str = "") -> str:
    """``si(1.234e-8, "J")`` is ``12.3 nJ``; a bare count keeps its digits up to 9,999."""
    if not unit and abs(value) < 10_000:
        return number(value)
    exponent = _exponent(value)
    suffix = f"{_PREFIXES[exponent]}{unit}"
    return f"{_digits(value / 10.0**exponent)}{NARROW}{suffix}" if suffix else _digits(value)


def number(value: float) -> str:
    """A count: whole numbers in full with separators, others with three significant digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", MINUS)
    return f"{value:,.0f}".replace("-", MINUS) if abs(value) >= 1000 else _digits(value)


def span(interval: Interval, unit: str) -> str:
    """``12.3 nJ (6.15-24.6 nJ)``: the central value never stands without its interval."""
    exponent = _exponent(interval.mid)
    suffix = f"{NARROW}{_PREFIXES[exponent]}{unit}"
    low, mid, high = (_digits(v / 10.0**exponent) for v in (interval.low, interval.mid, interval.high))
    return f"{mid}{suffix} ({low}{DASH}{high}{suffix})"


def bounds(interval: Interval, unit: str) -> str:
    """``6.15-24.6 nJ``, in the prefix of the central value."""
    exponent = _exponent(interval.mid)
    low, high = (_digits(v / 10.0**exponent) for v in (interval.low, interval.high))
    return f"{low}{DASH}{high}{NARROW}{_PREFIXES[exponent]}{unit}"


def ratio(interval: Interval) -> str:
    """``0.0245 (0.006-0.1)``."""
    low, mid, high = (_digits(v) for v in (interval.low, interval.mid, interval.high))
    return f"{mid} ({low}{DASH}{high})"


def span_in(interval: Interval, unit: str, scale: float) -> str:
    """``0.9 pJ (0.45-1.8 pJ)``: an SI interval in a chosen unit of ``scale``, as the source writes it."""
    low, mid, high = (f"{v / scale:.4g}" for v in (interval.low, interval.mid, interval.high))
    return f"{mid}{NARROW}{unit} ({low}{DASH}{high}{NARROW}{unit})"


def percent(fraction: float, decimals: int = 1) -> str:
    """``97.2 %``; a fraction that is not 0 or 1 is never rounded to look so."""
    shown = f"{100 * fraction:.{decimals}f}"
    if fraction > 0 and float(shown) == 0:
        return f"<{10.0**-decimals:.{decimals}f}{NARROW}%"
    if fraction < 1 and float(shown) == 100:
        return f">{100 - 10.0**-decimals:.{decimals}f}{NARROW}%"
    return f"{shown}{NARROW}%"


def change(fraction: float) -> str:
    """A relative change with its sign: ``+4.2 %``."""
    if math.isinf(fraction):
        return "from nothing"
    return f"{signed(100 * fraction)}{NARROW}%"


def signed(value: float) -> str:
    """One decimal with its sign; what rounds to zero has both."""
    shown = f"{abs(value):.1f}"
    return ("±" if float(shown) == 0 else "+" if value > 0 else MINUS) + shown


def seconds(value: float) -> str:
    """A duration: ``8.00 ms``."""
    return si(value, "s")


def steps(number: int, merged: int, timesteps: int, how: str = "") -> str:
    """The steps, counted from 1, of frame or column ``number`` (from 0), where ``merged`` make one, and
    ``how`` several do."""
    first, last = number * merged + 1, min((number + 1) * merged, timesteps)
    return f"step {first}" if first == last else f"steps {first} to {last}{how}"


def shape(sizes: tuple[int, ...]) -> str:
    """``2 x 16 x 16`` with multiplication signs."""
    return f"{NARROW}\u00d7{NARROW}".join(str(size) for size in sizes)


def moment(iso: str) -> str:
    """``2026-11-21 10:00 UTC``; text that is no ISO date stays as it is."""
    try:
        return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return iso


def power_of_ten(exponent: int, unit: str) -> str:
    """Label of an axis: ``10 nJ`` for 10^-8 J, ``1`` for 10^0 without unit."""
    if not unit and -3 <= exponent <= 4:
        return f"{10.0**exponent:g}"
    prefix = 3 * math.floor(exponent / 3)
    if prefix not in _PREFIXES:
        return f"1e{exponent}{NARROW}{unit}"
    return f"{10 ** (exponent - prefix)}{NARROW}{_PREFIXES[prefix]}{unit}"
