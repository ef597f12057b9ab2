"""One generic, typed registry for everything that is chosen by name.

A built-in is one file plus one line in a table below; third parties add theirs through an entry point.
Names are listed without importing anything; the module is imported when its entry is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from snn_deploy.core.errors import ConfigError, did_you_mean

T = TypeVar("T")


class Options(BaseModel):
    """Base of the typed options of a registered component: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


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
        builtin: name to module path of every built-in; importing the module registers it.
        group: entry point group through which other distributions add entries.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self._modules = dict(builtin)
        self._group = group
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str, *, options: type[Options] = Options, summary: str = "") -> Callable[[T], T]:
        """Decorator that registers a factory; ``summary`` defaults to its docstring's first line."""

        def decorate(factory: T) -> T:
            if name in self._entries and self._entries[name].factory is not factory:
                raise ConfigError(f"The {self.kind} '{name}' is registered twice.")
            line = summary or (factory.__doc__ or "").strip().partition("\n")[0]
            self._entries[name] = Entry(name, factory, options, line)
            return factory

        return decorate

    def names(self) -> list[str]:
        """All known names, sorted; imports nothing."""
        plugins = {point.name for point in entry_points(group=self._group)}
        return sorted({*self._modules, *self._entries, *plugins})

    def get(self, name: str) -> Entry[T]:
        """The entry of ``name``, importing its module when needed.

        Raises:
            ConfigError: no such name (with a suggestion), or its module does not register it.
        """
        if name not in self._entries:
            self._load(name)
        return self._entries[name]

    def _load(self, name: str) -> None:
        if name in self._modules:
            importlib.import_module(self._modules[name])
        else:
            for point in entry_points(group=self._group, name=name):
                point.load()
        if name not in self._entries:
            known = self.names()
            raise ConfigError(
                f"Unknown {self.kind} '{name}'.{did_you_mean(name, known)}",
                hint=f"Known: {', '.join(known)}",
            )


Factory = Callable[..., Any]

METHODS: Registry[Factory] = Registry(
    "method",
    {
        "none": "snn_deploy.distill.methods.none",
        "kd": "snn_deploy.distill.methods.kd",
        "tser": "snn_deploy.distill.methods.tser",
        "tssd": "snn_deploy.distill.methods.tssd",
        "samd_nld": "snn_deploy.distill.methods.samd_nld",
        "bkd": "snn_deploy.distill.methods.bkd",
        "s2w": "snn_deploy.distill.methods.s2w",
    },
    "snn_deploy.methods",
)
STUDENTS: Registry[Factory] = Registry(
    "student",
    {
        "spiking-cnn": "snn_deploy.models.spiking_cnn",
        "vgg9": "snn_deploy.models.vgg",
        "vggsnn": "snn_deploy.models.vgg",
        "dvs-csnn": "snn_deploy.models.vgg",
        "resnet18": "snn_deploy.models.residual",
        "resnet19": "snn_deploy.models.residual",
        "resnet20": "snn_deploy.models.residual",
        "resnet34": "snn_deploy.models.residual",
        "sew-resnet18": "snn_deploy.models.residual",
        "sew-resnet34": "snn_deploy.models.residual",
        "sew-resnet50": "snn_deploy.models.residual",
        "ms-resnet18": "snn_deploy.models.residual",
        "ms-resnet34": "snn_deploy.models.residual",
        "spikformer": "snn_deploy.models.transformers",
        "qkformer": "snn_deploy.models.transformers",
    },
    "snn_deploy.students",
)
TEACHERS: Registry[Factory] = Registry(
    "teacher",
    {
        "cnn": "snn_deploy.models.cnn",
        "vgg9": "snn_deploy.models.vgg",
        "vggsnn": "snn_deploy.models.vgg",
        "dvs-csnn": "snn_deploy.models.vgg",
        "resnet18": "snn_deploy.models.residual",
        "resnet19": "snn_deploy.models.residual",
        "resnet34": "snn_deploy.models.residual",
        "ms-resnet18": "snn_deploy.models.residual",
        "ms-resnet34": "snn_deploy.models.residual",
        "resnet20": "snn_deploy.models.public_resnet",
        "resnet56": "snn_deploy.models.public_resnet",
        "imagenet-resnet18": "snn_deploy.models.public_resnet",
        "imagenet-resnet34": "snn_deploy.models.public_resnet",
        "imagenet-resnet50": "snn_deploy.models.public_resnet",
        "timm": "snn_deploy.models.foreign",
        "torchvision": "snn_deploy.models.foreign",
    },
    "snn_deploy.teachers",
)
DATASETS: Registry[Factory] = Registry(
    "data set",
    {
        "digits-dvs": "snn_deploy.data.sets.synthetic",
        "nmnist": "snn_deploy.data.sets.nmnist",
        "dvs128-objects": "snn_deploy.data.sets.dvs128_objects",
        "dvs-gesture": "snn_deploy.data.sets.dvs_gesture",
        "cifar10-dvs": "snn_deploy.data.sets.cifar10_dvs",
        "n-caltech101": "snn_deploy.data.sets.ncaltech101",
        "shd": "snn_deploy.data.sets.shd",
        "event-folder": "snn_deploy.data.sets.event_folder",
        "cifar10": "snn_deploy.data.sets.cifar",
        "cifar100": "snn_deploy.data.sets.cifar",
        "mnist": "snn_deploy.data.sets.mnist",
        "image-folder": "snn_deploy.data.sets.image_folder",
    },
    "snn_deploy.datasets",
)
FORMATS: Registry[Factory] = Registry(
    "format",
    {
        "nir": "snn_deploy.export.nir",
        "onnx": "snn_deploy.export.onnx",
        "lava": "snn_deploy.export.lava",
    },
    "snn_deploy.formats",
)
BACKENDS: Registry[Factory] = Registry(
    "backend",
    {
        "reference": "snn_deploy.simulate.reference",
        "loihi": "snn_deploy.simulate.loihi",
        "onnxruntime": "snn_deploy.simulate.onnx.runtime",
        "lava": "snn_deploy.simulate.lava.client",
        "norse": "snn_deploy.export.foreign",
        "snntorch": "snn_deploy.export.foreign",
        "spikingjelly": "snn_deploy.export.foreign",
    },
    "snn_deploy.backends",
)
