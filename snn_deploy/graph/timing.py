r"""Discrete time of a file that does not state it: by flag, else by the one step that fits, else the default.

Exporters of discrete networks write the gain of a neuron's input so that it is one for their own step:

=============== ==================================================
node            the step for which its input is added unscaled
=============== ==================================================
I, IF           1 / r
LI, LIF         tau / r, unless r = 1, which says nothing
CubaLI, CubaLIF tau_syn / w_in and tau_mem / r, unless they are 1
=============== ==================================================

A step is taken from the file when all nodes that say one say the same, and no time constant is shorter and no
delay is between two steps (our choice). What no node of the graph depends on is not assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import nir
import numpy as np

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.graph.pace import gain_words
from snn_deploy.graph.semantics import (
    MAX_DT,
    Comparison,
    Integrator,
    Reset,
    Semantics,
    StatedSpikes,
    read_semantics,
)
from snn_deploy.graph.types import INTEGRATOR_NODES, SPIKING_NODES

SAME = 1e-5
"""Relative difference below which two steps are one: parameters are often float32."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a caller states about the discrete time of a file; None: nothing.

    Attributes:
        dt, integrator, fires_at, reset, spikes, v_min: see :class:`snn_deploy.graph.semantics.Semantics`.
        resets: resets of single nodes, by name.
        writer: who wrote the file: a key of :data:`snn_deploy.graph.readers.dialects.DIALECTS`, or ``auto``.
        reset_delay: whether the writer's resets come a step late (snnTorch's argument of that name).
        norm_input: whether the writer's neurons weight their input with the share of a step (sinabs' argument
            of that name).
        trace: a file with the source's own spikes; see :mod:`snn_deploy.graph.readers.traces`.
        leave_out: leave out nodes that no input reaches or that reach no output.
    """

    dt: float | None = None
    integrator: Integrator | None = None
    fires_at: Comparison | None = None
    reset: Reset | None = None
    resets: tuple[tuple[str, Reset], ...] = ()
    spikes: StatedSpikes | None = None
    v_min: float | None = None
    writer: str | None = None
    reset_delay: bool | None = None
    norm_input: bool | None = None
    trace: Path | None = None
    leave_out: bool = False

    def stated(self) -> dict[str, object]:
        """The fields of the graph's semantics that are stated."""
        names = ("dt", "integrator", "fires_at", "reset", "spikes", "v_min")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def given(self) -> tuple[str, ...]:
        """The names of all fields that are stated."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) not in (None, (), False))


_UNSAID = {"spikes": "one", "v_min": None}
"""Fields that a file of ours states only where they differ from these."""


def timing(graph: nir.NIRGraph, reading: Reading) -> tuple[Semantics, list[str]]:
    """The semantics of ``graph`` under ``reading``, and a sentence for a step that was found in the file.

    Raises:
        ConfigError: the file states another value.
    """
    semantics = read_semantics(graph)
    given = reading.stated()
    problems = [
        Problem(name, f"stated as {value}, but the file says {getattr(semantics, name)}")
        for name, value in given.items()
        if name not in semantics.assumed and name not in _UNSAID and getattr(semantics, name) != value
    ]
    if problems:
        raise ConfigError("The file says what its discrete time is.", problems=problems)
    semantics = semantics.stating(**given)
    named = dict(_all_nodes(graph))
    nodes = list(named.values())
    notes = []
    if "dt" in semantics.assumed and (found := _step_of(nodes)) is not None:
        semantics = semantics.stating(dt=found)
        notes.append(f"The step is {found:g} s: {gain_words(named, semantics)}")
    mattering = _mattering(nodes)
    return semantics.stating(
        **{name: getattr(semantics, name) for name in semantics.assumed if name not in mattering}
    ), notes


def _all_nodes(graph: nir.NIRGraph, prefix: str = "") -> Iterator[tuple[str, nir.NIRNode]]:
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from _all_nodes(node, f"{prefix}{name}.")
        else:
            yield prefix + name, node


def _mattering(nodes: list[nir.NIRNode]) -> set[str]:
    """The fields of the semantics on which any of ``nodes`` depends."""
    mattering = set()
    for node in nodes:
        resetting = isinstance(node, SPIKING_NODES) and not isinstance(node, nir.Threshold)
        if resetting or isinstance(node, (*INTEGRATOR_NODES, nir.Delay)):
            mattering.add("dt")
        if hasattr(node, "tau") or hasattr(node, "tau_mem"):
            mattering.add("integrator")
        if isinstance(node, SPIKING_NODES):
            mattering.add("fires_at")
        if resetting:
            mattering.add("reset")
    return mattering


def _step_of(nodes: list[nir.NIRNode]) -> float | None:
    """The one step that ``nodes`` say, or None."""
    said = [step for node in nodes for step in _said(node)]
    if not said or not 0 < min(said) <= max(said) < MAX_DT:
        return None
    if np.ptp(said) > SAME * said[0] or not _fits(nodes, said[0]):
        return None
    digits = float(np.format_float_positional(said[0], precision=6, fractional=False))
    return digits if abs(digits - said[0]) <= SAME * digits else said[0]


def _said(node: nir.NIRNode) -> Iterator[float]:
    if isinstance(node, nir.I | nir.IF):
        yield from _quotients(1.0, node.r)
    elif isinstance(node, nir.LI | nir.LIF):
        yield from _quotients(node.tau, node.r, unless_one=True)
    elif isinstance(node, nir.CubaLI | nir.CubaLIF):
        yield from _quotients(node.tau_syn, node.w_in, unless_one=True)
        yield from _quotients(node.tau_mem, node.r, unless_one=True)


def _quotients(over: object, under: object, *, unless_one: bool = False) -> Iterator[float]:
    """The extremes of ``over / under``; nothing where the quotient says no step."""
    divisor = np.asarray(under, dtype=np.float64)
    if not np.isfinite(divisor).all() or not np.isfinite(np.asarray(over, dtype=np.float64)).all():
        return
    if divisor.size and (divisor > 0).all() and not (unless_one and (divisor == 1).all()):
        with np.errstate(over="ignore"):
            quotients = np.asarray(over, dtype=np.float64) / divisor
        yield from (float(quotients.min()), float(quotients.max()))


def _fits(nodes: list[nir.NIRNode], step: float) -> bool:
    for node in nodes:
        for name in ("tau", "tau_syn", "tau_mem"):
            if np.any(np.asarray(getattr(node, name, step)) < step * (1 - SAME)):
                return False
        steps = np.asarray(getattr(node, "delay", 0.0)) / step
        if np.any(np.abs(steps - np.rint(steps)) > 1e-3):
            return False
    return True
