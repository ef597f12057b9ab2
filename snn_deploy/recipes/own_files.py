"""The Python files that a file of the user's own needs: itself, and what it imports of its own folder.

A file beside ``__init__.py`` belongs to a package: then what it imports of the package's modules counts too,
and paths begin in the folder that holds the package. Found by reading, without running anything.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from snn_deploy.core.files import sha256_file

_OURS = "snn_deploy"
_known: dict[str, tuple[str, str]] = {}
"""Modules that were imported from users' folders by this process: path and SHA-256 by name."""


def import_root(file: Path) -> Path:
    """The folder that imports begin in: that of ``file``, or the one that holds its package."""
    root = file.resolve().parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return root


def needed_files(file: Path) -> dict[str, Path]:
    """``file`` and those that it imports, directly or through others, by their path from the import root."""
    root, waiting, found = import_root(file), [file.resolve()], dict[Path, None]()
    waiting += [p for folder in file.resolve().parents if (p := folder / "__init__.py").is_file()]
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_relative_to(root):
            found[path] = None
            waiting += _imported(path, (file.resolve().parent, root))
    return {path.relative_to(root).as_posix(): path for path in sorted(found)}


def digest(files: Mapping[str, Path]) -> str:
    """SHA-256 of the only file; of several, of the lines ``SHA-256, two spaces, path`` in order of paths."""
    hashes = {name: sha256_file(path) for name, path in sorted(files.items())}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{value}  {name}\n" for name, value in hashes.items())
    return hashlib.sha256(lines.encode()).hexdigest()


@contextmanager
def importable(file: Path) -> Iterator[None]:
    """While this is open, ``file`` can import what lies beside it and in its package, as it is now.

    Modules of the same name from another user's folder, or from before a change, are forgotten.
    """
    files = {str(path): sha256_file(path) for path in needed_files(file).values()}
    for name, (path, known) in list(_known.items()):
        if files.get(path) != known:
            sys.modules.pop(name, None)
            del _known[name]
    before = set(sys.modules)
    places = [str(file.resolve().parent), str(import_root(file))]
    sys.path[:0] = places
    try:
        yield
    finally:
        for place in places:
            sys.path.remove(place)
        for name in set(sys.modules) - before:
            path = str(getattr(sys.modules[name], "__file__", None) or "")
            if path in files:
                _known[name] = path, files[path]


def _imported(file: Path, roots: tuple[Path, Path]) -> Iterator[Path]:
    for level, parts in _imports(file.read_bytes()):
        yield from _modules(parts, (file.parents[level - 1],) if level else roots)


@functools.lru_cache(maxsize=1024)
def _imports(source: bytes) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """What the text of a module imports: the level of a relative import, else 0, and the dotted name's parts.

    A file is looked at several times before its network is built, and parsing is what takes the time.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()  # running it says what is wrong
    found: list[tuple[int, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(0, tuple(alias.name.split("."))) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module.split(".") if node.module else []
            found += [(node.level, (*base, alias.name)) for alias in node.names]
    return tuple(found)


def _modules(parts: Sequence[str], places: tuple[Path, ...]) -> Iterator[Path]:
    """The files of the modules that ``parts`` of a dotted name lead through."""
    if parts[0] == _OURS:
        return
    for place in places:
        for end in range(1, len(parts) + 1):
            path = place.joinpath(*parts[:end])
            yield from (p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file())
