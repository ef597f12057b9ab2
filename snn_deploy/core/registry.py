"""One generic, typed registry for everything that is chosen by name.

What ships has a line in :mod:`snn_deploy.core.components`; third parties add theirs through an entry point.
Names and summaries of what ships are listed without importing anything, its options without torch; the module
is imported when its entry is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from snn_deploy.core import components
from snn_deploy.core.components import Component
from snn_deploy.core.errors import ConfigError, did_you_mean, known_names

T = TypeVar("T")


class Options(BaseModel):
    """Base of the typed options of a registered component: frozen; unknown keys and numbers that are not
    finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A registered ``factory`` with the model of its ``options`` and a one-line ``summary``."""

    name: str
    factory: T
    options: type[Options]
    summary: str


class Registry(Generic[T]):
    """Maps names to factories of one ``kind``.

    Args:
        kind: singular noun used in messages, e.g. ``"method"``.
        shipped: the components of this kind that ship.
        group: entry point group through which other distributions add entries.
        room: package of the modules that ``shipped`` names.
        options: module of their options; loads without torch.
    """

    def __init__(
        self,
        kind: str,
        shipped: Mapping[str, Component],
        group: str,
        *,
        room: str = "snn_deploy",
        options: str = __name__,
    ) -> None:
        self.kind = kind
        self._shipped = dict(shipped)
        self._group = group
        self._room = room
        self._options = options
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str, *, options: type[Options] = Options, summary: str = "") -> Callable[[T], T]:
        """Decorator that registers a factory; ``summary`` defaults to its docstring's first line.

        What ships has its options and its summary in the table.
        """

        def decorate(factory: T) -> T:
            if name in self._entries and self._entries[name].factory is not factory:
                raise ConfigError(f"The {self.kind} '{name}' is registered twice.")
            if name in self._shipped:
                entry = Entry(name, factory, self.options(name), self.summary(name))
            else:
                line = summary or (factory.__doc__ or "").strip().partition("\n")[0]
                entry = Entry(name, factory, options, line)
            self._entries[name] = entry
            return factory

        return decorate

    def names(self) -> list[str]:
        """All known names, sorted; imports nothing."""
        plugins = {point.name for point in entry_points(group=self._group)}
        return sorted({*self._shipped, *self._entries, *plugins})

    def summary(self, name: str) -> str:
        """The summary of ``name``; imports its module only if it does not ship. Raises as :meth:`get`."""
        return self._shipped[name].summary if name in self._shipped else self.get(name).summary

    def options(self, name: str) -> type[Options]:
        """The model of the options of ``name``; imports its module only if it does not ship. Raises as
        :meth:`get`."""
        if name not in self._shipped:
            return self.get(name).options
        found: type[Options] = getattr(importlib.import_module(self._options), self._shipped[name].options)
        return found

    def get(self, name: str) -> Entry[T]:
        """The entry of ``name``, importing its module when needed.

        Raises:
            ConfigError: no such name (with a suggestion), or its module does not register it.
        """
        if name not in self._entries:
            self._load(name)
        return self._entries[name]

    def _load(self, name: str) -> None:
        if name in self._shipped:
            module = self._shipped[name].module
            importlib.import_module(module if module.startswith(".") else f".{module}", self._room)
        else:
            for point in entry_points(group=self._group, name=name):
                point.load()
        if name not in self._entries:
            known = self.names()
            raise ConfigError(
                f"Unknown {self.kind} '{name}'.{did_you_mean(name, known)}",
                hint=known_names(name, known, "snn-deploy ls"),
            )


Factory = Callable[..., Any]

METHODS: Registry[Factory] = Registry(
    "method",
    components.METHODS,
    "snn_deploy.methods",
    room="snn_deploy.distill.methods",
    options="snn_deploy.distill.methods.options",
)
STUDENTS: Registry[Factory] = Registry(
    "student",
    components.STUDENTS,
    "snn_deploy.students",
    room="snn_deploy.models",
    options="snn_deploy.models.options",
)
TEACHERS: Registry[Factory] = Registry(
    "teacher",
    components.TEACHERS,
    "snn_deploy.teachers",
    room="snn_deploy.models",
    options="snn_deploy.models.options",
)
DATASETS: Registry[Factory] = Registry(
    "data set",
    components.DATASETS,
    "snn_deploy.datasets",
    room="snn_deploy.data.sets",
    options="snn_deploy.data.options.sets",
)
FORMATS: Registry[Factory] = Registry(
    "format",
    components.FORMATS,
    "snn_deploy.formats",
    room="snn_deploy.export",
    options="snn_deploy.export.options",
)
BACKENDS: Registry[Factory] = Registry("backend", components.BACKENDS, "snn_deploy.backends")
