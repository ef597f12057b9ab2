"""Fetch data sets from their publishers, when a person asks for it.

A file is fetched into ``NAME.part``, continued there after an interruption (HTTP ranges), checked against the
publisher's checksum and only then renamed to ``NAME``. Archives are unpacked into their folder and nowhere
else.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snn_deploy.core.errors import DataError
from snn_deploy.data.loading.progress import show

TIMEOUT = 60.0
BLOCK = 1 << 20
MAX_UNPACKED = 256 << 30
MAX_MEMBERS = 2_000_000

Progress = Callable[[str, int, int | None], None]
"""Told the file's name, the bytes that are here, and how many there will be if the server says so."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file of a publisher: its address, the name it gets here, and the MD5 the publisher gives for it."""

    url: str
    name: str
    md5: str


def obtain(remotes: Sequence[Remote], root: Path, *, present: Path) -> None:
    """Fetch and unpack ``remotes`` into ``root``, with progress on standard error, unless ``present`` exists.

    Raises:
        DataError: see :func:`download` and :func:`unpack`.
    """
    if present.exists():
        return
    for remote in remotes:
        archive = root / remote.name
        if not archive.exists():
            download(remote.url, archive, md5=remote.md5, progress=show_progress)
        unpack(archive, root)


def download(url: str, path: Path, *, md5: str, progress: Progress = lambda name, here, total: None) -> None:
    """Fetch ``url`` (http or https) to ``path``.

    Args:
        url: where the file is.
        path: where it goes; ``path.part`` beside it holds what is here already.
        md5: of the whole file. It protects against damage, not against a forger.
        progress: called after each block.

    Raises:
        DataError: the address is of another kind or does not answer, or what came is not the file; after
            an interruption what is here is kept, and the next call continues.
    """
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise DataError(f"'{url}' is no http or https address.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        _fetch(url, part, lambda here, total: progress(path.name, here, total))
    except urllib.error.HTTPError as error:
        raise DataError(f"'{url}' answers {error.code} {error.reason}.", hint=_BY_HAND.format(path)) from None
    except (OSError, http.client.HTTPException) as error:
        here = part.stat().st_size if part.exists() else 0
        raise DataError(
            f"The download of '{url}' stopped after {here} bytes: {error}.",
            hint="Run it again; it continues there.",
        ) from None
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        part.unlink()
        raise DataError(
            f"What '{url}' gave is not the published file: MD5 {found}, published {md5}. It was deleted.",
            hint=_BY_HAND.format(path),
        )
    part.replace(path)


_BY_HAND = "Fetch the file with a browser and put it at '{}'."


def _fetch(url: str, part: Path, progress: Callable[[int, int | None], None]) -> None:
    """Bring ``part`` to its full length, from where it ends."""
    here = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={here}-"} if here else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and here:
            return  # everything is here; the checksum decides
        raise
    with response, part.open("ab") as file:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            file.truncate(0)
            here = 0
        length = response.headers.get("Content-Length")
        total = here + int(length) if length is not None and length.isdigit() else None
        while block := response.read(BLOCK):
            file.write(block)
            here += len(block)
            progress(here, total)
    if total is not None and here != total:
        raise http.client.IncompleteRead(b"", total - here)


def show_progress(name: str, here: int, total: int | None) -> None:
    """One line on a terminal, rewritten; a line per tenth of the file elsewhere."""
    of = f" of {total / 2**20:.0f}" if total else ""
    line = f"{name}: {here / 2**20:.0f}{of} MiB"
    show(line, here, total, BLOCK)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive, also those in it, into ``folder``.

    Raises:
        DataError: it is damaged, too large, or has a member that is a link or lies outside of ``folder``.
    """
    try:
        names = _unzip(archive, folder) if zipfile.is_zipfile(archive) else _untar(archive, folder)
    except (zipfile.BadZipFile, tarfile.TarError, NotImplementedError, EOFError) as error:
        raise DataError(
            f"'{archive}' cannot be unpacked: {error}.", hint="Delete it and fetch it again."
        ) from None
    for name in names:
        inner = folder / name
        if inner.suffix == ".zip":
            unpack(inner, inner.parent)
            inner.unlink()


def _unzip(archive: Path, folder: Path) -> list[str]:
    with zipfile.ZipFile(archive) as content:
        members = [entry for entry in content.infolist() if not entry.is_dir()]
        _require_safe([(entry.filename, entry.file_size) for entry in members], archive, folder)
        content.extractall(folder, members)  # noqa: S202 - members were checked
    return [entry.filename for entry in members]


def _untar(archive: Path, folder: Path) -> list[str]:
    with tarfile.open(archive) as content:
        members = [entry for entry in content.getmembers() if not entry.isdir()]
        if strange := next((entry.name for entry in members if not entry.isreg()), None):
            raise DataError(f"'{archive}' holds '{strange}', which is no plain file.")
        _require_safe([(entry.name, entry.size) for entry in members], archive, folder)
        content.extractall(folder, members, filter="data")
    return [entry.name for entry in members]


def _require_safe(members: Sequence[tuple[str, int]], archive: Path, folder: Path) -> None:
    if len(members) > MAX_MEMBERS:
        raise DataError(f"'{archive}' holds {len(members)} files; the limit is {MAX_MEMBERS}.")
    if (total := sum(size for _, size in members)) > MAX_UNPACKED:
        raise DataError(f"'{archive}' unpacks to {total} bytes; the limit is {MAX_UNPACKED}.")
    root = os.path.realpath(folder)
    for name, _ in members:
        if os.path.commonpath([root, os.path.realpath(folder / name)]) != root:
            raise DataError(f"'{archive}' holds '{name}', which would lie outside of '{folder}'.")
