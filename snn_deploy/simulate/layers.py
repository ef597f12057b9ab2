"""Stateless NIR nodes in torch: functions ``[N, *in] -> [N, *out]``, and the delay over time."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import nir
import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.dynamics import delay_steps, parameters
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.shapes import Shape, axes, flatten_axes, pads
from snn_deploy.simulate.neurons import DelayState, as_parameter, runs_compiled

Stateless = Callable[[torch.Tensor], torch.Tensor]


def stateless(
    node: nir.NIRNode, semantics: Semantics, dtype: torch.dtype, device: torch.device
) -> Stateless | None:
    """The function of a stateless node; None for a node that holds state."""

    def tensor(value: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(value)).to(device, dtype)

    if isinstance(node, nir.Input | nir.Output):
        return lambda x: x
    if isinstance(node, nir.Affine | nir.Linear):
        weight, bias = tensor(node.weight), tensor(node.bias) if isinstance(node, nir.Affine) else None
        return lambda x: functional.linear(x, weight, bias)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(node, tensor)
    if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        return _pool(node, compiled=runs_compiled(dtype, device))
    if isinstance(node, nir.Flatten):
        return _flatten(node)
    if isinstance(node, nir.Scale):
        scale = as_parameter(parameters(node)["scale"], dtype, device)
        return lambda x: x * scale
    if isinstance(node, nir.Threshold):
        threshold = as_parameter(parameters(node)["threshold"], dtype, device)
        compare = torch.gt if semantics.fires_at == ">" else torch.ge
        return lambda x: compare(x, threshold, out=torch.empty_like(x))
    return None


def _convolution(node: nir.Conv1d | nir.Conv2d, tensor: Callable[[Any], torch.Tensor]) -> Stateless:
    weight, bias = tensor(node.weight), tensor(node.bias)
    rank = weight.ndim - 2
    stride, dilation = axes(node.stride, rank), axes(node.dilation, rank)
    groups = axes(node.groups, 1)[0]
    padding = pads(node, tuple(weight.shape[2:]), dilation, stride)
    convolve = functional.conv1d if rank == 1 else functional.conv2d
    if rank == 2 and weight.device.type == "cpu":
        weight = weight.contiguous(memory_format=torch.channels_last)
    even = tuple(before for before, _ in padding)
    uneven = [p for pair in reversed(padding) for p in pair]
    is_even = all(before == after for before, after in padding)

    def dense(x: torch.Tensor) -> torch.Tensor:
        if is_even:
            return convolve(x, weight, bias, stride, even, dilation, groups)
        return convolve(functional.pad(x, uneven), weight, bias, stride, 0, dilation, groups)

    if rank == 2 and groups == 1 and runs_compiled(weight.dtype, weight.device):
        from snn_deploy.simulate.silence import SilentConvolution

        return SilentConvolution(weight, bias, stride, padding, dilation, dense)
    return dense


def _pool(node: nir.AvgPool2d | nir.SumPool2d, *, compiled: bool) -> Stateless:
    kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
    padding = tuple(before for before, _ in pads(node, kernel, (1, 1), stride))
    divisor = 1 if isinstance(node, nir.SumPool2d) else None
    if compiled:
        from snn_deploy.simulate.silence import pool

        return pool(kernel, stride, padding, divisor or prod(kernel))
    return lambda x: functional.avg_pool2d(x, kernel, stride, padding, divisor_override=divisor)


def _flatten(node: nir.Flatten) -> Stateless:
    def flatten(x: torch.Tensor) -> torch.Tensor:
        first, last = flatten_axes(node, x.ndim - 1)
        return x.flatten(first + 1, last + 1)

    return flatten


class DelayLayer:
    """A Delay over time: ``y(t) = x(t - d)`` with a whole number of steps ``d`` per element."""

    def __init__(
        self, node: nir.Delay, semantics: Semantics, shape: Shape, dtype: torch.dtype, device: torch.device
    ) -> None:
        steps = delay_steps(node, semantics)
        self._like = torch.empty(0, dtype=dtype, device=device)
        self._shape = shape
        self._longest = int(steps.max())
        self._steps = (
            None if steps.ndim == 0 else torch.from_numpy(np.broadcast_to(steps, shape).copy()).to(device)
        )

    def start(self, batch: int) -> DelayState:
        """Nothing has arrived yet."""
        return DelayState(self._like.new_zeros(self._longest, batch, *self._shape))

    def run(self, x: torch.Tensor, state: DelayState) -> tuple[torch.Tensor, DelayState]:
        """Delayed ``x [T, B, *shape]``, and the inputs that are still on their way."""
        known = torch.cat([state.past, x])
        past = known[known.shape[0] - self._longest :].clone()
        if self._steps is None:
            return known[: x.shape[0]], DelayState(past)
        now = torch.arange(self._longest, known.shape[0], device=x.device)
        index = now.view(-1, *[1] * (x.ndim - 1)) - self._steps
        return known.gather(0, index.expand_as(x)), DelayState(past)
