"""The verdict on one answer: right, wrong (where first, and as if what), or refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import nir
import numpy as np

from snn_deploy.conformance.changes import HABITS, Change, Meaning, leaky, of_graph
from snn_deploy.conformance.golden import Golden
from snn_deploy.conformance.loops import INTEGRATORS, SPIKING, Array, Habits, flat

CLOSE = 1e-4
"""Relative and absolute difference of values that are no spikes: float32 sums in another order."""

Mark = Literal["right", "wrong", "refuses"]
MOST_TOGETHER = 3
"""Habits that are tried together (our choice)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One cell of the matrix.

    Attributes:
        name, group: the row.
        mark: right, wrong or refuses.
        how: of a right answer, the way steps are made where that is not Euler.
        looks: of a wrong answer, what it is as if; empty where nothing that was tried explains it.
        first: (step, sample, neuron) of the first value that differs from Euler's, counted from 0.
        differing, compared: how many values.
        reason: of a refusal, what the reader said; of a wrong answer without values, what is wrong with it.
        carrier: the neuron that the row was asked with.
    """

    name: str
    group: str
    mark: Mark
    how: str = ""
    looks: tuple[str, ...] = ()
    first: tuple[int, int, int] | None = None
    differing: int = 0
    compared: int = 0
    reason: str = ""
    carrier: str = ""


def judge(
    row: Golden, graph: nir.NIRGraph, dt: float, answer: Array | str, known: Sequence[Change] = ()
) -> tuple[Verdict, tuple[Change, ...]]:
    """The verdict on ``answer`` (values, or why there are none), and the habits that it shows.

    Args:
        row: what was asked.
        graph: as it was written.
        dt: the step that the reader was told.
        answer: ``[T, B, ...]``, or the text of a refusal.
        known: habits that other answers of this reader showed.
    """
    if isinstance(answer, str):
        return Verdict(row.name, row.group, "refuses", reason=answer), ()
    meanings = admitted(graph, dt, row)
    wanted = meanings[0].answer(row.x)
    assert wanted is not None, row.name
    answer = np.asarray(answer, np.float64)
    if answer.shape != wanted.shape and answer.size == wanted.size and answer.shape[:2] == wanted.shape[:2]:
        answer = answer.reshape(wanted.shape)
    for meaning in meanings:
        if _same(meaning.answer(row.x), answer):
            return Verdict(row.name, row.group, "right", how=_how(meaning.habits)), ()
    found = _explained(meanings, row, answer, known)
    texts = tuple(change.text for change in found)
    verdict = Verdict(row.name, row.group, "wrong", looks=texts)
    if answer.shape != wanted.shape:
        reason = f"gives values of shape {answer.shape[2:]}, not {wanted.shape[2:]}"
        return replace(verdict, reason=reason), tuple(c for c in found if c in HABITS)
    flips = ~np.isclose(answer, wanted, rtol=CLOSE, atol=CLOSE)
    step, sample, *place = (int(i) for i in np.argwhere(flips)[0])
    neuron = int(np.ravel_multi_index(place, wanted.shape[2:]))
    return replace(
        verdict, first=(step, sample, neuron), differing=int(flips.sum()), compared=flips.size
    ), tuple(c for c in found if c in HABITS)


def admitted(graph: nir.NIRGraph, dt: float, row: Golden) -> list[Meaning]:
    """What ``graph`` may mean: every way that NIR leaves open, Euler first."""
    plain = flat(graph)
    nodes = list(plain.nodes.values())
    leaking = any(hasattr(node, "tau") or hasattr(node, "tau_mem") for node in nodes)
    resting = any(np.any(getattr(n, "v_leak", 0)) or np.any(getattr(n, "v_reset", 0)) for n in nodes)
    starts = ("v_reset", "v_leak", "zero") if resting and any(isinstance(n, SPIKING) for n in nodes) else ("v_reset",)
    return [
        Meaning(plain, Habits(dt, integrator=integrator, start=start), row.feedback)  # type: ignore[arg-type]
        for start in starts
        for integrator in (INTEGRATORS if leaking else INTEGRATORS[:1])
    ]  # fmt: skip


def _how(habits: Habits) -> str:
    ways = {"euler": "", "held": "exponential"}.get(habits.integrator, f"exponential, {habits.integrator}")
    start = "" if habits.start == "v_reset" else f"starts at {habits.start}"
    return ", ".join(part for part in (ways, start) if part)


def _same(found: Array | None, answer: Array) -> bool:
    return (
        found is not None
        and found.shape == answer.shape
        and bool(np.isclose(found, answer, rtol=CLOSE, atol=CLOSE).all())
    )


def _explained(
    meanings: Sequence[Meaning], row: Golden, answer: Array, known: Sequence[Change]
) -> tuple[Change, ...]:
    """The fewest changes that make one of ``meanings`` give ``answer``."""
    for changes in _tried(meanings[0], known):
        for meaning in meanings:
            changed = _applied(meaning, changes)
            if changed is not None and _same(changed.answer(row.x), answer):
                return changes
    for base in _subsets(known):
        for meaning in meanings[:1]:
            changed = _applied(meaning, base)
            text = None if changed is None else leaky(changed, lambda m: _same(m.answer(row.x), answer))
            if text is not None:
                return (*base, Change(text, lambda m: m))
    return ()


def _tried(meaning: Meaning, known: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    own = list(of_graph(meaning))
    yield from ((change,) for change in (*HABITS, *own))
    for base in _subsets(known)[1:]:
        yield base
        yield from ((*base, change) for change in (*HABITS, *own) if change not in base)
    for count in range(2, MOST_TOGETHER + 1):
        yield from itertools.combinations(HABITS, count)


def _subsets(known: Sequence[Change]) -> list[tuple[Change, ...]]:
    return [part for count in range(len(known) + 1) for part in itertools.combinations(known, count)]


def _applied(meaning: Meaning, changes: Sequence[Change]) -> Meaning | None:
    for change in changes:
        changed = change.apply(meaning)
        if changed is None:
            return None
        meaning = changed
    return meaning
