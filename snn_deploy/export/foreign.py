"""Other people's NIR readers as independent witnesses: snnTorch and Norse execute our file step by step.

Which graph a reader executes exactly was found by running it (snnTorch 1.0, Norse 1.1); what it would change
silently counts as not readable.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import nir
import numpy as np
import torch

from snn_deploy.errors import MissingOptionalError, UnsupportedError
from snn_deploy.graph.dynamics import Membrane, discretise
from snn_deploy.graph.io import read_nir
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.shapes import NEURON_FIELDS, axes
from snn_deploy.graph.types import Plan, Trace
from snn_deploy.registry import BACKENDS

SNNTORCH_DT = 1e-4
_COMMON = (nir.Input, nir.Output, nir.Affine, nir.Linear, nir.Conv2d, nir.Flatten, nir.SumPool2d)
_NODES = {
    "snntorch": (*_COMMON, nir.AvgPool2d, nir.LIF, nir.CubaLIF),
    "norse": (*_COMMON, nir.IF, nir.LIF, nir.CubaLIF),
}


def readers(plan: Plan) -> tuple[str, ...]:
    """The foreign readers that execute this graph exactly, the better tried first."""
    return tuple(name for name in _NODES if _reads(name, plan, read_semantics(plan.graph)))


def run_foreign(path: Path, x: torch.Tensor, reader: str | None = None) -> torch.Tensor:
    """Output ``[T, B, *shape]`` of the NIR file at ``path`` for ``x``, computed by a foreign reader.

    Args:
        path: a NIR file.
        x: input ``[T, B, *shape]``.
        reader: ``snntorch`` or ``norse``; None takes the first that executes the graph exactly.

    Raises:
        UnsupportedError: no reader (or not this one) executes the graph exactly.
        MissingOptionalError: the reader is not installed.
    """
    plan = make_plan(read_nir(path))
    able = readers(plan)
    chosen = reader or next(iter(able), None)
    if chosen is None or chosen not in able:
        raise UnsupportedError(
            f"'{path.name}' cannot be executed exactly by {reader or 'any foreign reader'}.",
            hint=f"Readers that do: {', '.join(able) or 'none'}",
        )
    return _run_steps(_open(chosen, path, read_semantics(plan.graph)), x)


class Foreign:
    """A foreign reader as an executable; its layers are not visible."""

    def __init__(self, path: Path, reader: str) -> None:
        self._path, self._reader = path, reader
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
        return Trace(output=run_foreign(self._path, x, self._reader))


def _reads(reader: str, plan: Plan, semantics: Semantics) -> bool:
    if plan.feedback or (semantics.integrator, semantics.reset, semantics.fires_at) != ("euler", "zero", ">"):
        return False
    if reader == "snntorch" and semantics.dt != SNNTORCH_DT:
        return False
    return all(_reads_node(reader, plan.node(name), semantics) for name in plan.order)


def _reads_node(reader: str, node: nir.NIRNode, semantics: Semantics) -> bool:
    if not isinstance(node, _NODES[reader]):
        return False
    if isinstance(node, nir.Conv2d):
        return axes(node.groups, 1)[0] == 1 and node.weight.shape[2] == node.weight.shape[3]
    if isinstance(node, nir.SumPool2d):
        return not np.any(node.padding)
    if type(node) not in NEURON_FIELDS:
        return True
    neuron = discretise(node, semantics)
    assert neuron.fire is not None
    resting = not np.any(neuron.fire.v_reset) and not np.any(getattr(node, "v_leak", 0.0))
    if not resting or any(np.ptp(getattr(node, name)) for name in NEURON_FIELDS[type(node)]):
        return False
    if isinstance(neuron.charge, Membrane):
        unscaled = neuron.charge.gain is None and (neuron.charge.input_decays or isinstance(node, nir.IF))
        return reader == "snntorch" or unscaled
    return neuron.charge.v_gain is None


def _library(reader: str) -> Callable[[nir.NIRGraph, float], torch.nn.Module]:
    try:
        if reader == "snntorch":
            from snntorch.import_nir import import_from_nir

            return lambda graph, _dt: import_from_nir(graph)
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
