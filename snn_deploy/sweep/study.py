"""Trials in an Optuna storage: asked for, told, and given out again when the process that had them is gone.

A trial that is running carries the sweep's ``owner`` and a ``beat``, the time at which it was last known to
run; one that has only just begun has neither, and its beginning counts as its beat. It is lost when it is our
own and we do not run it, or when its beat has stopped. Lost trials fail without an ``error``, do not count,
and their values are queued again, once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from snn_deploy.core.errors import DataError
from snn_deploy.recipes.search_space import Range
from snn_deploy.sweep.plan import Plan
from snn_deploy.sweep.storage import open_storage

BEAT = 30.0
"""Seconds between two signs of life of a trial. Ours."""

TRIES = 3
"""How often a trial is begun that ends with its process. Ours."""

SILENCE = 10 * BEAT
"""Seconds without one after which a trial of another machine counts as lost. Ours."""


@dataclass(frozen=True, slots=True)
class Done:
    """A trial that came to its end: its figures, or the ``error`` that it ended with.

    Attributes:
        number: of the trial in its study.
        values: what was varied.
        accuracy: on the validation split, fraction; None with an error.
        energy: ``low``, ``mid``, ``high`` in joules of dynamic energy per inference; empty with an error.
        unknown: what the profile leaves out of the energy.
        folder: of its run, relative to the sweep's.
        seed: of its training.
        error: why there are no figures.
    """

    number: int
    values: dict[str, Any]
    accuracy: float | None
    energy: dict[str, float]
    unknown: tuple[str, ...]
    folder: str
    seed: int
    error: str


class Study:
    """The trials of ``plan`` in a ``storage``: an Optuna URL, or a file that several machines can reach."""

    def __init__(self, plan: Plan, storage: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._plan = plan
        self._running: dict[int, Trial] = {}
        self._last_beat = 0.0
        try:
            opened = open_storage(storage)
            before = optuna.get_all_study_names(opened)
            # A sampler that goes on must not draw again what it has drawn.
            drawn = (
                0
                if plan.study not in before
                else len(optuna.load_study(study_name=plan.study, storage=opened).trials)
            )
            self._study = optuna.create_study(
                study_name=plan.study,
                storage=opened,
                directions=["maximize", "minimize"],
                load_if_exists=True,
                sampler=optuna.samplers.TPESampler(seed=plan.seed + drawn, constant_liar=True),
            )
        except Exception as error:  # noqa: BLE001 - every driver of a storage raises its own
            raise DataError(f"The storage '{storage}' cannot be used: {error}") from None

    def ask(self) -> tuple[int, dict[str, Any], str]:
        """Begin a trial: its number, the values to try, and the folder that it goes on in."""
        trial = self._study.ask()
        values = {path: _suggest(trial, path, axis) for path, axis in self._plan.space.items()}
        before = trial.user_attrs
        folder = before["folder"] if before.get("owner") == self._plan.owner else f"trials/{trial.number:04d}"
        trial.set_user_attr("owner", self._plan.owner)
        trial.set_user_attr("folder", folder)
        trial.set_user_attr("seed", self._plan.trial_recipe({}).seed)
        trial.set_user_attr("beat", time.time())
        self._running[trial.number] = trial
        return trial.number, values, folder

    def tell(self, number: int, figures: dict[str, Any], seed: int) -> None:
        """A trial is done."""
        trial = self._running.pop(number)
        trial.set_user_attr("seed", seed)
        trial.set_user_attr("energy", figures["energy"])
        trial.set_user_attr("unknown", figures["unknown"])
        trial.set_user_attr("sops", figures["sops"])
        self._study.tell(trial, (figures["accuracy"], figures["energy"]["mid"]))

    def tell_error(self, number: int, error: str) -> None:
        """A trial cannot be done, and would not the next time."""
        trial = self._running.pop(number)
        trial.set_user_attr("error", error)
        self._study.tell(trial, state=TrialState.FAIL)

    def lose(self, number: int) -> None:
        """A trial's process is gone: its values are queued again, unless that happened too often."""
        trial = self._running.pop(number)
        if trial.user_attrs.get("try", 1) == TRIES:
            trial.set_user_attr("error", f"its process ended {TRIES} times without an answer; see the log")
        self._study.tell(number, state=TrialState.FAIL)
        self.requeue_lost()

    def requeue_lost(self) -> int:
        """Queue again what is lost: trials that nobody runs any more; how many were found."""
        trials = self._study.get_trials(deepcopy=False)
        lost = [trial for trial in trials if trial.state == TrialState.RUNNING and self._is_stale(trial)]
        for trial in lost:
            self._study.tell(trial.number, state=TrialState.FAIL)
        again = {trial.user_attrs.get("retry_of") for trial in trials}
        failed = [t for t in trials if t.state == TrialState.FAIL and "error" not in t.user_attrs]
        found = 0
        for trial in [*failed, *lost]:
            if trial.number in again or not trial.params:
                continue
            kept = {key: trial.user_attrs[key] for key in ("owner", "folder") if key in trial.user_attrs}
            attributes = {**kept, "retry_of": trial.number, "try": trial.user_attrs.get("try", 1) + 1}
            self._study.enqueue_trial(trial.params, user_attrs=attributes)
            found += 1
        return found

    def _is_stale(self, trial: FrozenTrial) -> bool:
        if trial.number in self._running:
            return False
        if trial.user_attrs.get("owner") == self._plan.owner:
            return True
        begun = trial.datetime_start
        beat = trial.user_attrs.get("beat", begun.timestamp() if begun else 0.0)
        return time.time() - float(beat) > SILENCE

    def beat(self) -> None:
        """Say that our trials are running, and look for those of machines that are gone."""
        if time.monotonic() - self._last_beat < BEAT:
            return
        self._last_beat = time.monotonic()
        for trial in self._running.values():
            trial.set_user_attr("beat", time.time())
        self.requeue_lost()

    def open_trials(self) -> int:
        """How many trials are running anywhere."""
        states = (TrialState.RUNNING,)
        return len(self._study.get_trials(deepcopy=False, states=states))

    def done(self) -> list[Done]:
        """Trials that came to an end, in the order of their numbers; lost ones are not among them."""
        return [done for trial in self._study.get_trials(deepcopy=False) if (done := _done(trial))]

    def lost(self) -> int:
        """How many trials were lost and queued again."""
        return sum("retry_of" in trial.user_attrs for trial in self._study.get_trials(deepcopy=False))


