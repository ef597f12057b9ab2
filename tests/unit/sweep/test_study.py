from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.core.errors import DataError
from snn_deploy.sweep import study as module
from snn_deploy.sweep.plan import Plan, make_plan
from snn_deploy.sweep.study import Done, Study, pareto


def plan() -> Plan:
    return make_plan("short-digits-sweep", (), None, profile="loihi1-davies", samples=4, seed=3)


def figures(accuracy: float = 0.5, energy: float = 1e-9) -> dict[str, Any]:
    return {
        "accuracy": accuracy,
        "energy": {"low": energy / 2, "mid": energy, "high": 2 * energy},
        "unknown": ["hops"],
        "sops": 10.0,
    }


def done(number: int, accuracy: float | None, energy: float) -> Done:
    price = {"low": energy, "mid": energy, "high": energy}
    return Done(number, {}, accuracy, price, (), "", 0, "" if accuracy is not None else "broken")


def test_what_is_told_is_kept_and_a_new_process_goes_on(tmp_path: Path) -> None:
    searched, storage = plan(), str(tmp_path / "journal.log")
    first = Study(searched, storage)
    number, values, folder = first.ask()
    assert set(values) == set(searched.space)
    assert values["student.blocks.0.channels"] in range(4, 25, 4)
    assert folder == "trials/0000"
    first.tell(number, figures(0.75, 2e-9), seed=5)
    number, _, _ = first.ask()
    first.tell_error(number, "the loss is not finite")
    again = Study(searched, storage)
    good, bad = again.done()
    assert (good.accuracy, good.energy["mid"], good.seed, good.unknown) == (0.75, 2e-9, 5, ("hops",))
    assert good.values == values
    assert (bad.accuracy, bad.error) == (None, "the loss is not finite")
    assert again.ask()[1] != values


def test_a_lost_trial_is_done_again_with_its_values_and_folder(tmp_path: Path) -> None:
    study = Study(plan(), str(tmp_path / "journal.log"))
    number, values, folder = study.ask()
    study.lose(number)
    assert study.done() == []
    retried, same, where = study.ask()
    assert (same, where) == (values, folder)
    study.tell(retried, figures(), seed=0)
    assert study.ask()[1] != values
    assert study.lost() == 1


def test_a_trial_that_kills_its_process_every_time_is_given_up(tmp_path: Path) -> None:
    study = Study(plan(), str(tmp_path / "journal.log"))
    values = []
    for _ in range(module.TRIES):
        number, tried, _ = study.ask()
        values.append(tried)
        study.lose(number)
    assert values[1:] == values[:-1]
    (failed,) = study.done()
    assert "ended 3 times" in failed.error
    assert study.ask()[1] != values[0]


def test_trials_of_a_killed_sweep_are_lost_and_those_of_others_only_when_they_fall_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched, storage = plan(), str(tmp_path / "journal.log")
    elsewhere = make_plan("short-digits-sweep", (), None, profile="loihi1-davies", samples=4, seed=9)
    assert elsewhere.study == searched.study
    Study(searched, storage).ask()  # and this process is killed
    other = Study(elsewhere, storage)
    other.ask()
    mine = Study(searched, storage)
    assert mine.open_trials() == 2
    assert mine.requeue_lost() == 1
    assert mine.requeue_lost() == 0
    assert mine.open_trials() == 1
    later = time.time() + module.SILENCE + 1
    monkeypatch.setattr(module.time, "time", lambda: later)
    other._last_beat = -1e9
    other.beat()
    assert mine.requeue_lost() == 0
    monkeypatch.setattr(module.time, "time", lambda: later + module.SILENCE + 1)
    assert mine.requeue_lost() == 1
    assert mine.open_trials() == 0


def test_a_storage_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The storage 'nonsense://x' cannot be used"):
        Study(plan(), "nonsense://x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be used"):
        Study(plan(), str(tmp_path / "folder"))


def test_a_database_is_a_storage_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    first = Study(plan(), url)
    number, _, _ = first.ask()
    first.tell(number, figures(), seed=0)
    assert len(Study(plan(), url).done()) == 1


figure = st.one_of(st.none(), st.integers(0, 4).map(lambda n: n / 4))


@settings(max_examples=60)
@given(st.lists(st.tuples(figure, st.integers(1, 5)), max_size=12))
def test_the_front_is_what_nothing_beats(drawn: list[tuple[float | None, int]]) -> None:
    trials = [done(number, accuracy, energy) for number, (accuracy, energy) in enumerate(drawn)]
    front = pareto(trials)
    for trial in trials:
        if trial.accuracy is None:
            assert trial not in front
            continue
        beaten = any(
            other.accuracy is not None
            and other.accuracy >= trial.accuracy
            and other.energy["mid"] <= trial.energy["mid"]
            and (other.accuracy > trial.accuracy or other.energy["mid"] < trial.energy["mid"])
            for other in trials
        )
        assert (trial in front) is not beaten
    energies = [trial.energy["mid"] for trial in front]
    assert energies == sorted(energies)
    assert [t.accuracy for t in front] == sorted(t.accuracy for t in front if t.accuracy is not None)


def test_a_trial_that_another_machine_has_just_begun_is_not_lost(tmp_path: Path) -> None:
    shared = str(tmp_path / "shared.log")
    here, there = Study(plan(), shared), Study(plan(), shared)
    there._study.ask()  # begun, and not yet marked as its own
    assert here.requeue_lost() == 0
    assert here.open_trials() == 1
