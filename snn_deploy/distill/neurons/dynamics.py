r"""What a layer of neurons computes in training, read off its module.

With the equations of :mod:`snn_deploy.models.neurons`, ``g(t) = dL/ds(t)``, the surrogate's derivative
``sigma'`` and ``a = dh(t)/dx(t)``, ``k = dh(t)/dv(t-1)``, the gradient runs backwards in time::

    dL/dh(t) = sigma'(h(t) - theta) g(t) + c(t) k dL/dh(t+1)        dL/dx(t) = a dL/dh(t)

    c(t) = dv(t)/dh(t)      detach_reset            not detach_reset
    hard reset              1 - s(t)                1 - s(t) + (v_reset - h(t)) sigma'(h(t) - theta)
    soft reset              1                       1 - d sigma'(h(t) - theta)

    PLIF, q = 1 / tau       dL/dq = sum_t dL/dh(t) (x(t) - dv)   decay_input, else   - sum_t dL/dh(t) dv

A soft reset takes ``d``, which is ``theta`` but for :class:`~snn_deploy.models.started.StartedIF`, whose two
are given per channel.

The state is float32 whatever the type of ``x``: in bfloat16, with 8 bits of precision, neurons near the
threshold would spike otherwise than in the network that is exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import nn

from snn_deploy.models.started import StartedIF

Slope = Literal["atan", "sigmoid", "triangle", "rectangle"]

SLOPES: dict[type[nn.Module], Slope] = {
    surrogate.ATan: "atan",
    surrogate.Sigmoid: "sigmoid",
    surrogate.PiecewiseQuadratic: "triangle",
    surrogate.Rect: "rectangle",
}

_LAYERS = (neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode, StartedIF)


@dataclass(frozen=True, slots=True)
class Dynamics:
    """``tau`` None is a neuron without leak, or one that learns it; ``v_reset`` None the soft reset, which
    takes ``drop``. Tensors are ``[C, 1, ...]``."""

    tau: float | None
    decay_input: bool
    threshold: float | torch.Tensor
    drop: float | torch.Tensor
    v_reset: float | None
    detach_reset: bool
    slope: Slope
    alpha: float


def dynamics_of(node: Any) -> Dynamics | None:
    """Of an IF, LIF, PLIF or started IF layer with a surrogate that recipes offer; None of another module."""
    if type(node) not in _LAYERS or getattr(node, "store_v_seq", False):
        return None
    function = node.surrogate_function
    if type(function) not in SLOPES or not function.spiking:
        return None
    return Dynamics(
        tau=getattr(node, "tau", None),
        decay_input=getattr(node, "decay_input", False),
        threshold=node.v_threshold,
        drop=node.drop if type(node) is StartedIF else node.v_threshold,
        v_reset=node.v_reset,
        detach_reset=node.detach_reset,
        slope=SLOPES[type(function)],
        alpha=function.alpha,
    )


def learned_leak(node: Any) -> torch.Tensor | None:
    """``q = 1 / tau``, a number that is trained, of PLIF; None of another layer."""
    return node.w.sigmoid() if type(node) is neuron.ParametricLIFNode else None
