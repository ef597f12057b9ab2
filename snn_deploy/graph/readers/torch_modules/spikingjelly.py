"""SpikingJelly's neurons, the layers that only it has, and those of ours that are made of them.

With tau_s in steps (spikingjelly 2.0): ``tau = tau_s dt``; ``r = 1`` when the input decays with the membrane,
else ``r = tau_s``; ``v_leak = v_reset`` (0 with soft reset). PLIF: ``1 / tau_s = sigmoid(w)``. IF:
``r = 1 / dt``. CUBA-LIF: :mod:`snn_deploy.graph.readers.unit_gain` with alpha = c_decay, beta = v_decay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.graph.readers.torch_modules.conversion import (
    Convert,
    ConvertNeurons,
    Law,
    ModuleError,
    Neurons,
    numbers,
)
from snn_deploy.graph.readers.unit_gain import cuba_lif
from snn_deploy.graph.shapes import Shape

if TYPE_CHECKING:
    from spikingjelly.activation_based import layer, neuron

LAW = Law("euler", ">=")


def _delay(module: layer.Delay, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.Delay(np.full(shape, module.delay_steps * dt))


def _scale(module: Any, shape: Shape, _dt: float) -> nir.NIRNode:
    return nir.Scale(np.full(shape, float(module.scale), np.float32))


def _fire(module: neuron.BaseNode, shape: Shape) -> dict[str, npt.NDArray[np.float64]]:
    reset = 0.0 if module.v_reset is None else module.v_reset
    return {
        "v_threshold": np.full(shape, module.v_threshold, np.float64),
        "v_reset": np.full(shape, reset, np.float64),
    }


def _neurons(convert: Convert) -> ConvertNeurons:
    def with_law(module: Any, shape: Shape, dt: float) -> Neurons:
        if not getattr(module.surrogate_function, "spiking", True):
            raise ModuleError(
                "its surrogate function gives no spikes", "surrogate_function with spiking=True"
            )
        return Neurons(convert(module, shape, dt), LAW)

    return with_law


def if_node(module: neuron.IFNode, shape: Shape, dt: float) -> nir.NIRNode:
    """Of its v_threshold and v_reset."""
    return nir.IF(r=np.full(shape, 1.0 / dt), **_fire(module, shape))


def _leaky(module: neuron.BaseNode, shape: Shape, dt: float, tau_steps: float) -> nir.NIRNode:
    fire = _fire(module, shape)
    r = 1.0 if module.decay_input else tau_steps
    return nir.LIF(
        tau=np.full(shape, tau_steps * dt), r=np.full(shape, r), v_leak=fire["v_reset"].copy(), **fire
    )


def lif_node(module: neuron.LIFNode, shape: Shape, dt: float) -> nir.NIRNode:
    """Of its v_threshold, v_reset, tau and decay_input."""
    return _leaky(module, shape, dt, float(module.tau))


def _parametric_lif(module: neuron.ParametricLIFNode, shape: Shape, dt: float) -> nir.NIRNode:
    return _leaky(module, shape, dt, 1.0 / float(module.w.detach().float().sigmoid()))


def _cuba_lif(module: neuron.CUBALIFNode, shape: Shape, dt: float) -> nir.NIRNode:
    if not (0 <= module.c_decay < 1 and 0 <= module.v_decay < 1):
        raise ModuleError(
            f"decays {module.c_decay} and {module.v_decay}; they must be in [0, 1)", "decays in [0, 1)"
        )
    syn, mem = (np.full(shape, 1.0 / (1.0 - decay)) for decay in (module.c_decay, module.v_decay))
    return cuba_lif(syn, mem, dt, np.zeros(shape), _fire(module, shape))


def _axonal_delay(module: Any, shape: Shape, dt: float) -> nir.NIRNode:
    if shape != tuple(module.share.shape):
        raise ModuleError(f"{tuple(module.share.shape)} delays on {shape}", "as many units as it is given")
    return nir.Delay(module.steps.cpu().double().numpy() * dt)


def _recurrent(convert: Convert) -> ConvertNeurons:
    plain = _neurons(convert)

    def with_weights(module: Any, shape: Shape, dt: float) -> Neurons:
        return replace(
            plain(module, shape, dt), back=("recurrent", nir.Linear(numbers(module.recurrent.weight)))
        )

    return with_weights


LAYERS: dict[str, Convert] = {
    "spikingjelly.Delay": _delay,
    "spikingjelly.VoltageScaler": _scale,
    "snn_deploy.AxonalDelay": _axonal_delay,
}
NEURONS: dict[str, ConvertNeurons] = {
    "spikingjelly.IFNode": _neurons(if_node),
    "spikingjelly.LIFNode": _neurons(lif_node),
    "spikingjelly.ParametricLIFNode": _neurons(_parametric_lif),
    "spikingjelly.CUBALIFNode": _neurons(_cuba_lif),
    "snn_deploy.RecurrentIF": _recurrent(if_node),
    "snn_deploy.RecurrentLIF": _recurrent(lif_node),
    "snn_deploy.RecurrentPLIF": _recurrent(_parametric_lif),
}
