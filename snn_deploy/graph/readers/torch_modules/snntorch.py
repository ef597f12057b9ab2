r"""snnTorch's neurons: called once per step, they return spikes and states, or spikes alone.

With beta and alpha clipped to 0..1, theta the threshold and s = [v(t) > theta]:

========= ================================================================
Leaky     g = beta v(t-1) + x
Synaptic  i = alpha i + x, g = beta v(t-1) + i
RLeaky    g = beta v(t-1) + x + W s(t-1)
RSynaptic i = alpha i + x + W s(t-1), g = beta v(t-1) + i
========= ================================================================

Resets are those of its files (:mod:`snn_deploy.graph.readers.dialects.snntorch`), with the module's own
reset_mechanism and reset_delay. With beta = 1 an IF. W is a linear layer, a convolution, or V for each
neuron. Source: snntorch 1.0 ``_neurons/{leaky,synaptic,rleaky,rsynaptic,neurons}.py``.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch

from snn_deploy.graph.readers.dialects.snntorch import reset_of
from snn_deploy.graph.readers.torch_modules.conversion import (
    Array,
    ConvertNeurons,
    Law,
    ModuleError,
    Neurons,
    per_neuron,
)
from snn_deploy.graph.readers.torch_modules.layers import LAYERS
from snn_deploy.graph.readers.unit_gain import cuba_lif, lif
from snn_deploy.graph.semantics import Reset, set_reset
from snn_deploy.graph.shapes import Shape

LAW = Law("euler", ">")


def _fire(module: Any, shape: Shape) -> dict[str, Array]:
    for name in ("inhibition", "state_quant"):
        if getattr(module, name):
            raise ModuleError(f"{name}={getattr(module, name)}", f"{name}=False")
    if float(module.graded_spikes_factor) != 1:
        raise ModuleError("graded spikes", "graded_spikes_factor=1")
    probe = torch.tensor([-1.0, 0.0, 1e-6, 1.0])
    if not torch.equal(module.spike_grad(probe).detach(), (probe > 0).float()):
        raise ModuleError("its spike_grad is no step at 0", "a surrogate of snntorch.surrogate")
    return {"v_threshold": per_neuron(module.threshold, shape), "v_reset": np.zeros(shape)}


def _with_reset(node: nir.NIRNode, module: Any, *, late_zero: bool) -> nir.NIRNode:
    kind: Reset = module.reset_mechanism
    set_reset(node, reset_of(kind, delayed=bool(module.reset_delay), late_zero=late_zero))
    return node


def _steps(module: Any, name: str, shape: Shape) -> Array:
    """1 / (1 - decay), the time constant in steps."""
    decay = per_neuron(getattr(module, name).clamp(0, 1), shape)
    if (decay == 1).any():
        raise ModuleError(f"{name} is 1, for some neurons or all", f"{name} below 1")
    return np.asarray(1 / (1 - decay))


def _leaky_node(module: Any, shape: Shape, dt: float, *, late_zero: bool) -> nir.NIRNode:
    fire = _fire(module, shape)
    if bool((module.beta >= 1).all()):
        return _with_reset(nir.IF(r=np.full(shape, 1 / dt), **fire), module, late_zero=late_zero)
    steps = _steps(module, "beta", shape)
    return _with_reset(lif(steps, dt, np.zeros(shape), fire), module, late_zero=late_zero)


def _synaptic_node(module: Any, shape: Shape, dt: float) -> nir.NIRNode:
    synapse, membrane = _steps(module, "alpha", shape), _steps(module, "beta", shape)
    node = cuba_lif(synapse, membrane, dt, np.zeros(shape), _fire(module, shape))
    return _with_reset(node, module, late_zero=True)


def _back(module: Any, shape: Shape, dt: float) -> tuple[str, nir.NIRNode]:
    """The recurrent weights."""
    if not module.all_to_all:
        return "recurrent", nir.Scale(per_neuron(module.V, shape).astype(np.float32))
    weights = module.recurrent
    return "recurrent", LAYERS[f"torch.{type(weights).__name__}"](weights, shape, dt)


def _leaky(module: Any, shape: Shape, dt: float) -> Neurons:
    return Neurons(_leaky_node(module, shape, dt, late_zero=False), LAW)


def _synaptic(module: Any, shape: Shape, dt: float) -> Neurons:
    return Neurons(_synaptic_node(module, shape, dt), LAW)


def _recurrent_leaky(module: Any, shape: Shape, dt: float) -> Neurons:
    node = _leaky_node(module, shape, dt, late_zero=True)
    return Neurons(node, LAW, back=_back(module, shape, dt))


def _recurrent_synaptic(module: Any, shape: Shape, dt: float) -> Neurons:
    if not module.reset_delay:
        raise ModuleError("reset_delay=False, which snnTorch 1.0 cannot run", "reset_delay=True")
    return Neurons(_synaptic_node(module, shape, dt), LAW, back=_back(module, shape, dt))


NEURONS: dict[str, ConvertNeurons] = {
    "snntorch.Leaky": _leaky,
    "snntorch.Synaptic": _synaptic,
    "snntorch.RLeaky": _recurrent_leaky,
    "snntorch.RSynaptic": _recurrent_synaptic,
}
