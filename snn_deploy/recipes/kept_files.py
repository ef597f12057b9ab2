"""Files that a recipe names as the beginning of a run: a network, an ANN, weights.

A recipe names such a file by its full path with its SHA-256, and the run keeps a copy in ``code/SHA-256/``,
as of code: a run is opened with the bytes that it was trained from, wherever the file is by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.files import sha256_file, write_bytes

PARTS = (("student", "converted", "network"), ("teacher", "onnx", "file"), ("init", None, "weights"))
"""Sections of a recipe, the name that they have there, and the key of the file."""

_found: dict[str, Path] = {}
"""Where a file of a SHA-256 was last seen."""


def settle_files(content: dict[str, Any], folder: Path, kept: Path | None = None) -> Iterator[Problem]:
    """Make the files that ``content`` (a recipe as read) names known by full path and SHA-256; relative paths
    begin in ``folder``. Yields what is wrong: no such file, or other bytes than recorded.

    ``kept`` is where copies lie, for files that are not there or have changed since.
    """
    for where, part, key in _named(content):
        path = folder / part[key]
        recorded = part.get("sha256") or None
        copies = sorted((kept / recorded).glob("*")) if kept is not None and recorded is not None else []
        for place in (path, *copies):
            if place.is_file() and recorded in (None, digest := sha256_file(place)):
                _found[digest] = place.resolve()
                part["sha256"] = digest
                if not path.is_absolute() or recorded is None:
                    part[key] = str(path.resolve())
                break
        else:
            what = "has changed since" if path.is_file() else "is not there"
            yield Problem(f"{where}.{key}", f"'{path}' {what}", try_instead="put it back, or name another")


def keep_files(content: Mapping[str, Any], folder: Path) -> None:
    """Copy the files that ``content``, a settled recipe, names to ``folder/SHA-256/``."""
    for _, part, key in _named(content):
        path = kept_file(Path(part[key]), part["sha256"])
        write_bytes(folder / part["sha256"] / Path(part[key]).name, path.read_bytes())


def kept_file(path: Path, sha256: str) -> Path:
    """Where the file named ``path`` in a settled recipe lies.

    Raises:
        DataError: nowhere, or its bytes are others.
    """
    place = _found.get(sha256, path)
    if not place.is_file() or sha256_file(place) != sha256:
        raise DataError(
            f"The file '{path}' is not there, or has changed since (SHA-256 {sha256[:12]}...).",
            hint="Put the file back as it was.",
        )
    return place


def _named(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Sections of a recipe that name a file, and the key of the file."""
    for where, name, key in PARTS:
        part = content.get(where)
        if isinstance(part, dict) and part.get("name") == name and isinstance(part.get(key), str):
            yield where, part, key
