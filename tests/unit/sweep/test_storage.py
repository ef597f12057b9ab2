"""A database that is away for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError

from snn_deploy.sweep import storage as module
from snn_deploy.sweep.storage import open_storage, patient


class Flaky(RDBStorage):
    """Loses the connection before, or after, some operations."""

    before = after = 0

    def set_trial_state_values(self, *arguments: Any, **options: Any) -> bool:
        if self.before:
            self.before -= 1
            raise StorageInternalError("away")
        done = super().set_trial_state_values(*arguments, **options)
        if self.after:
            self.after -= 1
            raise StorageInternalError("away")
        return done


@pytest.fixture
def flaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flaky:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    return Flaky(f"sqlite:///{tmp_path / 'trials.db'}")


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 1), (3, 1)])
def test_a_result_is_told_once(flaky: Flaky, before: int, after: int) -> None:
    study = optuna.create_study(storage=patient(flaky))
    trial = study.ask()
    flaky.before, flaky.after = before, after
    study.tell(trial, 1.0)
    assert (flaky.before, flaky.after) == (0, 0)
    (kept,) = study.get_trials()
    assert (kept.state, kept.value) == (TrialState.COMPLETE, 1.0)


def test_a_result_that_another_has_told_is_refused(flaky: Flaky) -> None:
    storage = patient(flaky)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [2.0])


def test_patience_ends(flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    study = optuna.create_study(storage=patient(flaky))
    trial = study.ask()
    flaky.before = 1
    with pytest.raises(StorageInternalError):
        study.tell(trial, 1.0)


def test_a_file_is_a_journal(tmp_path: Path) -> None:
    assert isinstance(open_storage(str(tmp_path / "new" / "trials.log")), JournalStorage)
    assert open_storage(f"sqlite:///{tmp_path / 'trials.db'}").get_all_studies() == []


@pytest.mark.parametrize("collisions", [1, module.OPENINGS])
def test_another_machine_creates_the_tables(
    collisions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [IntegrityError("create table", {}, ValueError("duplicate key"))] * collisions

    def opened(url: str, **options: Any) -> RDBStorage:
        if left:
            raise left.pop()
        return RDBStorage(url, **options)

    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "RDBStorage", opened)
    assert open_storage(f"sqlite:///{tmp_path / 'trials.db'}").get_all_studies() == []
