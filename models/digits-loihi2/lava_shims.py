"""Let lava-nc 0.10.0 and lava-dl 0.6.0 (both archived) run on Python >= 3.11, numpy >= 2.4 and without torch.

``install()`` registers an import hook; nothing of Lava is imported or changed before it is asked for. Each
patch answers one failure:

* ``lava.magma.compiler.var_model`` has dataclass fields whose defaults are dataclass instances; Python 3.11
  refuses defaults without a hash. While that one module runs, ``dataclass`` adds a hash.
* ``ReshapePort`` calls ``numpy.reshape(newshape=...)``, which numpy 2.4 removed.
* netx calls ``int()`` on arrays of one element, which numpy 2.4 refuses.
* Lava keeps the geometry of a convolution in signed bytes and computes with them; numpy 2 refuses to add an
  image's size of more than 127 pixels to a byte, and sums of bytes overflow.
* netx imports a helper for resonate-and-fire neurons from slayer, which needs torch. Without torch, empty
  modules stand in for slayer; networks of such neurons are then refused when they are used.
* Lava logs the tracebacks of its child processes at a level that is never shown; they go to stderr.

Works in child processes too, whether forked or spawned, when the environment loads it at start-up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

_NETX = "lava.lib.dl.netx"
_SLAYER = "lava.lib.dl.slayer"
_PACKAGES = (_SLAYER, f"{_SLAYER}.neuron")
_STAND_INS = (*_PACKAGES, f"{_SLAYER}.neuron.rf", f"{_NETX}.sequential_modules")


def install() -> None:
    """Register the hook once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules to patch where Python would, and wraps their loaders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("lava."):
            return None
        if importlib.util.find_spec("torch") is None:
            if fullname == _NETX:
                return _bare_package(fullname, path)
            if fullname in _STAND_INS:
                return _stand_in(fullname, path)
        if fullname not in _PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patched(spec.loader, fullname)
        return spec


class _Patched(importlib.abc.Loader):
    """Loads a module and patches it."""

    def __init__(self, loader: importlib.abc.Loader, name: str) -> None:
        self._loader, self._name = loader, name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _PATCHES[self._name](module):
            self._loader.exec_module(module)


class _StandIn(importlib.abc.Loader):
    """An almost empty module."""

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__.endswith(".rf"):
            vars(module)["neuron_params"] = _no_resonators


def _no_resonators(*_args: Any, **_options: Any) -> None:
    raise NotImplementedError("resonate-and-fire neurons need slayer, which needs torch")


def _bare_package(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """netx with its real folder, but without running its ``__init__``, which needs torch."""
    folders = [Path(entry) / name.rpartition(".")[2] for entry in path or ()]
    spec = ModuleSpec(name, _StandIn(), is_package=True)
    spec.submodule_search_locations = [str(folder) for folder in folders if folder.is_dir()]
    return spec if spec.submodule_search_locations else None


def _stand_in(name: str, path: Sequence[str] | None) -> ModuleSpec:
    # Lava's compiler imports every sibling file of a process model, so each module needs an origin.
    spec = ModuleSpec(name, _StandIn(), is_package=name in _PACKAGES)
    spec.origin = str(Path(next(iter(path or ()), "")) / f"{name.rpartition('.')[2]}.py")
    spec.has_location = True
    return spec


@contextlib.contextmanager
def _hashable_dataclasses(_module: ModuleType) -> Iterator[None]:
    original: Callable[..., Any] = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        def decorate(decorated: type) -> Any:
            asks = "__hash__" in vars(decorated) or {"eq", "frozen"} & options.keys()
            return original(decorated, **(options if asks else {"unsafe_hash": True, **options}))

        return decorate if cls is None else decorate(cls)

    vars(dataclasses)["dataclass"] = dataclass
    try:
        yield
    finally:
        vars(dataclasses)["dataclass"] = original


@contextlib.contextmanager
def _reshape_without_newshape(module: ModuleType) -> Iterator[None]:
    yield
    import numpy as np

    if tuple(int(part) for part in version("numpy").split(".")[:2]) >= (2, 1):
        port = module.ReshapePort
        port.get_transform_func_fwd = lambda self: functools.partial(np.reshape, shape=self.shape)
        port.get_transform_func_bwd = lambda self: functools.partial(np.reshape, shape=self.old_shape)


@contextlib.contextmanager
def _int_of_one_element(module: ModuleType) -> Iterator[None]:
    yield
    import numpy as np

    vars(module)["int"] = lambda value: int(np.asarray(value).item())


@contextlib.contextmanager
def _geometry_in_integers(module: ModuleType) -> Iterator[None]:
    yield
    original: Callable[..., Any] = module.conv_scipy

    def conv_scipy(input_: Any, weight: Any, *geometry: Any) -> Any:
        *pairs, groups = geometry
        return original(input_, weight, *([int(n) for n in pair] for pair in pairs), int(groups))

    vars(module)["conv_scipy"] = conv_scipy


@contextlib.contextmanager
def _visible_tracebacks(module: ModuleType) -> Iterator[None]:
    yield
    vars(module)["logging"] = _TracebackLogging(module.logging)


class _TracebackLogging:
    """``logging`` whose loggers print what they are told at level INFO, Lava's tracebacks, to stderr."""

    def __init__(self, original: ModuleType) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def getLogger(self, name: str | None = None) -> Any:  # noqa: N802 - the name in logging
        logger = self._original.getLogger(name)
        logger.info = lambda text, *_args, **_options: print(text, file=sys.stderr, flush=True)
        return logger


_PATCHES: dict[str, Callable[[ModuleType], contextlib.AbstractContextManager[None]]] = {
    "lava.magma.compiler.var_model": _hashable_dataclasses,
    "lava.magma.core.process.ports.ports": _reshape_without_newshape,
    "lava.magma.runtime.runtime": _visible_tracebacks,
    "lava.proc.conv.utils": _geometry_in_integers,
    f"{_NETX}.hdf5": _int_of_one_element,
}
