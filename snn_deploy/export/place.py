"""Where a bundle is put: only a bundle of ours, as it was written, is ever replaced."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.files import atomic_dir, clear_leftovers
from snn_deploy.core.locks import Note, locked
from snn_deploy.export.manifest import read_listed
from snn_deploy.export.seal import MANIFEST, require_replaceable


def require_place(out: Path) -> None:
    """Check that a bundle can be put at ``out``. Links are followed, never replaced.

    Raises:
        ConfigError: something is there that is not an unchanged bundle; everything at fault by name.
    """
    target = out.resolve()
    if target == Path.cwd() or target in Path.cwd().parents:
        raise ConfigError(f"'{out}' is the folder you are in, or above it.", hint="Name a folder to make.")
    _check(out, target)


def require_no_bundle(folder: Path) -> None:
    """Refuse to write anything else into a bundle, which would no longer be what was verified.

    Raises:
        ConfigError: ``folder`` is a bundle or lies in one.
    """
    for place in (folder.resolve(), *folder.resolve().parents):
        if (place / MANIFEST).is_file():
            raise ConfigError(
                f"'{folder}' is in the bundle '{place}', which stays as it was verified.",
                hint="Choose another --out.",
            )


@contextlib.contextmanager
def new_bundle(out: Path, note: Note) -> Iterator[Path]:
    """Yield an empty folder that becomes the bundle at ``out``, in place of one that may be there.

    Raises:
        ConfigError: another process exports there, or see :func:`require_place`.
    """
    target = out.resolve()
    with locked(target.with_name(f".{target.name}.lock"), str(out), note):
        clear_leftovers(target.parent)
        _check(out, target)
        with atomic_dir(target, functools.partial(_check, out)) as folder:
            yield folder


def _check(out: Path, folder: Path) -> None:
    """Refuse to replace ``out``, whose content lies in ``folder``."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise ConfigError(f"'{out}' exists and is not a folder; it is not overwritten.")
    if not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise ConfigError(f"'{out}' exists and is not a bundle; it is not overwritten.")
    try:
        listed = read_listed(folder)
    except DataError as error:
        raise ConfigError(
            f"'{out}' exists and its manifest is not one of ours; it is not overwritten.",
            problems=error.problems,
            hint="Move the folder away, or choose another --out.",
        ) from None
    require_replaceable(folder, out, listed)
