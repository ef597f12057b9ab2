"""What a constraint is, and how one is judged.

A constraint measures one thing at every subject (a layer, a population, a node, the network) and compares it
with a field of the profile's ``limits``. The measure's docstring is the sentence that users read; its value
is the offending number, ``None`` where the rule does not concern the subject. A limit that is ``null`` gives
the answer *cannot tell*, never *fits*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.limits import NEEDED, Limit, Limits, Span
from snn_deploy.hardware.network import Network, WeightLayer

Verb = Literal["at most", "at least", "one of", "no", "table"]
Measured = Any
"""A number, several of one kind, a name; or a :class:`Between` where only bounds can be known."""


Advice = str | Callable[[Any], str]
"""What to try; may depend on the limit's value."""


@dataclass(frozen=True, slots=True)
class Between:
    """A number that lies between two bounds."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"


@dataclass(frozen=True, slots=True)
class Constraint:
    """``measure(network, subject)`` against the limit ``field``; ``found`` turns the number into words."""

    field: str
    verb: Verb
    subjects: Callable[[Network], Iterable[Any]]
    measure: Callable[[Network, Any], Measured]
    found: str
    try_instead: Advice

    @property
    def sentence(self) -> str:
        """The rule, as users read it."""
        return (self.measure.__doc__ or "").strip()


CONSTRAINTS: list[Constraint] = []


def constraint(
    field: str,
    verb: Verb,
    subjects: Callable[[Network], Iterable[Any]],
    found: str,
    try_instead: Advice = "",
) -> Callable[[Callable[[Network, Any], Measured]], Callable[[Network, Any], Measured]]:
    """Register a measure as the constraint of ``field``."""

    def register(measure: Callable[[Network, Any], Measured]) -> Callable[[Network, Any], Measured]:
        CONSTRAINTS.append(Constraint(field, verb, subjects, measure, found, try_instead))
        return measure

    return register


def judge(network: Network, limits: Limits, rules: Iterable[Constraint]) -> Iterator[Finding]:
    """What of ``limits`` the network breaks, and what nobody can tell (said once per rule)."""
    for rule in rules:
        for subject in rule.subjects(network):
            measured = rule.measure(network, subject)
            limit = _limit_for(rule.field, limits, subject)
            if measured is None or (limit is None and rule.field not in NEEDED):
                continue
            if limit is None or (limit.value is None and not limit.bounded_by):
                yield unknown(rule.field, limit, rule.sentence)
                break
            if limit.value is None:
                continue
            if state := _compare(rule.verb, measured, limit.value):
                advice = rule.try_instead
                yield Finding(
                    state=state,
                    rule=rule.field,
                    where=_name(subject),
                    found=rule.found.format(words(measured)),
                    limit=_limit_words(rule, limit),
                    sentence=rule.sentence,
                    source=cited(limit.source, limit.grade),
                    try_instead=advice if isinstance(advice, str) else advice(limit.value),
                )


def unknown(field: str, limit: Limit[Any] | None, sentence: str) -> Finding:
    """The finding of a limit that is not known."""
    label = field.replace("_", " ")
    note = limit.note if limit is not None and limit.note else "the profile does not state it"
    return Finding("unknown", field, "network", f"{label}: {note}", sentence=sentence)


def _limit_for(field: str, limits: Limits, subject: Any) -> Limit[Any] | None:
    if isinstance(subject, WeightLayer) and subject.first:
        first: Limit[Any] | None = getattr(limits.first_layer, field, None)
        if first is not None:
            return first
    found: Limit[Any] | None = getattr(limits, field)
    return found


def _compare(verb: Verb, measured: Measured, value: Any) -> Literal["violated", "unknown"] | None:
    if verb == "no":
        return "violated"
    if verb == "one of":
        values = measured if isinstance(measured, tuple) else (measured,)
        return None if all(v in value for v in values) else "violated"
    if verb == "table":
        *key, number = measured
        return "violated" if any(number > most for *k, most in value if k == key) else None
    low, high = value
    if verb == "at least":
        return "violated" if min(_each(measured)) < low else None
    smallest = measured.low if isinstance(measured, Between) else max(_each(measured))
    largest = measured.high if isinstance(measured, Between) else max(_each(measured))
    if smallest > high:
        return "violated"
    return "unknown" if largest > low else None


def _each(measured: Measured) -> tuple[int, ...]:
    return measured if isinstance(measured, tuple) else (measured,)


def words(measured: Measured) -> str:
    """A measured value as people write it: 3x3, 1,024."""
    if isinstance(measured, tuple):
        return "x".join(str(v) for v in measured)
    return f"{measured:,}" if isinstance(measured, int) else str(measured)


def _limit_words(rule: Constraint, limit: Limit[Any]) -> str:
    verb, value = rule.verb, limit.value
    if verb == "no":
        return as_limit(rule.sentence)
    assert value is not None
    if verb == "one of":
        return ", ".join(str(v) for v in value) or "none"
    if verb == "table":
        return "at most " + ", ".join(f"{c}x{k}x{most}" for c, k, most in value)
    return span_words(verb, value, limit.unit)


def as_limit(sentence: str) -> str:
    """A rule without a number, as the limit of a table."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def span_words(verb: str, span: Span, unit: str = "") -> str:
    """A limit as people read it: at most 1,024 entries."""
    low, high = span
    ending = f" {unit}" if unit else ""
    return f"{verb} {low:,}{ending}" if low == high else f"{verb} {low:,} or {high:,}{ending}; sources differ"


def _name(subject: Any) -> str:
    if isinstance(subject, Network):
        return "network"
    return subject.name if isinstance(subject, WeightLayer) else str(subject)