def pareto(trials: list[Done]) -> list[Done]:
    """Those that no other one beats: at least as accurate, at most as expensive, and better in one of both.
    The least expensive first."""
    good = [trial for trial in trials if trial.accuracy is not None]

    def beaten(trial: Done) -> Iterator[Done]:
        for other in good:
            ours, theirs = (_figures(trial), _figures(other))
            if theirs != ours and theirs[0] >= ours[0] and theirs[1] <= ours[1]:
                yield other

    return sorted((t for t in good if not any(beaten(t))), key=lambda t: (t.energy["mid"], t.number))


def _figures(trial: Done) -> tuple[float, float]:
    assert trial.accuracy is not None
    return trial.accuracy, trial.energy["mid"]


def _done(trial: FrozenTrial) -> Done | None:
    attributes = trial.user_attrs
    if trial.state == TrialState.COMPLETE:
        accuracy, error = trial.values[0], ""
    elif trial.state == TrialState.FAIL and "error" in attributes:
        accuracy, error = None, str(attributes["error"])
    else:
        return None
    return Done(
        number=trial.number,
        values=dict(trial.params),
        accuracy=accuracy,
        energy=dict(attributes.get("energy", {})),
        unknown=tuple(attributes.get("unknown", ())),
        folder=str(attributes.get("folder", "")),
        seed=int(attributes.get("seed", 0)),
        error=error,
    )


def _suggest(trial: Trial, path: str, axis: Any) -> Any:
    if not isinstance(axis, Range):
        return trial.suggest_categorical(path, axis)
    if axis.whole:
        return trial.suggest_int(path, int(axis.low), int(axis.high), step=int(axis.step or 1), log=axis.log)
    return trial.suggest_float(path, axis.low, axis.high, step=axis.step, log=axis.log)
