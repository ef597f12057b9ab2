"""Other people's NIR readers as independent witnesses: they execute our file step by step.

Which graph a reader executes exactly was found by running it (snnTorch 1.0, Norse 1.1, the NIR exchange of
SpikingJelly 2.0); what it would change silently counts as not readable.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from snn_deploy.core.errors import MissingOptionalError, UnsupportedError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.graph.dynamics import Membrane, discretise
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.passes.for_readers.plain_convs import is_plain
from snn_deploy.graph.passes.for_readers.unreadable import unreadable
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.shapes import NEURON_FIELDS
from snn_deploy.graph.types import Plan, Trace

_COMMON = (nir.Input, nir.Output, nir.Affine, nir.Linear, nir.Conv2d, nir.Flatten, nir.LIF, nir.CubaLIF)
_NODES = {
    "snntorch": (*_COMMON, nir.Conv1d, nir.AvgPool2d, nir.SumPool2d),
    "norse": (*_COMMON, nir.SumPool2d, nir.IF),
    "spikingjelly": (*_COMMON, nir.Conv1d, nir.AvgPool2d, nir.IF),
}
_STEPS = {"snntorch": (1e-4,), "spikingjelly": (1e-4,)}
"""Steps in seconds that a reader takes; others are told the file's."""


def readers(plan: Plan) -> tuple[str, ...]:
    """The foreign readers that execute this graph exactly, the better tried first."""
    return tuple(name for name in _NODES if _reads(name, plan, read_semantics(plan.graph)))


def is_installed(reader: str) -> bool:
    """Whether the package of a foreign reader is there; it is not imported."""
    return importlib.util.find_spec(reader) is not None


def run_foreign(path: Path, x: torch.Tensor, reader: str | None = None) -> torch.Tensor:
    """Output ``[T, B, *shape]`` of the NIR file at ``path`` for ``x``, computed by a foreign reader.

    Args:
        path: a NIR file.
        x: input ``[T, B, *shape]``.
        reader: ``snntorch``, ``norse`` or ``spikingjelly``; None takes the first that is exact.

    Raises:
        UnsupportedError: no reader (or not this one) executes the graph exactly.
        MissingOptionalError: the reader is not installed.
    """
    return _run_steps(_reading(path, reader), x)


def _reading(path: Path, reader: str | None) -> torch.nn.Module:
    """The module that a reader, or the first that is exact, makes of a file."""
    plan = make_plan(read_nir(path))
    able = readers(plan)
    chosen = reader or next(iter(able), None)
    if chosen is None or chosen not in able:
        raise UnsupportedError(
            f"'{path.name}' cannot be executed exactly by {reader or 'any foreign reader'}.",
            hint=f"Readers that do: {', '.join(able) or 'none'}",
        )
    return _open(chosen, path, read_semantics(plan.graph))


class Foreign:
    """A foreign reader as an executable; its layers are not visible."""

    def __init__(self, path: Path, reader: str) -> None:
        self._path, self._reader = path, reader
        self._module: torch.nn.Module | None = None
        with _quiet():
            _library(reader)

    @property
    def layers(self) -> tuple[str, ...]:
        """None: the reader's module hides them."""
        return ()

    def run(
        self,
        x: torch.Tensor,
        *,
        record: bool = False,
        forced: Mapping[str, torch.Tensor] | None = None,
    ) -> Trace:
        """Run ``x [T, B, *shape]``; layers can neither be recorded nor forced."""
        if forced:
            raise UnsupportedError(f"{self._reader} cannot force layers.")
        if self._module is None:
            self._module = _reading(self._path, self._reader)
        weights: dict[int, Any] = {id(weight): weight for weight in self._module.parameters()}
        module = copy.deepcopy(self._module, weights)  # modules may keep state; weights are shared
        try:
            return Trace(output=_run_steps(module, x))
        finally:
            for part in [*module.modules()]:  # their graphs are cycles, which Python would free late
                part.__dict__.clear()


def _reads(reader: str, plan: Plan, semantics: Semantics) -> bool:
    facts = CONSUMERS[reader]
    stated = (semantics.integrator, semantics.fires_at)
    steps = _STEPS.get(reader, (semantics.dt,))
    if stated != (facts.integrator, facts.fires_at) or semantics.dt not in steps:
        return False
    if unreadable(plan, plan.graph.nodes, plan.graph.edges, replace(facts, nodes=_NODES[reader])):
        return False
    return all(_reads_node(reader, plan.node(name), semantics) for name in plan.order)


def _reads_node(reader: str, node: nir.NIRNode, semantics: Semantics) -> bool:
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return is_plain(node)
    if not isinstance(node, nir.IF | nir.LIF | nir.CubaLIF):
        return True
    neuron = discretise(node, semantics)
    fire = neuron.fire
    assert fire is not None
    if not fire.plain or fire.reset != "zero" or not neuron.starts_at_reset:
        return False
    if reader != "norse" and any(np.ptp(getattr(node, name)) for name in NEURON_FIELDS[type(node)]):
        return False
    if reader == "spikingjelly" and not isinstance(node, nir.CubaLIF):
        return _reads_gain(reader, node, semantics) and not np.any(
            getattr(node, "v_leak", node.v_reset) - node.v_reset
        )
    resting = not np.any(fire.v_reset) and not np.any(getattr(node, "v_leak", 0.0))
    return resting and _reads_gain(reader, node, semantics)


def _reads_gain(reader: str, node: nir.NIRNode, semantics: Semantics) -> bool:
    charge = discretise(node, semantics).charge
    if not isinstance(charge, Membrane):
        return charge.v_gain is None and (reader != "spikingjelly" or charge.i_gain is None)
    if charge.gain is not None:
        return reader == "snntorch"
    return reader != "norse" or isinstance(node, nir.IF) or charge.input_decays or bool(np.all(node.r == 1))


def _library(reader: str) -> Callable[[nir.NIRGraph, float], torch.nn.Module]:
    try:
        if reader == "snntorch":
            from snntorch.import_nir import import_from_nir

            return lambda graph, _dt: import_from_nir(graph)
        if reader == "spikingjelly":
            from spikingjelly.activation_based import nir_exchange

            return lambda graph, dt: nir_exchange.import_from_nir(graph, dt=dt)
        from norse.torch import from_nir
    except ImportError as error:
        raise MissingOptionalError(
            f"{reader} is not installed ({error}).", hint="pip install 'snn-deploy[interop]'"
        ) from None
    return lambda graph, dt: from_nir(graph, ignore_warnings=True, dt=dt)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The libraries print, log and warn about what we checked before."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _open(reader: str, path: Path, semantics: Semantics) -> torch.nn.Module:
    with _quiet():
        return _library(reader)(nir.read(path), semantics.dt)


@torch.no_grad()
def _run_steps(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    state = None
    outputs = []
    with _quiet():
        for x_t in x:
            y, state = module(x_t) if state is None else module(x_t, state)
            outputs.append(y)
    return torch.stack(outputs)


@BACKENDS.register("snntorch")
def load_snntorch(path: Path) -> Foreign:
    """snnTorch's NIR importer, stepped through time."""
    return Foreign(path, "snntorch")


@BACKENDS.register("norse")
def load_norse(path: Path) -> Foreign:
    """Norse's NIR importer, stepped through time."""
    return Foreign(path, "norse")


@BACKENDS.register("spikingjelly")
def load_spikingjelly(path: Path) -> Foreign:
    """SpikingJelly's NIR importer, stepped through time."""
    return Foreign(path, "spikingjelly")
