r"""Norse's cells, called once per step, and its layers over time; both return outputs and state.

With k = dt / tau of the cell's own dt, and i, v of the step before:

================ ==========================================================
IAF              h = v + x
LIFBox, LIBox    h = v + k_mem (v_leak - v + x)
LIF, LI          i' = i + x, h = v + k_mem (v_leak - v + i'), i = i' - k_syn i'
recurrent        the same with x = W_in x + W_rec z(t-1)
================ ==========================================================

The membrane sees the current before it decays: i' = (1 - k_syn) i' + x, a gain of one. Spikes at v > v_th,
then v = v_reset, or v - v_th with ``reset_subtract``. Membranes start at v_leak (IAF: v_reset); ours at
v_reset.
Source: norse 1.1 ``functional/{lif,lif_box,iaf,leaky_integrator,leaky_integrator_box,threshold,reset}.py``.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from snn_deploy.graph.readers.torch_modules.conversion import (
    Array,
    ConvertNeurons,
    Law,
    ModuleError,
    Neurons,
    numbers,
    per_neuron,
)
from snn_deploy.graph.semantics import set_reset
from snn_deploy.graph.shapes import Shape

LAW = Law("euler", ">")
_STEPS = ("heaviside", "super", "triangle", "circ", "heavi_erfc", "tanh", "adjoint")
"""Ways of the gradient whose forward is a step at 0; the others give random spikes."""


def _fire(module: Any, shape: Shape) -> dict[str, Array]:
    p = module.p
    if p.method not in _STEPS:
        raise ModuleError(f"method '{p.method}'", "method='super'")
    fire = {"v_threshold": per_neuron(p.v_th, shape), "v_reset": per_neuron(p.v_reset, shape)}
    if hasattr(p, "v_leak") and (per_neuron(p.v_leak, shape) != fire["v_reset"]).any():
        raise ModuleError("starts at v_leak, which is not v_reset", "v_reset = v_leak")
    return fire


def _steps(module: Any, name: str, shape: Shape) -> Array:
    """The time constant in steps of the cell."""
    share = per_neuron(getattr(module.p, name), shape) * float(module.dt)
    if not ((share > 0) & (share <= 1)).all():
        raise ModuleError(f"dt {name} is {share.max():g}, not in (0, 1]", "a shorter dt, or a longer tau")
    return np.asarray(1 / share)


def _iaf(module: Any, shape: Shape, dt: float) -> Neurons:
    node = nir.IF(r=np.full(shape, 1 / dt), **_fire(module, shape))
    set_reset(node, "zero")
    return Neurons(node, LAW)


def _box(module: Any, shape: Shape, dt: float) -> Neurons:
    how = getattr(module.p.reset_method, "__name__", "?")
    if how not in ("reset_value", "reset_subtract"):
        raise ModuleError(f"reset_method {how}", "reset_value or reset_subtract")
    fire = _fire(module, shape)
    if how == "reset_subtract" and fire["v_reset"].any():
        raise ModuleError("subtracts v_th with a v_reset other than 0", "v_reset = 0")
    leak = per_neuron(module.p.v_leak, shape)
    node = nir.LIF(_steps(module, "tau_mem_inv", shape) * dt, np.ones(shape), leak, **fire)
    set_reset(node, "zero" if how == "reset_value" else "subtract")
    return Neurons(node, LAW)


def _box_integrator(module: Any, shape: Shape, dt: float) -> Neurons:
    leak = per_neuron(module.p.v_leak, shape)
    return Neurons(nir.LI(_steps(module, "tau_mem_inv", shape) * dt, np.ones(shape), leak), LAW)


def _currents(module: Any, shape: Shape, dt: float) -> dict[str, Array]:
    synapse = _steps(module, "tau_syn_inv", shape)
    return {
        "tau_syn": synapse * dt,
        "tau_mem": _steps(module, "tau_mem_inv", shape) * dt,
        "r": np.ones(shape),
        "v_leak": per_neuron(module.p.v_leak, shape),
        "w_in": synapse,
    }


def _lif(module: Any, shape: Shape, dt: float) -> Neurons:
    node = nir.CubaLIF(**_currents(module, shape, dt), **_fire(module, shape))
    set_reset(node, "zero")
    return Neurons(node, LAW)


def _recurrent(module: Any, shape: Shape, dt: float) -> Neurons:
    weights, back = numbers(module.input_weights), numbers(module.recurrent_weights)
    neurons = _lif(module, (*shape[:-1], len(weights)), dt)
    front = ("input_weights", nir.Linear(weights))
    return Neurons(neurons.node, LAW, front, ("recurrent_weights", nir.Linear(back)))


def _integrator(module: Any, shape: Shape, dt: float) -> Neurons:
    return Neurons(nir.CubaLI(**_currents(module, shape, dt)), LAW)


def _weighted_integrator(module: Any, shape: Shape, dt: float) -> Neurons:
    weights = numbers(module.input_weights)
    neurons = _integrator(module, (*shape[:-1], len(weights)), dt)
    return Neurons(neurons.node, LAW, front=("input_weights", nir.Linear(weights)))


CELLS: dict[str, ConvertNeurons] = {
    "norse.IAFCell": _iaf,
    "norse.LIFBoxCell": _box,
    "norse.LIBoxCell": _box_integrator,
    "norse.LIFCell": _lif,
    "norse.LIFRecurrentCell": _recurrent,
    "norse.LICell": _integrator,
    "norse.LILinearCell": _weighted_integrator,
}
OVER_TIME: dict[str, ConvertNeurons] = {
    "norse.IAF": _iaf,
    "norse.LIF": _lif,
    "norse.LIFRecurrent": _recurrent,
    "norse.LI": _integrator,
}
"""These take [T, B, ...]."""
CONTAINERS = ("norse.SequentialState", "norse.Lift")
"""Their forwards are followed."""
