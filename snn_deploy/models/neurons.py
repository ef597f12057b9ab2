"""Spiking neurons, made in one place from typed options.

With input ``x(t)``, membrane ``v(t)``, threshold ``theta`` and ``dv = v(t-1) - v_reset``::

    IF                              h(t) = v(t-1) + x(t)
    LIF, PLIF   decay_input         h(t) = v(t-1) + (x(t) - dv) / tau
                not decay_input     h(t) = v(t-1) - dv / tau + x(t)
    spike                           s(t) = 1 if h(t) >= theta else 0
    hard reset                      v(t) = v_reset where s(t) = 1, else h(t)
    soft reset (v_reset null)       v(t) = h(t) - theta s(t)

Those of I-LIF, which fire several spikes in a step: :mod:`snn_deploy.models.integer_neurons`.

The state starts at ``v_reset`` (0 with soft reset). PLIF learns ``1 / tau = sigmoid(w)``, one ``w`` per
layer (Fang et al., ICCV 2021, "Incorporating learnable membrane time constant to enhance learning of
spiking neural networks").
The others are spikingjelly's; all are in multi-step mode: ``[T, B, ...] -> [T, B, ...]``.
"""

from __future__ import annotations

from typing import Any

from spikingjelly.activation_based import base, neuron, surrogate
from torch import nn

from snn_deploy.models.integer_neurons import IntegerNode
from snn_deploy.models.options import NeuronOptions, SurrogateOptions

_SURROGATES = {
    "atan": surrogate.ATan,
    "sigmoid": surrogate.Sigmoid,
    "triangle": surrogate.PiecewiseQuadratic,
    "rectangle": surrogate.Rect,
}


def make_surrogate(options: SurrogateOptions) -> surrogate.SurrogateFunctionBase:
    """What stands for the derivative of a spike."""
    return _SURROGATES[options.name](alpha=options.alpha)


def make_neuron(options: NeuronOptions) -> nn.Module:
    """One layer of neurons; see the module's equations."""
    if options.levels is not None:
        return IntegerNode(
            options.levels,
            options.tau,
            decay_input=options.decay_input,
            v_threshold=options.v_threshold,
            detach_reset=options.detach_reset,
            step_mode="m",
        )
    kinds = {"if": neuron.IFNode, "lif": neuron.LIFNode, "plif": neuron.ParametricLIFNode}
    layer: nn.Module = kinds[options.kind](**neuron_arguments(options))
    return layer


def neuron_arguments(options: NeuronOptions) -> dict[str, Any]:
    """What spikingjelly's class of that kind takes."""
    shared: dict[str, Any] = {
        "v_threshold": options.v_threshold,
        "v_reset": options.v_reset,
        "surrogate_function": make_surrogate(options.surrogate),
        "detach_reset": options.detach_reset,
        "step_mode": "m",
    }
    if options.kind == "if":
        return shared
    tau = {"tau" if options.kind == "lif" else "init_tau": options.tau}
    return {**shared, **tau, "decay_input": options.decay_input}


def spiking_layers(network: nn.Module) -> tuple[str, ...]:
    """Module paths of the spiking neurons in ``network``, in the order of definition."""
    return tuple(
        name
        for name, module in network.named_modules()
        if isinstance(module, base.MemoryModule) and hasattr(module, "v_threshold")
    )
