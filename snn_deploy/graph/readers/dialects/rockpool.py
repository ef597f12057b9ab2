r"""Rockpool 3.1: ``to_nir`` writes r = (tau / dt) exp(-dt / tau), from which dt follows, and no w_in.

With a = exp(-dt / tau_mem) and b = exp(-dt / tau_syn):

============== ================================================================
LIFTorch       i = b (i + x), h = a v + i
LIFNeuronTorch h = a v + x
ExpSynTorch    h = b (h + x)
spikes         floor(h / threshold) where h >= threshold, all of them subtracted
============== ================================================================

``--spikes one`` for ``max_spikes_per_dt = 1``. The exporter loses biases of neurons and recurrent weights
without a word: a trace shows it. With u = dt / tau, r = exp(-u) / u has one root, found by Newton's method on
u + ln u + ln r = 0.
Source: rockpool 3.1.0 ``nn/modules/torch/{nir,lif_torch,lif_neuron_torch,exp_syn_torch}.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.graph.readers.dialects.dialect import Array, Dialect, Meaning, Place, neurons, numbers
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.timing import Reading

SAME = 1e-4
"""Relative difference below which two steps are one: the files are float32, and r its exponential."""
ROUNDS = 60


def read(graph: nir.NIRGraph, reading: Reading, _shapes: Mapping[str, Shape]) -> Meaning:
    """See the module's text.

    Raises:
        DataError: neurons that say different steps, or none.
    """
    found = list(neurons(graph))
    dt = reading.dt or _step(found)
    for place in found:
        node = place.node
        if isinstance(node, nir.CubaLIF):
            k_syn, k_mem = _share(node.tau_syn, dt), _share(node.tau_mem, dt)
            place.put(
                nir.CubaLIF(
                    tau_syn=node.tau_syn,
                    tau_mem=node.tau_mem,
                    r=1.0 / k_mem,
                    v_leak=node.v_leak,
                    v_threshold=node.v_threshold,
                    v_reset=node.v_reset,
                    w_in=(1.0 - k_syn) / k_syn,
                )
            )
        elif isinstance(node, nir.LIF):
            r = 1.0 / _share(node.tau, dt)
            place.put(nir.LIF(node.tau, r, node.v_leak, node.v_threshold, node.v_reset))
        elif isinstance(node, nir.LI):
            k = _share(node.tau, dt)
            place.put(nir.LI(node.tau, (1.0 - k) / k, node.v_leak))
    spikes = reading.spikes or "many"
    notes = (f"The step is {dt:g} s: with it the file's r are those that Rockpool writes.",)
    return Meaning("exponential", ">=", "subtract", dt, spikes, notes=notes if reading.dt is None else ())


def _share(tau: object, dt: float) -> Array:
    return -np.expm1(-dt / numbers(tau))


def _step(found: list[Place]) -> float:
    said = [
        (place.name, _said(place.node))
        for place in found
        if isinstance(place.node, nir.LI | nir.LIF | nir.CubaLIF)
    ]
    if not said or not all(np.isfinite(step).all() for _, step in said):
        raise DataError(
            "The file does not say Rockpool's step.",
            problems=[
                Problem(name, "r and tau say none") for name, step in said if not np.isfinite(step).all()
            ],
            hint="State it with --dt, or the writer is another.",
        )
    every = np.concatenate([np.atleast_1d(step).reshape(-1) for _, step in said])
    if np.ptp(every) > SAME * every.min():
        raise DataError(
            "Rockpool writes one step into all neurons; these say different ones.",
            problems=[Problem(name, f"{np.min(step):g} to {np.max(step):g} s") for name, step in said],
            hint="The writer is another, or state the step with --dt.",
        )
    middle = float(np.median(every))
    digits = float(np.format_float_positional(middle, precision=3, fractional=False))
    return digits if abs(digits - middle) <= SAME * digits else middle


def _said(node: nir.NIRNode) -> Array:
    tau = numbers(node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau)
    r = np.broadcast_to(numbers(node.r), tau.shape)
    if not (np.isfinite(r).all() and (r > 0).all() and (tau > 0).all()):
        return np.full(tau.shape, np.nan)
    u = np.where(r > 1, 1.0 / (1.0 + r), 1.0)
    for _ in range(ROUNDS):
        u = np.maximum(u - (u + np.log(u) + np.log(r)) / (1.0 + 1.0 / u), u / 8)
    return np.asarray(u * tau)


def signs(graph: nir.NIRGraph) -> str:
    """At least two leaking layers of different r whose r say one round step."""
    leaking = [p for p in neurons(graph) if isinstance(p.node, nir.LI | nir.LIF | nir.CubaLIF)]
    gains = {float(value) for place in leaking for value in np.unique(numbers(place.node.r)).tolist()}
    if len(gains) < 2:
        return ""
    try:
        dt = _step(leaking)
    except DataError:
        return ""
    return f"r and tau of {len(gains)} kinds of neurons say one step of {dt:g} s, as Rockpool writes them"


ROCKPOOL = Dialect("Rockpool 3.1", read, signs, takes=("dt", "spikes"), resets=("subtract",))
