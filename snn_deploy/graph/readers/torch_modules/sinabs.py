r"""sinabs' layers: they take ``[B, T, ...]``, those called ``Squeeze`` ``[B T, ...]``, and keep their state.

With a = exp(-1 / tau), tau in steps:

================ ==============================================================================
IAF              h = v + x
LIF, ExpLeak     h = a v + (1 - a) x with ``norm_input``, h = a v + x without
with ``tau_syn`` i = a_syn (i + x), which takes the place of x
spikes           floor(h / threshold) (MultiSpike), or one where h >= threshold (SingleSpike)
reset            that many thresholds subtracted (MembraneSubtract), or to zero (MembraneReset)
bound            v = max(v, min_v_mem) after every step of a spiking neuron
================ ==============================================================================

Source: sinabs 3.1.3 ``layers/{lif,iaf,exp_leak,reshape,pool2d,merge}.py``, ``activation/``.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from snn_deploy.graph.readers.torch_modules.conversion import (
    Array,
    Convert,
    ConvertNeurons,
    Law,
    ModuleError,
    Neurons,
    per_neuron,
)
from snn_deploy.graph.semantics import Spikes, set_reset
from snn_deploy.graph.shapes import Shape


def _law(module: Any) -> Law:
    known: dict[str, Spikes] = {"MultiSpike": "many", "SingleSpike": "one"}
    name = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    if name not in known:
        raise ModuleError(f"spike_fn {name}", "MultiSpike or SingleSpike")
    bound = None if module.min_v_mem is None else float(module.min_v_mem)
    return Law("exponential", ">=", known[name], bound)


def _fire(module: Any, shape: Shape) -> dict[str, Array]:
    return {"v_threshold": per_neuron(module.spike_threshold, shape), "v_reset": np.zeros(shape)}


def _resetting(node: nir.NIRNode, module: Any) -> nir.NIRNode:
    how = module.reset_fn
    name = type(how).__name__
    if name == "MembraneSubtract" and how.subtract_value is None:
        set_reset(node, "subtract")
    elif name == "MembraneReset" and how.reset_value == 0:
        set_reset(node, "zero")
    else:
        raise ModuleError(f"reset_fn {how}", "MembraneSubtract() or MembraneReset()")
    return node


def _steps(decay: Any, shape: Shape) -> Array:
    """tau in steps of a decay per step."""
    kept = per_neuron(decay, shape)
    if not ((kept > 0) & (kept < 1)).all():
        raise ModuleError("a time constant that is not positive", "tau above 0")
    return np.asarray(-1 / np.log(kept))


def _gain(module: Any, shape: Shape) -> Array:
    kept = per_neuron(module.alpha_mem_calculated, shape)
    return np.ones(shape) if module.norm_input else np.asarray(1 / (1 - kept))


def _iaf(module: Any, shape: Shape, dt: float) -> Neurons:
    if module.tau_syn is not None:
        raise ModuleError("tau_syn on neurons that do not leak", "LIF with tau_syn")
    node = nir.IF(r=np.full(shape, 1 / dt), **_fire(module, shape))
    return Neurons(_resetting(node, module), _law(module))


def _lif(module: Any, shape: Shape, dt: float) -> Neurons:
    tau, r = _steps(module.alpha_mem_calculated, shape) * dt, _gain(module, shape)
    fire, leak = _fire(module, shape), np.zeros(shape)
    decay = module.alpha_syn_calculated
    node: nir.NIRNode
    if decay is None:
        node = nir.LIF(tau=tau, r=r, v_leak=leak, **fire)
    else:
        kept = per_neuron(decay, shape)
        tau_syn = _steps(decay, shape) * dt
        node = nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=r, v_leak=leak, w_in=kept / (1 - kept), **fire)
    return Neurons(_resetting(node, module), _law(module))


def _exp_leak(module: Any, shape: Shape, dt: float) -> Neurons:
    if module.min_v_mem is not None:
        raise ModuleError("a bound of membranes that do not fire", "min_v_mem=None")
    tau, r = _steps(module.alpha_mem_calculated, shape) * dt, _gain(module, shape)
    return Neurons(nir.LI(tau=tau, r=r, v_leak=np.zeros(shape)), Law("exponential", ">="))


def _sum_pool(module: Any, _shape: Shape, _dt: float) -> nir.NIRNode:
    if module.ceil_mode:
        raise ModuleError("ceil_mode", "ceil_mode=False, or an input size that divides")
    kernel, stride = np.broadcast_to(module.kernel_size, 2), module.stride
    stride = kernel if stride is None else np.broadcast_to(stride, 2)
    return nir.SumPool2d(kernel.copy(), stride.copy(), np.zeros(2, np.int64))


LAYERS: dict[str, Convert] = {"sinabs.SumPool2d": _sum_pool}
SAMPLES: dict[str, ConvertNeurons] = {"sinabs.IAF": _iaf, "sinabs.LIF": _lif, "sinabs.ExpLeak": _exp_leak}
"""These take [B, T, ...]."""
ROWS: dict[str, ConvertNeurons] = {
    "sinabs.IAFSqueeze": _iaf,
    "sinabs.LIFSqueeze": _lif,
    "sinabs.ExpLeakSqueeze": _exp_leak,
}
"""These take [B T, ...]."""
FOLDS = ("sinabs.FlattenTime", "sinabs.UnflattenTime")
SUMS = ("sinabs.Merge",)
CONTAINERS = ("sinabs.Repeat",)
"""Their forwards are followed."""
