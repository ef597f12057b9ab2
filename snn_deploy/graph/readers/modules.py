"""One torch or spikingjelly module to one NIR node. Types are matched exactly: a subclass may compute
something else.

Neurons, with tau_s in steps (spikingjelly 2.0): ``tau = tau_s dt``; ``r = 1`` when the input decays with the
membrane, else ``r = tau_s``; ``v_leak = v_reset`` (0 with soft reset). PLIF: ``1 / tau_s = sigmoid(w)``.
IF: ``r = 1 / dt``. CUBA-LIF with decays c, d: ``tau_syn = dt / (1 - c)``, ``w_in = tau_syn / dt``,
``tau_mem = dt / (1 - d)``, ``r = tau_mem / dt``. The maximum over a window of spikes is their sum, above 0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine
from snn_deploy.graph.readers.kinds import kind
from snn_deploy.graph.shapes import Shape

if TYPE_CHECKING:
    from spikingjelly.activation_based import layer, neuron

Convert = Callable[[Any, Shape, float], nir.NIRNode]
"""``(module, input shape without T and B, dt) -> node``."""


class ModuleError(ValueError):
    """A module of a known type is set up in a way NIR cannot say; ``try_instead`` names a way out."""

    def __init__(self, what: str, try_instead: str = "") -> None:
        self.try_instead = try_instead
        super().__init__(what)


def _numbers(tensor: Any) -> npt.NDArray[np.float32]:
    numbers: npt.NDArray[np.float32] = tensor.detach().cpu().float().numpy().copy()
    return numbers


def _linear(module: nn.Linear, _shape: Shape, _dt: float) -> nir.NIRNode:
    weight, bias = _numbers(module.weight), module.bias
    return nir.Affine(weight, _numbers(bias)) if isinstance(bias, torch.Tensor) else nir.Linear(weight)


def _convolution(module: nn.Conv1d | nn.Conv2d, shape: Shape, _dt: float) -> nir.NIRNode:
    if module.padding_mode != "zeros":
        raise ModuleError(f"padding mode '{module.padding_mode}'", "zero padding")
    weight = _numbers(module.weight)
    bias = np.zeros(len(weight), np.float32) if module.bias is None else _numbers(module.bias)
    two = isinstance(module, nn.Conv2d)

    def per_axis(value: Any) -> Any:
        return value if isinstance(value, str) else tuple(value) if two else value[0]

    return (nir.Conv2d if two else nir.Conv1d)(
        input_shape=tuple(shape[1:]) if two else shape[-1],
        weight=weight,
        stride=per_axis(module.stride),
        padding=per_axis(module.padding),
        dilation=per_axis(module.dilation),
        groups=module.groups,
        bias=bias,
    )


def _pair(value: int | tuple[int, int]) -> npt.NDArray[np.int64]:
    return np.asarray(value if isinstance(value, tuple) else (value, value), dtype=np.int64)


def _average_pool(module: nn.AvgPool2d, _shape: Shape, _dt: float) -> nir.NIRNode:
    padding = _pair(module.padding)
    if module.ceil_mode:
        raise ModuleError("ceil_mode", "ceil_mode=False, or an input size that divides")
    if module.divisor_override is not None or (padding.any() and not module.count_include_pad):
        raise ModuleError("divides by another number than the window size", "count_include_pad=True")
    kernel = _pair(module.kernel_size)
    return nir.AvgPool2d(kernel, kernel if module.stride is None else _pair(module.stride), padding)


def _adaptive_pool(module: nn.AdaptiveAvgPool2d, shape: Shape, _dt: float) -> nir.NIRNode:
    wanted = module.output_size if isinstance(module.output_size, tuple) else (module.output_size,) * 2
    if len(shape) != 3:
        raise ModuleError(f"input {shape}; (C, H, W) is needed")
    size = tuple(s if w is None else w for s, w in zip(shape[1:], wanted, strict=True))
    if any(s % w for s, w in zip(shape[1:], size, strict=True)):
        raise ModuleError(f"windows of different sizes: {shape[1:]} to {size}", "an output size that divides")
    kernel = np.array([s // w for s, w in zip(shape[1:], size, strict=True)], dtype=np.int64)
    return nir.AvgPool2d(kernel, kernel.copy(), np.zeros(2, np.int64))


def _max_pool(module: nn.MaxPool2d, _shape: Shape, _dt: float) -> nir.NIRNode:
    if module.ceil_mode:
        raise ModuleError("ceil_mode", "ceil_mode=False, or an input size that divides")
    if module.return_indices or _pair(module.dilation).max() > 1:
        raise ModuleError("returns indices, or skips positions", "a plain window")
    kernel = _pair(module.kernel_size)
    stride = kernel.copy() if module.stride is None else _pair(module.stride)
    return nir.SumPool2d(kernel, stride, _pair(module.padding))


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, _shape: Shape, _dt: float) -> nir.NIRNode:
    if module.running_mean is None or module.running_var is None:
        raise ModuleError("no running statistics", "track_running_stats=True")
    mean, var = (t.detach().cpu().double().numpy() for t in (module.running_mean, module.running_var))
    gamma = np.ones_like(mean) if module.weight is None else module.weight.detach().cpu().double().numpy()
    beta = np.zeros_like(mean) if module.bias is None else module.bias.detach().cpu().double().numpy()
    scale = gamma / np.sqrt(var + module.eps)
    return ChannelAffine(scale, beta - scale * mean)


def _delay(module: layer.Delay, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.Delay(np.full(shape, module.delay_steps * dt))


def _scale(module: Any, shape: Shape, _dt: float) -> nir.NIRNode:
    return nir.Scale(np.full(shape, float(module.scale), np.float32))


def _fire(module: neuron.BaseNode, shape: Shape) -> dict[str, npt.NDArray[np.float64]]:
    reset = 0.0 if module.v_reset is None else module.v_reset
    return {"v_threshold": np.full(shape, module.v_threshold), "v_reset": np.full(shape, reset)}


def _if(module: neuron.IFNode, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.IF(r=np.full(shape, 1.0 / dt), **_fire(module, shape))


def _leaky(module: neuron.BaseNode, shape: Shape, dt: float, tau_steps: float) -> nir.NIRNode:
    fire = _fire(module, shape)
    r = 1.0 if module.decay_input else tau_steps
    return nir.LIF(
        tau=np.full(shape, tau_steps * dt), r=np.full(shape, r), v_leak=fire["v_reset"].copy(), **fire
    )


def _lif(module: neuron.LIFNode, shape: Shape, dt: float) -> nir.NIRNode:
    return _leaky(module, shape, dt, float(module.tau))


def _parametric_lif(module: neuron.ParametricLIFNode, shape: Shape, dt: float) -> nir.NIRNode:
    return _leaky(module, shape, dt, 1.0 / float(module.w.detach().float().sigmoid()))


def _cuba_lif(module: neuron.CUBALIFNode, shape: Shape, dt: float) -> nir.NIRNode:
    if not (0 <= module.c_decay < 1 and 0 <= module.v_decay < 1):
        raise ModuleError(f"decays {module.c_decay} and {module.v_decay}; they must be in [0, 1)")
    syn, mem = 1.0 / (1.0 - module.c_decay), 1.0 / (1.0 - module.v_decay)
    return nir.CubaLIF(
        tau_syn=np.full(shape, syn * dt),
        tau_mem=np.full(shape, mem * dt),
        r=np.full(shape, mem),
        v_leak=np.zeros(shape),
        w_in=np.full(shape, syn),
        **_fire(module, shape),
    )


NEURONS: dict[str, Convert] = {
    "spikingjelly.IFNode": _if,
    "spikingjelly.LIFNode": _lif,
    "spikingjelly.ParametricLIFNode": _parametric_lif,
    "spikingjelly.CUBALIFNode": _cuba_lif,
}


def _in_both(name: str) -> tuple[str, str]:
    return f"torch.{name}", f"spikingjelly.{name}"


CONVERTERS: dict[str, Convert] = {
    **NEURONS,
    "spikingjelly.Delay": _delay,
    "spikingjelly.VoltageScaler": _scale,
    **dict.fromkeys(_in_both("Linear"), _linear),
    **dict.fromkeys((*_in_both("Conv1d"), *_in_both("Conv2d")), _convolution),
    **dict.fromkeys(_in_both("AvgPool2d"), _average_pool),
    **dict.fromkeys(_in_both("AdaptiveAvgPool2d"), _adaptive_pool),
    **dict.fromkeys((*_in_both("BatchNorm1d"), *_in_both("BatchNorm2d")), _batch_norm),
    "spikingjelly.ThresholdDependentBatchNorm1d": _batch_norm,
    "spikingjelly.ThresholdDependentBatchNorm2d": _batch_norm,
}
"""By :func:`~snn_deploy.graph.readers.kinds.kind` of the module's class, as all tables here."""
MAXIMA: dict[str, Convert] = dict.fromkeys(_in_both("MaxPool2d"), _max_pool)
"""Maxima over windows, converted to the sums that are compared with 0.5."""
FLATTENS = _in_both("Flatten")
DROPPED = ("torch.Identity", "torch.Dropout1d", *_in_both("Dropout"), *_in_both("Dropout2d"))


def is_known(module: nn.Module) -> bool:
    """Whether modules of this very type are converted or dropped."""
    return any(kind(type(module)) in kinds for kinds in (CONVERTERS, MAXIMA, DROPPED, FLATTENS))


INSTEAD = {
    "MaxPool1d": "a strided convolution",
    "AdaptiveMaxPool2d": "average pooling (layer.AdaptiveAvgPool2d)",
    "ReLU": "a spiking neuron",
    "GroupNorm": "batch norm, which folds into weights",
    "LayerNorm": "batch norm, which folds into weights",
    "Softmax": "leave it out: class scores are decoded after the network",
    "VotingLayer": "a linear layer with one output per class",
    "AvgPool1d": "a strided convolution",
    **dict.fromkeys(
        ("QKAttention", "SpikingSelfAttention"),
        "a convolutional student; attention multiplies spike tensors",
    ),
}
"""What to use instead of a module that NIR has no node for."""
