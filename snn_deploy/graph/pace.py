"""How fast neurons answer at the step of a graph: which input gains differ from one, and which are too slow.

A wrong step makes neurons silent or deaf, and the result looks sound: every spike that is not there agrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import nir
import numpy as np

from snn_deploy.graph.dynamics import step_share
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.types import STATEFUL_NODES, Plan

ONE = 1e-4
"""Relative distance from one at which a gain counts as another: what float32 files round."""
SLOW = 0.1
"""A run that is shorter than this share of a neuron's time constant hardly moves its membrane; our choice."""
FLAG = "State the step with --dt, or who wrote the file with --from."


def gains(node: nir.NIRNode, semantics: Semantics) -> np.ndarray:
    """The gain of a neuron's input: of membrane and current together where it has both."""
    if isinstance(node, nir.I | nir.IF):
        return np.asarray(node.r, np.float64) * semantics.dt
    if isinstance(node, nir.LI | nir.LIF):
        return np.asarray(node.r, np.float64) * step_share(np.asarray(node.tau, np.float64), semantics, "tau")
    synapse = step_share(np.asarray(node.tau_syn, np.float64), semantics, "tau_syn") * node.w_in
    membrane = step_share(np.asarray(node.tau_mem, np.float64), semantics, "tau_mem") * node.r
    return np.asarray(synapse * membrane)


def gain_words(nodes: Mapping[str, nir.NIRNode], semantics: Semantics) -> str:
    """Which neurons add their input unscaled at this step, and with which gains the others add it."""
    others = {
        name: found
        for name, node in nodes.items()
        if isinstance(node, STATEFUL_NODES) and not isinstance(node, nir.Delay)
        if (np.abs((found := gains(node, semantics)) - 1.0) > ONE).any()
    }
    if not others:
        return "with it every neuron adds its input unscaled, as exporters write."
    listed = ", ".join(f"{name} (gain {_span(found)})" for name, found in others.items())
    return f"with it neurons add their input unscaled, as exporters write, except {listed}."


def _span(values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.3g}" if np.isclose(low, high) else f"{low:.3g} to {high:.3g}"


def step_warnings(plan: Plan, semantics: Semantics) -> list[str]:
    """Time constants that an assumed step makes meaningless."""
    if "dt" not in semantics.assumed:
        return []
    counted = [name for name, tau in _taus(plan) if tau >= 1.0]
    if not counted:
        return []
    return [
        f"WARNING: the time constants of {_list(counted)} are 1 s and more beside an assumed step of "
        f"{semantics.dt:g} s; they look counted in steps. {FLAG}"
    ]


def slow_warnings(plan: Plan, semantics: Semantics, steps: int) -> list[str]:
    """Neurons whose membrane hardly moves within a run of ``steps`` steps."""
    slow = [
        name
        for name, tau in _taus(plan)
        if steps * semantics.dt < SLOW * tau and gains(plan.node(name), semantics).max() < SLOW
    ]
    if not slow:
        return []
    return [
        f"WARNING: {steps} steps of {semantics.dt:g} s are less than {SLOW:g} of the time constants of "
        f"{_list(slow)}: these neurons hardly answer. {FLAG}"
    ]


def _taus(plan: Plan) -> Iterable[tuple[str, float]]:
    """Per leaking neuron its shortest membrane time constant in seconds."""
    for name in plan.of_type(nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF):
        node = plan.node(name)
        yield name, float(np.min(node.tau_mem if hasattr(node, "tau_mem") else node.tau))


def _list(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
