"""The verdict on one answer: right, wrong (where first, and as if what), or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import nir
import numpy as np

from snn_deploy.conformance.changes import HABITS, RARE, Change, Meaning, leaky, of_graph, shifted
from snn_deploy.conformance.golden import Golden
from snn_deploy.conformance.loops import INTEGRATORS, SPIKING, Array, Habits, flat

CLOSE = 1e-4
"""Relative and absolute difference of values that are no spikes: float32 sums in another order."""

Mark = Literal["right", "wrong", "refuses"]
MOST_TOGETHER, BEAM = 4, 8
"""Changes that are made together, and states that a search for them keeps (our choice)."""
MOST_SHOWN = 3
"""Explanations that a verdict names where several fit (our choice)."""
NOT_THERE, THE_OUTPUT = "were not there", "were the output"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One cell of the matrix.

    Attributes:
        name, group: the row.
        mark: right, wrong or refuses.
        how: of a right answer, the way steps are made where that is not Euler.
        looks: of a wrong answer, what it is as if: any of these explains it; empty where nothing tried does.
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

    @property
    def cause(self) -> str:
        """Of a right answer how its steps are made, of a wrong one what it is like, of a refusal why."""
        if self.mark == "right":
            return self.how
        if self.mark == "refuses":
            return self.reason
        likes = "; or as if ".join(self.looks)
        return "; ".join(
            filter(None, (self.reason, f"as if {likes}" if likes else "like nothing that was tried"))
        )

    @property
    def words(self) -> str:
        """The cause, and where a wrong answer first differs."""
        if self.first is None:
            return self.cause
        step, sample, neuron = self.first
        place = f"first at step {step} of sample {sample}, element {neuron}"
        return f"{self.cause}; {self.differing} of {self.compared} values, {place}"


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
    texts = tuple(" and ".join(change.text for change in changes) for changes in found)
    habits = tuple(c for c in found[0] if c in HABITS) if len(found) == 1 else ()
    verdict = Verdict(row.name, row.group, "wrong", looks=texts)
    if answer.shape != wanted.shape:
        reason = f"gives values of shape {answer.shape[2:]}, not {wanted.shape[2:]}"
        return replace(verdict, reason=reason), habits
    flips = ~np.isclose(answer, wanted, rtol=CLOSE, atol=CLOSE)
    step, sample, *place = (int(i) for i in np.argwhere(flips)[0])
    neuron = int(np.ravel_multi_index(place, wanted.shape[2:]))
    first = (step, sample, neuron)
    return replace(verdict, first=first, differing=int(flips.sum()), compared=flips.size), habits


def admitted(graph: nir.NIRGraph, dt: float, row: Golden) -> list[Meaning]:
    """What ``graph`` may mean: every way that NIR leaves open, Euler first."""
    plain = flat(graph)
    nodes = list(plain.nodes.values())
    leaking = any(hasattr(node, "tau") or hasattr(node, "tau_mem") for node in nodes)
    resting = any(np.any(getattr(n, "v_leak", 0)) or np.any(getattr(n, "v_reset", 0)) for n in nodes)
    starts = (
        ("v_reset", "v_leak", "zero")
        if resting and any(isinstance(n, SPIKING) for n in nodes)
        else ("v_reset",)
    )
    return [
        Meaning(plain, Habits(dt, integrator=integrator, start=start), row.feedback)  # type: ignore[arg-type]
        for start in starts
        for integrator in (INTEGRATORS if leaking else INTEGRATORS[:1])
    ]  # fmt: skip


def _how(habits: Habits) -> str:
    ways = {"euler": "", "held": "exponential"}.get(habits.integrator, f"exponential, {habits.integrator}")
    start = "" if habits.start == "v_reset" else f"starts at {habits.start}"
    return ", ".join(part for part in (ways, start) if part)


def _same(found: Array | None, answer: Array | None) -> bool:
    return (
        found is not None
        and answer is not None
        and found.shape == answer.shape
        and bool(np.isclose(found, answer, rtol=CLOSE, atol=CLOSE).all())
    )


def _explained(
    meanings: Sequence[Meaning], row: Golden, answer: Array, known: Sequence[Change]
) -> list[tuple[Change, ...]]:
    """The fewest changes that make one of ``meanings`` give ``answer``; single ones all, others the first."""

    def fits(changes: Sequence[Change]) -> bool:
        changed = (_applied(meaning, changes) for meaning in meanings)
        return any(m is not None and _same(m.answer(row.x), answer) for m in changed)

    plain = meanings[0]
    own = list(of_graph(plain))
    alone = [(change,) for change in (*own, *HABITS) if fits((change,))]
    if alone:
        return _distinct(alone)
    if (text := shifted(plain, row.x, answer)) is not None:
        return [(_said(text),)]
    together = _search(meanings[: len(INTEGRATORS)], own, known, row.x, answer)
    if together:
        return [_needed(together, fits)]
    if row.group != "neurons":
        return []
    for base in ((), *((habit,) for habit in HABITS if habit.habit == "reset")):
        changed = _applied(plain, base)
        text = None if changed is None else leaky(changed, lambda m: _same(m.answer(row.x), answer))
        if text is not None:
            return [(*base, _said(text))]
    return []


def _search(
    meanings: Sequence[Meaning], own: Sequence[Change], known: Sequence[Change], x: Array, answer: Array
) -> tuple[Change, ...]:
    """Several changes, found one by one: each time those go on that come nearest to ``answer``.

    It begins with ``meanings`` as they are, and with the habits that are ``known``; of the fewest that fit,
    the commonest.
    """
    plain = meanings[0].answer(x)
    every = [
        c for c in dict.fromkeys((*own, *HABITS)) if c in known or not _same(_given(meanings[0], c, x), plain)
    ]
    beam: list[tuple[Meaning, tuple[Change, ...]]] = [(meaning, ()) for meaning in meanings]
    beam += [
        (m, tuple(known)) for meaning in meanings if known and (m := _applied(meaning, known)) is not None
    ]
    for meaning, changes in beam[len(meanings) :]:
        if _same(meaning.answer(x), answer):
            return changes
    for _ in range(MOST_TOGETHER):
        fitting, tried = [], []
        for meaning, changes in beam:
            for change in (c for c in every if _new(c, changes)):
                changed = change.on(meaning)
                found = None if changed is None else changed.answer(x)
                if changed is None or found is None or found.shape != answer.shape:
                    continue
                if _same(found, answer):
                    fitting.append((*changes, change))
                tried.append((float(np.abs(found - answer).sum()), (changed, (*changes, change))))
        if fitting:
            return min(fitting, key=lambda changes: sum(every.index(change) for change in changes))
        beam = [state for _, state in sorted(tried, key=lambda entry: entry[0])[:BEAM]]
    return ()


def _given(meaning: Meaning, change: Change, x: Array) -> Array | None:
    changed = change.on(meaning)
    return None if changed is None else changed.answer(x)


def _needed(changes: tuple[Change, ...], fits: Callable[[Sequence[Change]], bool]) -> tuple[Change, ...]:
    """``changes`` without those that the answer does not need."""
    for change in changes:
        fewer = tuple(other for other in changes if other is not change)
        if fits(fewer):
            return _needed(fewer, fits)
    return changes


def _new(change: Change, base: Sequence[Change]) -> bool:
    return change not in base and (not change.habit or all(change.habit != other.habit for other in base))


def _distinct(alone: Sequence[tuple[Change, ...]]) -> list[tuple[Change, ...]]:
    """Without what says the same of a neighbour, and without what is rare where something common fits."""
    common = [changes for changes in alone if changes[0] not in RARE]
    missing = any(change.text.endswith(NOT_THERE) for (change,) in alone)
    return [changes for changes in common or alone if not (missing and changes[0].text.endswith(THE_OUTPUT))][
        :MOST_SHOWN
    ]


def _said(text: str) -> Change:
    return Change(text, lambda meaning: meaning)


def _applied(meaning: Meaning, changes: Sequence[Change]) -> Meaning | None:
    habits = [change.habit for change in changes if change.habit]
    if len(set(habits)) < len(habits):
        return None
    for change in changes:
        changed = change.on(meaning)
        if changed is None:
            return None
        meaning = changed
    return meaning
