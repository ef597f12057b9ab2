r"""Exact integer sums of synapses, computed with floats, or with bytes where those hold all values.

A float holds every integer up to :math:`2^{24}` (float32) or :math:`2^{53}` (float64). The largest possible
partial sum follows from the weights and the largest input; as long as it stays below the limit, a sum of
products is exact in whatever order it is taken, fused or not. Algorithms that transform the data first
(Winograd, FFT) are not sums of products: they are switched off, and so are the reduced precisions that
accelerators offer for matrix products.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.lava.net import Conv, Dense, IntArray, Pair, Shape, layer_bound
from snn_deploy.simulate import byte_products
from snn_deploy.simulate.byte_products import ByteWeights
from snn_deploy.simulate.cuba import UNIT

FLOAT32_LIMIT = 1 << 24
CONV_ACCUMULATOR = 1 << 24
"""Lava's convolution keeps its sum modulo 2^24, in ``[-2^23, 2^23)``; its dense layer does not."""


@dataclass(frozen=True, slots=True)
class Synapses:
    """Connections of one layer with weights in state units (``64 W``).

    Attributes:
        layer: geometry.
        weight: ``64 W`` in the dtype that holds every sum exactly; the columns of a dense layer without
            delays are in the order of :func:`channels_last`.
        recurrent: ``64 W_rec`` or None.
        bound: largest possible ``|sum|`` in weight units.
        byte_weights: the weights as bytes, or None where a product of bytes would not be exact or not be
            fast: on accelerators, with delays, and in convolutions by groups.
    """

    layer: Conv | Dense
    weight: torch.Tensor
    recurrent: torch.Tensor | None
    bound: int
    byte_weights: ByteWeights | None


def prepare(layer: Conv | Dense, shape: Shape, input_range: Pair, device: torch.device) -> Synapses:
    """Weights of ``layer`` in numbers that hold every possible sum exactly, for inputs of ``shape`` that lie
    in ``input_range``."""
    recurrent = layer.recurrent if isinstance(layer, Dense) else None
    bound = layer_bound(layer, input_range)
    dtype = torch.float32 if bound < FLOAT32_LIMIT else torch.float64

    def scaled(weight: IntArray) -> torch.Tensor:
        return torch.as_tensor(weight * UNIT).to(device, dtype)

    integers = layer.weight
    if isinstance(layer, Dense) and layer.delay is None:
        integers = np.moveaxis(integers.reshape(-1, *shape), 1, -1).reshape(integers.shape)
    weight = scaled(integers)
    if isinstance(layer, Conv) and device.type == "cpu":
        weight = weight.contiguous(memory_format=torch.channels_last)
    simple = layer.groups == 1 if isinstance(layer, Conv) else layer.delay is None
    held = None
    if simple and device.type == "cpu" and dtype == torch.float32:
        held = byte_products.pack(layer, integers, shape, input_range)
    return Synapses(layer, weight, None if recurrent is None else scaled(recurrent), bound, held)


def channels_last(x: torch.Tensor, leading: int) -> torch.Tensor:
    """``[..., C, H, W] -> [..., H, W, C]``, the order in which convolutions on a CPU leave frames in memory,
    after ``leading`` axes; vectors stay as they are."""
    return x.movedim(leading, -1)


def currents(synapses: Synapses, x: torch.Tensor) -> torch.Tensor:
    """``64 a`` of every step: ``[T, B, *shape_in] -> [T, B, *shape]``."""
    layer = synapses.layer
    if synapses.byte_weights is not None:
        rows = byte_products.sums(synapses.byte_weights, _rows(layer, x))
        sums = rows.view(*x.shape[:2], *layer.shape)
    else:
        sums = _float_sums(synapses, layer, x.to(synapses.weight.dtype))
    if isinstance(layer, Conv) and synapses.bound >= CONV_ACCUMULATOR // 2:
        half = UNIT * CONV_ACCUMULATOR // 2
        sums = (sums + half).remainder(2 * half) - half
    return sums


def _rows(layer: Conv | Dense, x: torch.Tensor) -> torch.Tensor:
    """``[T, B, C, H, W]`` as frames ``[T B, H, W, C]`` for a convolution, rows ``[T B, N_in]`` for a dense
    layer."""
    frames = channels_last(x, 2).flatten(0, 1)
    return frames if isinstance(layer, Conv) else frames.flatten(1)


def _float_sums(synapses: Synapses, layer: Conv | Dense, x: torch.Tensor) -> torch.Tensor:
    with exact_products():
        if isinstance(layer, Dense) and layer.delay is not None:
            return _delayed(synapses, layer.delay, x.flatten(2))
        rows = _rows(layer, x)
        if isinstance(layer, Conv):
            rows = _conv(synapses, layer, rows.movedim(-1, 1))
        else:
            rows = functional.linear(rows, synapses.weight)
        return rows.view(*x.shape[:2], *layer.shape)


def _conv(synapses: Synapses, layer: Conv, frames: torch.Tensor) -> torch.Tensor:
    weight = synapses.weight
    if frames.is_cuda:
        return conv_as_product(layer, weight, frames)
    return functional.conv2d(frames, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def conv_as_product(layer: Conv, weight: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Cross-correlation of ``frames [N, C, H, W]`` as one matrix product: on accelerators the algorithm of a
    convolution cannot be chosen, a matrix product is a sum of products."""
    kernel = (weight.shape[2], weight.shape[3])
    patches = functional.unfold(frames, kernel, layer.dilation, layer.padding, layer.stride)
    count, _, positions = patches.shape
    patches = patches.view(count, layer.groups, -1, positions)
    sums: torch.Tensor = weight.view(layer.groups, len(weight) // layer.groups, -1) @ patches
    return sums.view(count, *layer.shape)


def _delayed(synapses: Synapses, delay: IntArray, x: torch.Tensor) -> torch.Tensor:
    """Synapses that wait: the weights of one delay at a time, shifted in time."""
    steps = x.shape[0]
    result = x.new_zeros((*x.shape[:2], len(delay)))
    waits = torch.as_tensor(delay, device=x.device)
    for wait in torch.unique(waits).tolist():
        if wait < steps:
            chosen = torch.where(waits == wait, synapses.weight, 0)
            result[wait:] += functional.linear(x[: steps - wait], chosen)
    return result


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Plain sums of products in full precision inside the block."""
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        with torch.backends.nnpack.flags(enabled=False), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
