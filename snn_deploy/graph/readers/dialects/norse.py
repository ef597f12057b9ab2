r"""Norse 1.1: ``to_nir`` writes tau = dt / tau_inv, which is dt times the time constant, and no w_in.

========== =================================================================================
IAFCell    h = v + x: the file's r = 1 says another gain
LIFBoxCell h = v + dt tau_mem_inv (v_leak - v + x)
LIBoxCell  the same, without spikes
LIFCell    i = i + x, h = v + dt tau_mem_inv (v_leak - v + i), then i = i - dt tau_syn_inv i
========== =================================================================================

The membrane of a LIFCell sees the current before it decays: with i' that current, i' = (1 - k_syn) i' + x,
which is the hub's CUBA neuron with a gain of one. Spikes at v > threshold, reset to v_reset = 0; a LIFBoxCell
may subtract (``reset_method``), which the file does not say. Membranes start at v_leak. dt is that of the
cells and of ``to_nir``, 1 ms where not stated.
Source: norse 1.1 ``utils/export_nir.py``, ``functional/{lif,lif_box,iaf,leaky_integrator_box}.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.readers.dialects.dialect import Dialect, Meaning, neurons, numbers
from snn_deploy.graph.semantics import Reset, set_reset
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.timing import Reading

DT = 1e-3
SHORTEST = 1e-4
"""The shortest step that a framework we know of has: a shorter tau is no time constant in seconds."""


def read(graph: nir.NIRGraph, reading: Reading, _shapes: Mapping[str, Shape]) -> Meaning:
    """See the module's text.

    Raises:
        UnsupportedError: membranes that start away from their reset.
    """
    dt = reading.dt or DT
    kinds: dict[str, Reset] = dict(reading.resets)
    away = []
    for place in neurons(graph):
        node = place.node
        if np.any(getattr(node, "v_leak", 0.0)) and hasattr(node, "v_reset"):
            away.append(Problem(place.name, "starts at v_leak, which is not 0", "we start at v_reset"))
        if isinstance(node, nir.IF):
            place.put(nir.IF(np.full(np.shape(node.r), 1.0 / dt), node.v_threshold, node.v_reset))
        elif isinstance(node, nir.LI):
            place.put(nir.LI(numbers(node.tau) / dt, node.r, node.v_leak))
        elif isinstance(node, nir.LIF):
            place.put(nir.LIF(numbers(node.tau) / dt, node.r, node.v_leak, node.v_threshold, node.v_reset))
            set_reset(place.node, kinds.get(place.name, reading.reset or "zero"))
        elif isinstance(node, nir.CubaLIF):
            tau_syn = numbers(node.tau_syn) / dt
            place.put(
                nir.CubaLIF(
                    tau_syn=tau_syn,
                    tau_mem=numbers(node.tau_mem) / dt,
                    r=node.r,
                    v_leak=node.v_leak,
                    v_threshold=node.v_threshold,
                    v_reset=node.v_reset,
                    w_in=tau_syn / dt,
                )
            )
    if away:
        raise UnsupportedError("Norse starts these membranes elsewhere.", problems=away)
    notes = [] if reading.dt else [f"Norse's files do not say their step; its default is taken: {dt:g} s."]
    return Meaning("euler", ">", "zero", dt, notes=tuple(notes))


def signs(graph: nir.NIRGraph) -> str:
    """Time constants multiplied with a step."""
    for place in neurons(graph):
        taus = [numbers(getattr(place.node, n)) for n in ("tau", "tau_mem") if hasattr(place.node, n)]
        gain = numbers(getattr(place.node, "r", 0.0))
        if taus and (gain == 1).all() and 0 < taus[0].max() < SHORTEST:
            return (
                f"'{place.name}' has r = 1 and a time constant of {taus[0].max():g} s, shorter than any step"
            )
    return ""


NORSE = Dialect("Norse 1.1", read, signs, takes=("dt", "reset", "resets"), resets=("zero", "subtract"))
