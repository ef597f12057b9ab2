"""Rules between the fields of a profile. They read the raw document, so that they speak together with the
faults of single fields, whatever else is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snn_deploy.core.errors import Problem
from snn_deploy.hardware.limits import PLACEMENT_NEEDS
from snn_deploy.hardware.units import TERMS, UNITS

MAX_QUOTE_WORDS = 15
_NEEDS = {"sop": "one event costs", "static_per_chip": "idle power"}


def rule_problems(content: Mapping[str, Any]) -> list[Problem]:
    """Every broken rule of a profile given as plain values."""
    terms = {name: term for name, term in _mapping(content.get("terms")).items() if isinstance(term, Mapping)}
    problems = [problem for name, term in terms.items() for problem in _term(name, term)]
    problems += _scope(content, terms)
    problems += _double_charges(terms)
    problems += _memory(content, terms)
    for i, anchor in enumerate(_items(content.get("anchors"))):
        problems += _anchor(f"anchors.{i}", anchor, terms)
    problems += _limits(_mapping(content.get("limits")))
    problems += _quotes("", content)
    return problems


def _term(name: str, term: Mapping[str, Any]) -> Iterator[Problem]:
    where = f"terms.{name}"
    yield from _unit(where, name, term.get("unit"))
    value, low, high = (term.get(key) for key in ("value", "low", "high"))
    if value is None:
        if not term.get("note"):
            yield Problem(
                where,
                "value is null without a reason",
                rule="an unknown value says in 'note' why it is unknown",
            )
        if low is not None or high is not None:
            yield Problem(where, "an unknown value has no bounds", try_instead="leave out low and high")
        return
    yield from _evidence(where, term, ("source", "basis", "grade"))
    if (low is None) != (high is None):
        yield Problem(where, "only one bound is given", rule="give both low and high, or neither")
    if all(_is_number(v) for v in (low, value, high)) and not low <= value <= high:
        yield Problem(
            where, f"low {low}, value {value}, high {high} are not in order", rule="low <= value <= high"
        )


def _unit(where: str, name: str, unit: Any) -> Iterator[Problem]:
    if name not in TERMS or not isinstance(unit, str):
        return
    wanted = TERMS[name][0]
    if unit not in UNITS or UNITS[unit][0] != wanted:
        allowed = ", ".join(u for u, (dimension, _) in UNITS.items() if dimension == wanted)
        yield Problem(f"{where}.unit", f"'{unit}' is no unit of {wanted}", rule=f"one of: {allowed}")


def _evidence(where: str, entry: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Problem]:
    for key in keys:
        if not entry.get(key):
            yield Problem(
                f"{where}.{key}",
                f"missing {key}",
                rule=f"a number has {', '.join(keys[:-1])} and {keys[-1]}",
                try_instead="cite where the number stands, or set value: null",
            )


def _scope(content: Mapping[str, Any], terms: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    scope = content.get("scope")
    known = {name for name, term in terms.items() if term.get("value") is not None}
    if scope == "all_in":
        if others := sorted(set(terms) - {"sop"}):
            yield Problem(
                "terms",
                f"an all_in profile also has {', '.join(others)}",
                rule="an all-in figure already contains everything; other terms would be charged twice",
            )
        if not content.get("valid_rate"):
            yield Problem(
                "valid_rate",
                "missing in an all_in profile",
                rule="an average over chip power holds only near the event rate it was measured at",
            )
        if "sop" in terms and not terms["sop"].get("includes"):
            yield Problem("terms.sop.includes", "missing", rule="an all-in figure lists what it includes")
    elif content.get("valid_rate"):
        yield Problem("valid_rate", f"given in a {scope} profile", rule="only all_in profiles have it")
    if scope == "marginal+static":
        for name, meaning in _NEEDS.items():
            if name not in known:
                yield Problem(f"terms.{name}", "missing or unknown", rule=f"marginal+static prices {meaning}")
    if scope == "workload_anchor":
        if priced := sorted(n for n in known if n in TERMS and TERMS[n][0] == "energy"):
            yield Problem(
                "terms", f"prices {', '.join(priced)}", rule="workload_anchor knows no event's cost"
            )
        if not content.get("workloads"):
            yield Problem("workloads", "missing", rule="a workload_anchor profile has at least one workload")
    point = _mapping(content.get("operating_point"))
    if "idle_clock_per_mhz" in known and point.get("clock_mhz") is None:
        yield Problem("operating_point.clock_mhz", "missing", rule="idle_clock_per_mhz needs a clock")


def _double_charges(terms: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    for name, term in terms.items():
        for included in _items(term.get("includes")):
            if included in terms and terms[included].get("value") is not None and included != name:
                yield Problem(
                    f"terms.{name}.includes",
                    f"includes '{included}', which the profile also prices",
                    rule="nothing is charged twice",
                )


def _memory(content: Mapping[str, Any], terms: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    widths = _mapping(content.get("counting")).get("memory")
    if widths is None:
        for name in sorted({"weight_read_bit", "state_rw_bit"} & set(terms)):
            yield Problem(
                "counting.memory", "missing", rule=f"{name} needs the widths in which bits are counted"
            )


def _anchor(where: str, anchor: Any, terms: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    for name in _mapping(_mapping(anchor).get("quantities")):
        if name not in terms or terms[name].get("value") is None:
            yield Problem(f"{where}.quantities.{name}", "the profile has no known value for this term")
    unit = _mapping(_mapping(anchor).get("published")).get("unit")
    if isinstance(unit, str) and UNITS.get(unit, ("",))[0] not in {"energy", "power"}:
        yield Problem(f"{where}.published.unit", f"'{unit}' is no unit of energy or power")


def _limits(limits: Mapping[str, Any]) -> Iterator[Problem]:
    first = {f"first_layer.{name}": limit for name, limit in _mapping(limits.get("first_layer")).items()}
    for name, limit in [*limits.items(), *first.items()]:
        where = f"limits.{name}"
        if name == "first_layer" or not isinstance(limit, Mapping):
            continue
        if limit.get("value") is not None:
            yield from _evidence(where, limit, ("source", "grade"))
            if limit.get("bounded_by"):
                yield Problem(where, "has both a value and 'bounded_by'", rule="one or the other")
        elif not limit.get("note") and not limit.get("bounded_by"):
            yield Problem(where, "value is null without a reason", rule="'note' says why it is unknown")
    yield from _placement(limits)


def _placement(limits: Mapping[str, Any]) -> Iterator[Problem]:
    scheme = _mapping(limits.get("placement")).get("value")
    if scheme not in PLACEMENT_NEEDS:
        return
    needs = PLACEMENT_NEEDS[scheme]
    values = {name: _mapping(limits.get(name)).get("value") for name in needs}
    for name, value in values.items():
        if value is None:
            yield Problem(f"limits.{name}", "missing or unknown", rule=f"placement '{scheme}' needs it")
    cores = values.get("cores")
    for name, value in values.items():
        if name.endswith("memory_per_core") and isinstance(value, list) and len(value) != cores:
            yield Problem(f"limits.{name}", f"{len(value)} numbers", rule=f"one for each of {cores} cores")


def _quotes(where: str, content: Any) -> Iterator[Problem]:
    """Quotes from papers stay short."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            here = f"{where}.{key}" if where else str(key)
            if key == "quote" and isinstance(value, str) and len(value.split()) > MAX_QUOTE_WORDS:
                words = len(value.split())
                yield Problem(here, f"{words} words", rule=f"a quote has at most {MAX_QUOTE_WORDS} words")
            else:
                yield from _quotes(here, value)
    elif isinstance(content, list):
        for i, value in enumerate(content):
            yield from _quotes(f"{where}.{i}", value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
