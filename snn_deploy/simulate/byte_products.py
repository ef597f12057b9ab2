r"""Products of bytes: the sums of synapses in 8-bit integers, several times as fast as in floats.

Weights that are :math:`W = 2^k w` with w in [-128, 127], which is what 8-bit weights of Loihi are, and inputs
in [0, 127] are multiplied as bytes and added in 32 bits: such a sum is exact. It becomes a float32
:math:`64 \cdot 2^k \sum w x`, which is exact below :math:`2^{24}` units of :math:`2^k`.

The kernels are oneDNN's, as torch offers them to quantised networks. Without instructions for products of
bytes (AVX512-VNNI) they would add pairs in 16 bits, or halve the weights: :func:`available` computes the
largest sums once, and bytes are used only where all of them are exact.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from snn_deploy.graph.lava.net import Conv, Cuba, Dense, IntArray, Pair, Shape
from snn_deploy.simulate.cuba import UNIT

LARGEST_INPUT = 127
SMALLEST_WEIGHT, LARGEST_WEIGHT = -128, 127


@dataclass(frozen=True, slots=True)
class ByteWeights:
    """Weights of one layer as bytes.

    Attributes:
        layer: geometry.
        weight: oneDNN's own form for a convolution, int8 ``[N_in, N]`` for a dense layer.
        scale: ``64 * 2^k`` per output channel of a convolution, one number for a dense layer.
        zero: as many zeros, which oneDNN asks for.
    """

    layer: Conv | Dense
    weight: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor


def pack(layer: Conv | Dense, weight: IntArray, shape: Shape, input_range: Pair) -> ByteWeights | None:
    """The weights of ``layer`` as bytes for inputs of ``shape`` in ``input_range``; ``weight`` are those of
    ``layer``, columns in the order of the inputs. None where bytes do not hold them."""
    low, high = input_range
    step = int(np.bitwise_or.reduce(weight, axis=None)) if weight.size else 0
    unit = step & -step or 1
    small = weight // unit
    fits = small.min(initial=0) >= SMALLEST_WEIGHT and small.max(initial=0) <= LARGEST_WEIGHT
    if not (fits and low >= 0 and high <= LARGEST_INPUT and available()):
        return None
    return _pack(layer, small, shape, UNIT * unit)


def _pack(layer: Conv | Dense, weight: IntArray, shape: Shape, scale: int) -> ByteWeights:
    held = torch.from_numpy(weight.astype(np.int8))
    if isinstance(layer, Dense):
        columns = torch.empty(held.shape[::-1], dtype=torch.int8).copy_(held.T)
        return ByteWeights(layer, columns, torch.tensor(float(scale)), torch.tensor(0))
    scales = torch.full((len(weight),), float(scale))
    packed = torch.ops.onednn.qconv_prepack(
        held, scales, 1.0, 0, layer.stride, layer.padding, layer.dilation, layer.groups, (1, *shape)
    )
    return ByteWeights(layer, packed, scales, torch.zeros(len(weight), dtype=torch.int64))


def sums(weights: ByteWeights, x: torch.Tensor) -> torch.Tensor:
    """``64 W x`` as float32 of frames ``[M, H, W, C] -> [M, C_out, H_out, W_out]``, or rows
    ``[M, N_in] -> [M, N]``.

    The bytes are copied to memory of plain strides: torch 2.13's product reads wrong elements where an axis
    of length 1 has another stride, which torch itself calls contiguous.
    """
    held = torch.empty(x.shape, dtype=torch.int8).copy_(x)
    layer = weights.layer
    if isinstance(layer, Dense):
        return torch._int_mm(held, weights.weight).float().mul_(weights.scale)
    found: torch.Tensor = torch.ops.onednn.qconv2d_pointwise(
        *(held.view(torch.uint8).movedim(-1, 1), 1.0, 0),
        *(weights.weight, weights.scale, weights.zero, None),
        *(layer.stride, layer.padding, layer.dilation, layer.groups),
        *(1.0, 0, torch.float32, "none", [], ""),
    )
    return found


@functools.cache
def available() -> bool:
    """Whether this machine and this torch compute products of bytes, exactly up to the largest ones."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    extremes = np.array([SMALLEST_WEIGHT, LARGEST_WEIGHT, 1, -1]).repeat(4)
    matrix = np.broadcast_to(extremes[:, None], (16, 512))
    neuron = Cuba.of(0, 0, 0)
    dense = Dense(matrix, neuron)
    conv = Conv((16, 1, 1), matrix.reshape(16, 32, 4, 4), neuron)
    rows = torch.full((3, 512), float(LARGEST_INPUT))
    expected = UNIT * LARGEST_INPUT * 512 * torch.from_numpy(extremes).float().expand(3, 16)
    try:
        found = sums(_pack(dense, dense.weight, (512,), UNIT), rows)
        convolved = sums(_pack(conv, conv.weight, (32, 4, 4), UNIT), rows.view(3, 4, 4, 32))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.equal(found, expected) and torch.equal(convolved.flatten(1), expected)
