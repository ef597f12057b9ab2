"""The hashes of a bundle: which files are its own, and whether they are the ones that were proven.

Paths are relative to the bundle, with ``/``. The manifest itself is in no list: it holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from snn_deploy.core.errors import ConfigError, DataError, Problem
from snn_deploy.core.files import sha256_file

MANIFEST = "manifest.json"
AGAIN = "Move it away, or name another --out, and export again."
"""What helps a damaged bundle: it is not replaced as it is, since somebody may want what was changed."""


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in ``folder`` and below, but of the manifest."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256_file(path) for name, path in named.items() if name != MANIFEST}


def require_unchanged(proven: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse to vouch for a file that is not the one that was proven.

    Raises:
        DataError: files that were replaced or removed since.
    """
    problems = [
        Problem(name, "was removed" if name not in now else "was replaced", "proven and hashed is one file")
        for name, before in proven.items()
        if now.get(name) != before
    ]
    if problems:
        raise DataError("Files of the bundle changed while they were proven.", problems=problems)


def require_whole(bundle: Path, listed: Mapping[str, str], named: Iterable[str]) -> None:
    """Check a bundle that is read: its files are those with the ``listed`` hashes, and the list has
    every file that its manifest has ``named``.

    Raises:
        DataError: all faults by name.
    """
    problems = [
        Problem(name, "is a file of the bundle without a hash", "every file that a format names has one")
        for name in sorted({*named} - {*listed})
    ]
    problems += [Problem(name, "is a link", "a bundle holds files") for name in _links(bundle)]
    for name, expected in listed.items():
        path = bundle / name
        if not path.is_file():
            problems.append(Problem(name, "is missing"))
        elif sha256_file(path) != expected:
            problems.append(Problem(name, "has changed since it was verified"))
    if problems:
        raise DataError(f"The bundle '{bundle}' is damaged.", problems=problems, hint=AGAIN)


def strangers(bundle: Path, listed: Mapping[str, str]) -> list[str]:
    """What lies in the folder of a bundle and is not part of it: files, links, folders without a file."""
    own = {MANIFEST, *listed}
    folders = {str(parent) for name in own for parent in PurePosixPath(name).parents}
    found = {path.relative_to(bundle).as_posix(): path for path in sorted(bundle.rglob("*"))}
    return [
        name
        for name, path in found.items()
        if path.is_symlink() or name not in (folders if path.is_dir() else own)
    ]


def require_replaceable(folder: Path, out: Path, listed: Mapping[str, str]) -> None:
    """Refuse to replace a bundle, ``out`` whose content lies in ``folder``, that holds anything but its own
    files, unchanged.

    Raises:
        ConfigError: whatever else is there, by name; nothing was touched.
    """
    problems = [Problem(name, "is not a file of the bundle") for name in strangers(folder, listed)]
    problems += [
        Problem(name, "has changed since the bundle was written")
        for name, expected in listed.items()
        if (folder / name).is_file() and sha256_file(folder / name) != expected
    ]
    if problems:
        raise ConfigError(
            f"'{out}' holds more than the bundle that was written there; nothing was touched.",
            problems=problems,
            hint="Move these files elsewhere, or choose another --out.",
        )


def _links(bundle: Path) -> Iterator[str]:
    return (path.relative_to(bundle).as_posix() for path in sorted(bundle.rglob("*")) if path.is_symlink())
