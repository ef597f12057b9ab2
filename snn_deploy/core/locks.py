"""One process at a time works in a folder.

A lock is a file that names its owner, held by flock(2): the system lets go of it when the process ends,
however it ends. A lock file that nobody holds is left of a process that was killed, and is taken over. On
network folders a system may not see the locks of other machines: a file that names another machine is
believed, and the error says how to remove it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.owners import Owner, this_process

Note = Callable[[str], None]

_MOST_BYTES = 4096


@contextlib.contextmanager
def locked(file: Path, what: str, note: Note = lambda line: None) -> Iterator[None]:
    """Hold the lock ``file`` as long as the context is open; it is gone afterwards.

    Args:
        file: the lock; its folder is made when needed.
        what: what it is for, in messages: the folder that one process may work in.
        note: told when the lock of a process that has ended was taken over.

    Raises:
        ConfigError: another process holds it, or one of another machine may.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, alone = _taken(file)
    try:
        before, since = _read(handle)
        if not alone or (before is not None and before.state() != "ended"):
            raise _refusal(file, what, before, since, alone)
        if before is not None:
            note(f"took over '{what}' from process {before.pid}, which has ended without finishing its work")
        _write(handle)
    except BaseException:
        os.close(handle)
        raise
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _same(file, handle):
                os.ftruncate(handle, 0)
                file.unlink()
        os.close(handle)


def _taken(file: Path) -> tuple[int, bool]:
    """The opened lock file, and whether it is ours; where there are no locks, what is in it decides."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        if not _flock(handle):
            return handle, False
        if _same(file, handle):
            return handle, True
        os.close(handle)  # whoever held it removed it in the meantime


def _flock(handle: int) -> bool:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def _same(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except OSError:
        return False


def _read(handle: int) -> tuple[Owner | None, str]:
    """Who is named in the lock file, and since when; a file that was not written to its end names nobody."""
    try:
        content = json.loads(os.read(handle, _MOST_BYTES))
        owner = Owner(int(content["pid"]), str(content["start"]), str(content["host"]))
        return owner, str(content["since"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, ""


def _write(handle: int) -> None:
    """Name this process; a full disk costs the name, not the lock."""
    owner = this_process()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"pid": owner.pid, "start": owner.start, "host": owner.host, "since": since}
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, json.dumps(content).encode())


def _refusal(file: Path, what: str, owner: Owner | None, since: str, alone: bool) -> ConfigError:
    """``alone``: nobody of this machine holds the lock."""
    who = "another process" if owner is None else f"process {owner.pid} on {owner.host} since {since}"
    if owner is None or not alone or owner.state() == "running":
        return ConfigError(
            f"'{what}' is in use by {who}.", hint="Wait until it is done, or choose another folder."
        )
    return ConfigError(
        f"'{what}' was locked by {who}; from this machine it cannot be seen whether that still runs.",
        hint=f"Look on {owner.host}. If it has ended, delete '{file}'.",
    )
