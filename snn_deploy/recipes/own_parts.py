"""Parts of a recipe that are code of the user's own: ``name: FILE.py:NAME`` of student, teacher or data.

Such a file is run only when the user trusts it: ``--trust`` keeps the SHA-256 of its content among the files
of the user's cache, and a file of that content is trusted from then on. The recipe of a run names the file by
its full path, with its SHA-256: a run is opened with the code that it was trained with, or not at all.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from snn_deploy.core.errors import Problem, SnnDeployError
from snn_deploy.core.files import write_text
from snn_deploy.core.places import cache_dir
from snn_deploy.core.registry import DATASETS, STUDENTS, TEACHERS, Options, Registry
from snn_deploy.recipes.own_code import OwnCode, is_own_code

_SECTIONS: tuple[tuple[str, Registry[Any]], ...] = (
    ("data", DATASETS),
    ("teacher", TEACHERS),
    ("student", STUDENTS),
)


class OwnOptions(Options):
    """Arguments of the code, whatever they are called; ``code_sha256`` is that of its file."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=(), allow_inf_nan=False)

    code_sha256: str


def settle(content: dict[str, Any], folder: Path, *, trust: bool) -> Iterator[Problem]:
    """Make the code that ``content`` (the recipe as read) names known by its full path; relative paths begin
    in ``folder``. Yields what is wrong: no such file, other content than recorded, code that is not trusted.
    """
    for section, registry in _SECTIONS:
        part = content.get(section)
        if not isinstance(part, dict) or not is_own_code(str(part.get("name"))):
            continue
        where = f"{section}.name"
        try:
            code = OwnCode.of(part["name"], folder)
            digest = code.sha256
        except SnnDeployError as error:
            yield Problem(where, error.message, try_instead=error.hint or "")
            continue
        if part.get("code_sha256", digest) != digest:
            yield Problem(
                where,
                f"'{code.file}' has changed since",
                f"SHA-256 {part['code_sha256'][:12]}...",
                "put it back",
            )
            continue
        kept = cache_dir() / "trusted" / digest
        if trust:
            write_text(kept, f"{code.file.resolve()}\n")
        elif not kept.is_file():
            rule = "a file of code is run when you trust it"
            yield Problem(where, f"'{code.file}' is code", rule, try_instead="read it, then add --trust")
            continue
        part["name"], part["code_sha256"] = f"{code.file.resolve()}:{code.name}", digest
        checkpoint = part.get("checkpoint")
        if isinstance(checkpoint, str) and (folder / checkpoint).is_file():
            part["checkpoint"] = str((folder / checkpoint).resolve())
        _make_known(part["name"], registry)


def _make_known(name: str, registry: Registry[Any]) -> None:
    if name in registry.names():
        return
    code = OwnCode.of(name)

    def make(options: OwnOptions, **offered: Any) -> Any:
        offered.pop("cache", None)
        classes = offered.get("classes")
        made = code.build(
            options.model_extra or {}, {**offered, "num_classes": classes} if classes else offered
        )
        if registry is not DATASETS:
            return importlib.import_module("snn_deploy.models.own").as_module(made, f"'{name}'")
        sets = importlib.import_module("snn_deploy.data.sets.own_arrays")
        return sets.as_data_set(made, code.name, offered["timesteps"])

    registry.register(name, options=OwnOptions, summary=f"{code.name} of {code.file.name}")(make)
