"""Parts of a recipe that are code of the user's own: ``name: FILE.py:NAME`` of student, teacher or data.

Such a file is run only when the user trusts it: ``--trust``, or a yes when asked, keeps the SHA-256 of its
content among the files of the user's cache, and a file of that content is trusted from then on. The recipe of
a run names the file by its full path, with its SHA-256, and the run keeps a copy: a run is opened with the
code that it was trained with, or not at all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ConfigDict

from snn_deploy.core.errors import ConfigError, Problem, SnnDeployError
from snn_deploy.core.files import write_bytes, write_text
from snn_deploy.core.places import cache_dir
from snn_deploy.core.registry import DATASETS, STUDENTS, TEACHERS, Options, Registry
from snn_deploy.recipes.own_code import OwnCode, is_own_code
from snn_deploy.recipes.own_files import needed_files

Trust: TypeAlias = bool | Callable[[OwnCode], bool]
"""Whether code may be run; or what is asked, once for each file that is not trusted yet."""

UNTRUSTED = "a file of code is run when you trust it"

_SECTIONS: tuple[tuple[str, Registry[Any], tuple[str, ...]], ...] = (
    ("data", DATASETS, ("timesteps",)),
    ("teacher", TEACHERS, ("in_shape", "classes", "num_classes")),
    ("student", STUDENTS, ("in_shape", "classes", "num_classes", "timesteps")),
)
"""Parts of a recipe, and what each is given by itself where its signature names it."""
_RECIPE_KEYS = ("name", "code_sha256", "checkpoint", "train")
_codes: dict[str, OwnCode] = {}
"""Code by its name in a recipe and its SHA-256."""


class OwnOptions(Options):
    """Arguments of the code, whatever they are called; ``code_sha256`` is that of its file."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=(), allow_inf_nan=False)

    code_sha256: str


def settle(
    content: dict[str, Any], folder: Path, *, trust: Trust, kept: Path | None = None
) -> Iterator[Problem]:
    """Make the code that ``content`` (the recipe as read) names known by its full path; relative paths begin
    in ``folder``. Yields what is wrong: no such file, other content than recorded, code that is not trusted.

    ``kept`` is where copies lie (:func:`keep_code`), for files that have changed since.
    """
    asked: dict[str, bool] = {}
    for section, registry, _ in _SECTIONS:
        part = content.get(section)
        if not isinstance(part, dict) or not is_own_code(str(part.get("name"))):
            continue
        where = f"{section}.name"
        try:
            code, digest = _found(part["name"], folder, part.get("code_sha256"), kept)
        except SnnDeployError as error:
            yield Problem(where, error.message, try_instead=error.hint or "")
            continue
        if digest not in asked:
            asked[digest] = _trusted(code, digest, trust)
        if not asked[digest]:
            yield Problem(where, f"'{code.file}' is code", UNTRUSTED, try_instead="read it, then add --trust")
            continue
        if not Path(part["name"]).is_absolute():
            part["name"] = f"{code.file.resolve()}:{code.name}"
        part["code_sha256"] = digest
        checkpoint = part.get("checkpoint")
        if isinstance(checkpoint, str) and (folder / checkpoint).is_file():
            part["checkpoint"] = str((folder / checkpoint).resolve())
        make_known(part["name"], code, digest, registry)


def faults(content: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the arguments of the code that ``content``, a recipe with known code, names. The
    files are run, nothing is built."""
    for section, _, offered in _SECTIONS:
        if code := _known(content.get(section)):
            arguments = {key: value for key, value in content[section].items() if key not in _RECIPE_KEYS}
            try:
                found = list(code.faults(arguments, offered))
            except SnnDeployError as error:
                yield Problem(f"{section}.name", error.message, try_instead=error.hint or "")
                continue
            for p in found:
                instead = p.try_instead and f"{section}: {{..., {p.where}: ...}}"
                yield Problem(f"{section}.{p.where}", p.what, p.rule, try_instead=instead)


def keep_code(content: Mapping[str, Any], folder: Path) -> None:
    """Copy the files of the code that ``content``, a recipe with known code, names to ``folder/SHA-256/``."""
    for section, _, _ in _SECTIONS:
        if code := _known(content.get(section)):
            for name, path in needed_files(code.file).items():
                write_bytes(folder / content[section]["code_sha256"] / name, path.read_bytes())


def make_known(name: str, code: OwnCode, digest: str, registry: Registry[Any]) -> None:
    """Put ``code``, as it is now, into ``registry`` as ``name``."""
    _codes[f"{name} {digest}"] = code
    if name in registry.names():
        return
    home = Path(name).parent

    def make(options: OwnOptions, **offered: Any) -> Any:
        now, arguments = _codes[f"{name} {options.code_sha256}"], options.model_extra or {}
        if registry is DATASETS:
            return data_of(now, arguments, offered["timesteps"], home)
        made = now.build(arguments, {**offered, "num_classes": offered["classes"]})
        return importlib.import_module("snn_deploy.models.own").as_module(made, f"'{name}'")

    registry.register(name, options=OwnOptions, summary=f"{code.name} of {code.file.name}")(make)


def data_of(
    code: OwnCode, arguments: Mapping[str, Any], timesteps: int | None, folder: Path, *, divide: bool = True
) -> Any:
    """The data set that ``code`` makes; see :func:`snn_deploy.data.sets.own_arrays.as_data_set`."""
    made = code.build(arguments, {"timesteps": timesteps})
    sets = importlib.import_module("snn_deploy.data.sets.own_arrays")
    try:
        return sets.as_data_set(made, code.name, timesteps, folder, divide=divide)
    except SnnDeployError:
        raise
    except Exception as error:
        raise code.failed(f"The data of '{code.name}' in '{code.file}' cannot be read", error) from error


def _known(part: Any) -> OwnCode | None:
    """The code that a section of a recipe names."""
    return _codes.get(f"{part.get('name')} {part.get('code_sha256')}") if isinstance(part, dict) else None


def _found(name: str, folder: Path, recorded: str | None, kept: Path | None) -> tuple[OwnCode, str]:
    """The code of ``name`` and its SHA-256: that ``recorded``, if any, of the file itself or its copy.

    Raises:
        DataError, ConfigError: there is none.
    """
    if recorded is None:
        code = OwnCode.of(name, folder)
        return code, code.sha256
    file, _, attribute = name.rpartition(":")
    copies = sorted((kept / recorded).rglob(Path(file).name)) if kept is not None else []
    for path in (folder / file, *copies):
        if path.is_file() and OwnCode(path, attribute).sha256 == recorded:
            return OwnCode(path, attribute), recorded
    OwnCode.of(name, folder)
    raise ConfigError(f"'{folder / file}' has changed since (SHA-256 {recorded[:12]}...)", hint="put it back")


def _trusted(code: OwnCode, digest: str, trust: Trust) -> bool:
    mark = cache_dir() / "trusted" / digest
    if mark.is_file():
        return True
    if trust is True or (callable(trust) and trust(code)):
        write_text(mark, f"{code.file.resolve()}\n")
        return True
    return False
