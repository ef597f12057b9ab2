"""Compare two reports: what changed between two networks, or between two versions of one."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from snn_deploy.core.errors import ConfigError, Problem, RegressionError, did_you_mean
from snn_deploy.report import format as fmt
from snn_deploy.report.blocks import Change, Comparison
from snn_deploy.report.model import ProfilePrice, ReportData

ROUNDING = 1e-12
"""A fall of exactly the limit passes, whatever the last digit of its difference."""


def compare(before: ReportData, after: ReportData, profiles: Collection[str] = ()) -> Comparison:
    """Every figure that both reports may have, ``before`` and ``after``; energies of these ``profiles`` only,
    by default of all.

    Raises:
        ConfigError: neither report has such a profile.
    """
    energies, refused = [], []
    old = {price.profile: price for price in before.energy}
    new = {price.profile: price for price in after.energy}
    if strange := [name for name in profiles if name not in old and name not in new]:
        raise ConfigError(
            f"Neither report has the profile '{strange[0]}'.{did_you_mean(strange[0], {*old, *new})}",
            hint=f"Report both with --profile {strange[0]}.",
        )
    if profiles:
        old, new = ({name: p for name, p in of.items() if name in profiles} for of in (old, new))
    for name in dict.fromkeys([*old, *new]):
        reason = _incomparable(old.get(name), new.get(name))
        if reason:
            refused.append((name, reason))
        else:
            energies.append(Change(name=name, kind="energy", before=_mid(old[name]), after=_mid(new[name])))
    return Comparison(
        other=before.header.title,
        conditions=tuple(_conditions(before, after)),
        figures=tuple(_figures(before, after)),
        energies=tuple(energies),
        refused=tuple(refused),
    )


def require_energy(comparison: Comparison, most: float) -> None:
    """Hold the gate: no profile's dynamic energy may have risen by more than the fraction ``most``.

    Central values are compared. Both come from the same constants, so that their ratio is free of the
    constants' errors.

    Raises:
        RegressionError: naming every profile whose energy rose by more.
        ConfigError: the runs counted other inputs, or share no profile with a known energy.
    """
    _require_same_inputs(comparison, "Energies")
    if not comparison.energies:
        raise ConfigError(
            "The two reports have no energy to compare.",
            problems=[Problem(name, reason) for name, reason in comparison.refused],
            hint="Report both with the same profile, for example --profile horowitz-45nm-int8.",
        )
    risen = [(c, rise) for c in comparison.energies if (rise := _rise(c)) > most]
    if risen:
        raise RegressionError(
            f"Dynamic energy rose by more than {fmt.percent(most)} against '{comparison.other}'.",
            problems=[
                Problem(
                    change.name,
                    f"{_joules(change.before)} to {_joules(change.after)}, {fmt.change(rise)}",
                    f"at most {fmt.change(most)}",
                )
                for change, rise in risen
            ],
        )


def require_accuracy(comparison: Comparison, most: float) -> None:
    """Hold the gate: no accuracy that both reports have may have fallen by more than ``most``, a difference
    of fractions (0.005 is half a point).

    Raises:
        RegressionError: naming every accuracy that fell by more.
        ConfigError: the runs counted other inputs, or share no accuracy.
    """
    _require_same_inputs(comparison, "Accuracies")
    shared = [
        (change, change.before, change.after)
        for change in comparison.figures
        if change.kind == "fraction" and change.before is not None and change.after is not None
    ]
    if not shared:
        raise ConfigError(
            "The two reports have no accuracy to compare.", hint="Report both on data with labels."
        )
    if fallen := [found for found in shared if found[1] - found[2] > most + ROUNDING]:
        raise RegressionError(
            f"Accuracy fell by more than {fmt.percent(most)} against '{comparison.other}'.",
            problems=[
                Problem(
                    change.name,
                    f"{fmt.percent(before)} to {fmt.percent(after)}",
                    f"at least {fmt.percent(before - most)}",
                )
                for change, before, after in fallen
            ],
        )


def _require_same_inputs(comparison: Comparison, what: str) -> None:
    inputs = [condition for condition in comparison.conditions if condition.startswith(("data", "samples"))]
    if inputs:
        raise ConfigError(
            f"{what} of different inputs cannot be held against each other.",
            problems=[Problem(*condition.split(": ", 1)) for condition in inputs],
            hint="Report both networks on the same data and number of samples.",
        )


def _joules(value: float | None) -> str:
    return fmt.UNKNOWN if value is None else fmt.si(value, "J")


def _rise(change: Change) -> float:
    """Relative rise; from nothing to something is without bound."""
    if change.relative is not None:
        return change.relative
    return float("inf") if change.after else 0.0


def _incomparable(old: ProfilePrice | None, new: ProfilePrice | None) -> str:
    if old is None or new is None:
        return "only in " + ("this report" if old is None else "the other report")
    if old.version != new.version:
        return f"version {old.version} before, {new.version} now; report both again"
    if old.dynamic is None or new.dynamic is None:
        return "no energy per event is known"
    if set(old.unknown) != set(new.unknown):
        return "the two leave out different terms"
    return ""


def _mid(price: ProfilePrice) -> float | None:
    return None if price.dynamic is None else price.dynamic.mid


def _conditions(before: ReportData, after: ReportData) -> Iterator[str]:
    a, b = before.header, after.header
    pairs = (
        ("data", (a.data, a.split, a.data_digest[:12]), (b.data, b.split, b.data_digest[:12])),
        ("samples", (a.samples,), (b.samples,)),
        ("time steps", (a.timesteps,), (b.timesteps,)),
        ("snn-deploy", (a.tool_version,), (b.tool_version,)),
    )
    for name, old, new in pairs:
        if old != new:
            yield f"{name}: {_words(old)} before, {_words(new)} now"


def _words(values: tuple[object, ...]) -> str:
    return " ".join(str(value) for value in values if value not in {None, ""}) or "unknown"


def _figures(before: ReportData, after: ReportData) -> Iterator[Change]:
    old = {a.name: a.fraction for a in before.accuracies}
    new = {a.name: a.fraction for a in after.accuracies}
    for name in dict.fromkeys([*old, *new]):
        yield Change(name=f"accuracy, {name}", kind="fraction", before=old.get(name), after=new.get(name))
    if before.activity is None or after.activity is None:
        return
    a, b = before.activity, after.activity
    yield Change(name="synaptic operations", kind="count", before=a.sops, after=b.sops)
    yield Change(name="spikes", kind="count", before=a.spikes, after=b.spikes)
    yield Change(name="neurons", kind="count", before=a.neurons, after=b.neurons)
    yield Change(name="connections", kind="count", before=a.connections, after=b.connections)
    rows = [{layer.layer: layer.sops for layer in activity.layers} for activity in (a, b)]
    for name in dict.fromkeys([*rows[0], *rows[1]]):
        yield Change(name=f"SOPs, {name}", kind="count", before=rows[0].get(name), after=rows[1].get(name))
