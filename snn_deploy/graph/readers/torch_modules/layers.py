"""One layer of torch or spikingjelly to one NIR node. Types are matched exactly: a subclass may compute
something else. The maximum over a window of spikes is their sum, above 0.5.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine
from snn_deploy.graph.readers.torch_modules.conversion import Convert, ModuleError, numbers
from snn_deploy.graph.shapes import Shape


def _linear(module: nn.Linear, _shape: Shape, _dt: float) -> nir.NIRNode:
    weight, bias = numbers(module.weight), module.bias
    return nir.Affine(weight, numbers(bias)) if isinstance(bias, torch.Tensor) else nir.Linear(weight)


def _convolution(module: nn.Conv1d | nn.Conv2d, shape: Shape, _dt: float) -> nir.NIRNode:
    if module.padding_mode != "zeros":
        raise ModuleError(f"padding mode '{module.padding_mode}'", "zero padding")
    weight = numbers(module.weight)
    bias = np.zeros(len(weight), np.float32) if module.bias is None else numbers(module.bias)
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
        raise ModuleError(f"input {shape}; (C, H, W) is needed", "a convolution or pooling in front of it")
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


def _in_both(name: str) -> tuple[str, str]:
    return f"torch.{name}", f"spikingjelly.{name}"


LAYERS: dict[str, Convert] = {
    **dict.fromkeys(_in_both("Linear"), _linear),
    **dict.fromkeys((*_in_both("Conv1d"), *_in_both("Conv2d")), _convolution),
    **dict.fromkeys(_in_both("AvgPool2d"), _average_pool),
    **dict.fromkeys(_in_both("AdaptiveAvgPool2d"), _adaptive_pool),
    **dict.fromkeys((*_in_both("BatchNorm1d"), *_in_both("BatchNorm2d")), _batch_norm),
    "spikingjelly.ThresholdDependentBatchNorm1d": _batch_norm,
    "spikingjelly.ThresholdDependentBatchNorm2d": _batch_norm,
}
MAXIMA: dict[str, Convert] = dict.fromkeys(_in_both("MaxPool2d"), _max_pool)
"""Maxima over windows, converted to the sums that are compared with 0.5."""
FLATTENS = _in_both("Flatten")
DROPPED = ("torch.Identity", "torch.Dropout1d", *_in_both("Dropout"), *_in_both("Dropout2d"))
