"""Atomic writes: a reader sees the old file or the new one, never half of either.

Until it is whole, a file or folder has a name that says which process is writing it::

    .NAME.PID-START-PLACE.RANDOM.SUFFIX        and for the folder that is being replaced, ....old

so that what a killed process left can be told from the work of a living one (:func:`clear_leftovers`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snn_deploy.core.owners import state_of, this_process

_OLD = ".old"
_TEMPORARY = re.compile(r"\.(.+)\.(\d+)-([0-9a-f]+)-([0-9a-f]{8})\.[a-z0-9_]{8}(\..*)?", re.DOTALL)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it over ``path`` on success, delete it on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``path`` atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def atomic_dir(path: Path, check: Callable[[Path], None] = lambda old: None) -> Iterator[Path]:
    """Yield a temporary folder; it replaces ``path`` on success and disappears on failure.

    A process that is killed between the two renames leaves the old folder aside;
    :func:`clear_leftovers` puts it back.

    Args:
        path: the folder; no link.
        check: given the old folder, out of reach already and before it is deleted; what it raises brings the
            old folder back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
    temporary.chmod(0o700 | path.stat().st_mode & 0o777 if path.is_dir() else 0o755)
    old = temporary.with_name(f"{temporary.name}{_OLD}")
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        if path.exists():
            path.replace(old)
            check(old)
        temporary.replace(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.replace(path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Put things in order in ``folder`` after processes of this machine that were killed while they wrote
    there: half-written files and folders are removed, and a folder that was about to be replaced is back.

    What a running process, or one of another machine, is writing stays; so does what cannot be removed.
    """
    with contextlib.suppress(OSError):
        for entry in [*folder.iterdir()]:
            if (match := _TEMPORARY.fullmatch(entry.name)) is None:
                continue
            name, pid, start, place, rest = match.groups()
            if state_of(int(pid), start, place) != "ended":
                continue
            if rest == _OLD and not os.path.lexists(folder / name):
                entry.rename(folder / name)
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _prefix(path: Path) -> str:
    return f".{path.name}.{this_process().tag}."


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
