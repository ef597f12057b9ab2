"""Where the trials of a sweep are kept: a file, or a database that may be away for a while."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

PATIENCE = 300.0
"""Seconds for which a database that does not answer is asked again: a restart, a failing network. Ours."""

PAUSE = 1.0
"""Seconds between two attempts. Ours."""

OPENINGS = 4
"""How often a database is opened again in which another machine creates the tables. Ours."""

AWAY = (StorageInternalError, DBAPIError)


def open_storage(storage: str) -> BaseStorage:
    """The storage at an Optuna URL, or in a file that several machines can reach."""
    if "://" not in storage:
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(storage))
    if storage.startswith("redis"):
        return optuna.storages.get_storage(storage)
    return patient(_database(storage))


def _database(url: str) -> RDBStorage:
    """The database at ``url``; machines that begin at once may all try to create its tables."""
    left = OPENINGS
    while True:
        try:
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        except (IntegrityError, ProgrammingError):
            if not left:
                raise
            left -= 1
            time.sleep(PAUSE)


def patient(database: RDBStorage) -> BaseStorage:
    """``database``, whose operations wait for the database for up to :data:`PATIENCE` seconds.

    An operation that fails is done again. What had reached the database all the same: a trial that was begun
    twice has no owner and is taken for lost, a result that was told twice counts once.
    """
    storage = optuna.storages.get_storage(database)  # what a study reads through, with a cache
    for name in BaseStorage.__abstractmethods__:
        setattr(storage, name, _patient(name, getattr(storage, name)))
    return storage


def _patient(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def repeated(*arguments: Any, **options: Any) -> Any:
        until, before = time.monotonic() + PATIENCE, False
        while True:
            try:
                return operation(*arguments, **options)
            except AWAY:
                if time.monotonic() >= until:
                    raise
                before = True
                time.sleep(PAUSE)
            except UpdateFinishedTrialError:
                if not (before and name == "set_trial_state_values"):
                    raise
                return True

    return repeated
