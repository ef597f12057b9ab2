"""Python code of a user's own, named ``FILE.py:NAME``: a class, a function, or a finished object.

The file is run when it is asked for, in a module of its own. It can import what is installed, what lies
beside it, and the other modules of its package. Naming it on the command line is what permits that.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snn_deploy.core.documents import parse_yaml
from snn_deploy.core.errors import ConfigError, DataError, Problem, did_you_mean
from snn_deploy.recipes.own_files import digest, import_root, importable, needed_files

_MARK = ".py:"
_LATER = object()
"""Stands for a value that is known when something is built."""


def is_own_code(name: Path | str) -> bool:
    """Whether ``name`` is of the form ``FILE.py:NAME``."""
    return _MARK in str(name)


@dataclass(frozen=True, slots=True)
class OwnCode:
    """``NAME`` in a Python ``file`` of the user."""

    file: Path
    name: str

    @classmethod
    def of(cls, text: Path | str, folder: Path | None = None) -> OwnCode:
        """``FILE.py:NAME``; a relative file lies in ``folder``, by default the current one.

        Raises:
            ConfigError: no such form.
            DataError: there is no such file.
        """
        place, mark, name = str(text).rpartition(_MARK)
        if not mark or not name.isidentifier():
            raise ConfigError(f"'{text}' is not of the form FILE.py:NAME.", hint="Such as my_net.py:Net")
        file = (folder or Path()) / f"{place}.py"
        if not file.is_file():
            raise DataError(
                f"There is no file '{file}'.", hint="FILE.py:NAME names a Python file and a class."
            )
        return cls(file, name)

    @property
    def sha256(self) -> str:
        """Of the file and those that it imports of its own folder; see
        :func:`snn_deploy.recipes.own_files.digest`."""
        return digest(needed_files(self.file))

    def load(self) -> Any:
        """What the file calls ``name``; the file is run once per process, place and content.

        Raises:
            ConfigError: the file fails, or nothing in it has that name.
        """
        place = hashlib.sha256(f"{self.file.resolve()} {self.sha256}".encode()).hexdigest()
        package = self.file.resolve().parent.relative_to(import_root(self.file)).parts
        key = ".".join((*package, f"_snn_deploy_own_{self.file.stem}_{place[:16]}"))
        module = sys.modules.get(key) or self._run(key)
        if not hasattr(module, self.name):
            names = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == key]
            raise ConfigError(
                f"'{self.file}' holds nothing called '{self.name}'.{did_you_mean(self.name, names)}",
                hint=f"It defines: {', '.join(names) or 'nothing'}",
            )
        return getattr(module, self.name)

    def build(self, arguments: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
        """``NAME(**arguments)``, or the object itself where it cannot be called to make one.

        Those ``offered`` are given where the signature names them and ``arguments`` does not; None is what
        nobody knows.

        Raises:
            ConfigError: arguments that it does not take or needs, all at once; or it fails.
        """
        made = self.load()
        if problems := list(_argument_problems(made, arguments, offered)):
            raise ConfigError(f"'{self.name}' of '{self.file}' cannot be called so.", problems=problems)
        if not _is_maker(made):
            return made
        try:
            with importable(self.file):
                return made(**_wanted(made, arguments, offered), **arguments)
        except Exception as error:
            raise self.failed(f"'{self.name}' of '{self.file}' failed", error) from error

    def requires(self, argument: str) -> bool:
        """Whether ``NAME`` must be given ``argument``."""
        made = self.load()
        parameters = inspect.signature(made).parameters if _is_maker(made) else {}
        return argument in parameters and parameters[argument].default is inspect.Parameter.empty

    def faults(self, arguments: Mapping[str, Any], offered: Iterable[str]) -> Iterable[Problem]:
        """What is wrong with ``arguments`` and the names of what will be ``offered``; nothing is built.

        Raises:
            ConfigError: as :meth:`load`.
        """
        return _argument_problems(self.load(), arguments, dict.fromkeys(offered, _LATER))

    def failed(self, what: str, error: Exception) -> ConfigError:
        """An error that this code raised, as the user's own fault, with the line of the file."""
        return _failed(what, self.file, error)

    def _run(self, key: str) -> Any:
        spec = importlib.util.spec_from_file_location(key, self.file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        try:
            with importable(self.file):
                if spec.parent:
                    importlib.import_module(spec.parent)
                spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[key]
            raise self.failed(f"'{self.file}' cannot be run", error) from error
        return module


def read_arguments(texts: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE``, each value as YAML.

    Raises:
        ConfigError: of another form; all at once.
    """
    found: dict[str, Any] = {}
    problems = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            problems.append(Problem(text, "not of the form KEY=VALUE", try_instead="--arg width=16"))
        else:
            found[name] = parse_yaml(value, f"--arg {name}", "value")
    if problems:
        raise ConfigError("These arguments cannot be read.", problems=problems)
    return found


def _is_maker(made: Any) -> bool:
    return inspect.isclass(made) or inspect.isfunction(made)


def _wanted(made: Any, arguments: Mapping[str, Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(made).parameters
    return {
        name: value
        for name, value in offered.items()
        if name in parameters
        and name not in arguments
        and (value is not None or parameters[name].default is inspect.Parameter.empty)
    }


def _argument_problems(
    made: Any, arguments: Mapping[str, Any], offered: Mapping[str, Any]
) -> Iterable[Problem]:
    if not _is_maker(made):
        yield from (Problem(name, "is not taken", "this is no class or function") for name in arguments)
        return
    given = {**_wanted(made, arguments, offered), **arguments}
    parameters = inspect.signature(made).parameters
    kinds = inspect.Parameter
    anything = any(p.kind is kinds.VAR_KEYWORD for p in parameters.values())
    names = [n for n, p in parameters.items() if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    for name, value in given.items():
        if name not in names and not anything:
            taken = f"it takes {', '.join(names) or 'none'}"
            yield Problem(name, f"unknown argument.{did_you_mean(name, names)}", taken)
        elif value is None and name not in arguments:
            yield Problem(name, "is not known", f"state it, as an option or with --arg {name}=...")
    for name in names:
        if name not in given and parameters[name].default is kinds.empty:
            yield Problem(name, "is missing", "it has no default", try_instead=f"--arg {name}=...")


def _failed(what: str, file: Path, error: Exception) -> ConfigError:
    """The user's own fault, with the line of the user's own file."""
    frames, here = traceback.extract_tb(error.__traceback__), file.resolve()
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == here]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    place = f" (line {line})" if line else ""
    hint = None
    if isinstance(error, ModuleNotFoundError):
        hint = "Install it, or put the folder that holds it on PYTHONPATH."
    return ConfigError(f"{what}{place}: {type(error).__name__}: {error}", hint=hint)
