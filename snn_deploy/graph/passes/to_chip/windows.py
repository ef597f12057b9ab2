r"""Linear maps between two populations, and how two of them become one.

A window map is a cross-correlation; pooling is one whose weights are constant (1 / k^2 for averages, 1 for
sums) and whose channels do not mix. Along one axis, an inner map (kernel :math:`k_1`, stride :math:`s_1`,
dilation :math:`d_1`, padding :math:`p_1`) followed by an outer one is a single map with

.. math:: K = d_1 (k_1 - 1) + s_1 d_2 (k_2 - 1) + 1, \qquad S = s_1 s_2, \qquad P = p_1 + s_1 p_2

as long as the zeros that pad the inner result are zeros of the merged map too. That is checked for every tap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.graph.shapes import axes, pads

FloatArray = npt.NDArray[np.float64]
Pair = tuple[int, int]


class MergeError(ValueError):
    """Two maps cannot be one; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """``[C_in, H, W] -> [C_out, H', W']``; weight ``[C_out, C_in / groups, kH, kW]``, bias ``[C_out]``."""

    weight: FloatArray
    bias: FloatArray
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    size_in: Pair
    pools: bool = False

    @property
    def kernel(self) -> Pair:
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    @property
    def size_out(self) -> Pair:
        height, width = (_size_out(self, axis) for axis in (0, 1))
        return height, width


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """``[N_in] -> [N]``; weight ``[N, N_in]``, bias ``[N]``."""

    weight: FloatArray
    bias: FloatArray


def pooling(channels: int, kernel: Pair, stride: Pair, padding: Pair, size_in: Pair, value: float) -> Window:
    """A pooling layer whose every tap weighs ``value``."""
    weight = np.full((channels, 1, *kernel), value)
    return Window(weight, np.zeros(channels), stride, padding, (1, 1), channels, size_in, pools=True)


def identity(shape: tuple[int, ...]) -> Window | Matrix:
    """The map that passes every element on."""
    if len(shape) == 1:
        return Matrix(np.eye(shape[0]), np.zeros(shape[0]))
    return pooling(shape[0], (1, 1), (1, 1), (0, 0), (shape[1], shape[2]), 1.0)


def merge(inner: Window, outer: Window) -> Window:
    """The map that applies ``inner``, then ``outer``; one of them pools.

    Raises:
        MergeError: neither pools, or no single map equals the two at the border.
    """
    if not (inner.pools or outer.pools):
        raise MergeError("two layers of weights follow each other without neurons between them")
    for axis in (0, 1):
        _check_axis(inner, outer, axis)
    weights, box = (outer, inner) if inner.pools else (inner, outer)
    value = float(box.weight.flat[0])
    spacing = tuple(s * d for s, d in zip(inner.stride, outer.dilation, strict=True))
    if inner.pools:
        weight = _spread(weights.weight, spacing, box.kernel, (1, 1)) * value
        bias = outer.bias
    else:
        weight = _spread(weights.weight, inner.dilation, box.kernel, spacing) * value
        bias = inner.bias * value * box.kernel[0] * box.kernel[1]
    strides = [a * b for a, b in zip(inner.stride, outer.stride, strict=True)]
    pads = [p + s * q for p, s, q in zip(inner.padding, inner.stride, outer.padding, strict=True)]
    return Window(
        weight=weight,
        bias=bias,
        stride=(strides[0], strides[1]),
        padding=(pads[0], pads[1]),
        dilation=(1, 1),
        groups=weights.groups,
        size_in=inner.size_in,
        pools=inner.pools and outer.pools,
    )


def merge_into_matrix(pool: Window, matrix: Matrix) -> Matrix:
    """The map that pools, flattens in C-H-W order, then multiplies by ``matrix``: exact at every border."""
    channels, (height, width) = len(pool.weight), pool.size_in
    rows, columns = pool.size_out
    weight = matrix.weight.reshape(-1, channels, rows, columns) * float(pool.weight.flat[0])
    padded = np.zeros(
        (len(weight), channels, height + 2 * pool.padding[0], width + 2 * pool.padding[1]), np.float64
    )
    for i in range(pool.kernel[0]):
        for j in range(pool.kernel[1]):
            below = slice(i, i + pool.stride[0] * rows, pool.stride[0])
            beside = slice(j, j + pool.stride[1] * columns, pool.stride[1])
            padded[:, :, below, beside] += weight
    top, left = pool.padding
    inside = padded[:, :, top : top + height, left : left + width]
    return Matrix(inside.reshape(len(weight), -1), matrix.bias)


def with_groups(window: Window, limit: int) -> Window:
    """The same map with at most ``limit`` groups; joined groups get zero weights between them."""
    if window.groups <= limit:
        return window
    fewer = next(g for g in range(limit, 0, -1) if window.groups % g == 0)
    joined = window.groups // fewer
    outputs, inputs = window.weight.shape[0] // window.groups, window.weight.shape[1]
    weight = np.zeros((window.weight.shape[0], inputs * joined, *window.kernel))
    for position in range(window.groups):
        rows = slice(position * outputs, (position + 1) * outputs)
        first = position % joined * inputs
        weight[rows, first : first + inputs] = window.weight[rows]
    return replace(window, weight=weight, groups=fewer)


def scaled(linear: Window | Matrix, rows: FloatArray) -> Window | Matrix:
    """Rows of weights and biases times ``rows`` (one number, or one per output)."""
    wide = rows.reshape(-1, *[1] * (linear.weight.ndim - 1)) if rows.ndim else rows
    return replace(linear, weight=linear.weight * wide, bias=linear.bias * rows)


def as_window(node: nir.NIRNode, shape: tuple[int, ...]) -> Window:
    """A convolution or pool as a map.

    Raises:
        MergeError: padding that differs on two sides.
    """
    size = (shape[1], shape[2])
    if isinstance(node, nir.Conv2d):
        weight = np.asarray(node.weight, np.float64)
        stride, dilation = axes(node.stride, 2), axes(node.dilation, 2)
        padding = pads(node, weight.shape[2:], dilation, stride)
    else:
        kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
        padding = pads(node, kernel, (1, 1), stride)
    if any(before != after for before, after in padding):
        raise MergeError(f"pads {padding}, differently on the two sides; use an odd kernel or numbers")
    even = (padding[0][0], padding[1][0])
    if isinstance(node, nir.Conv2d):
        bias = np.asarray(node.bias, np.float64)
        groups = axes(node.groups, 1)[0]
        return Window(weight, bias, (stride[0], stride[1]), even, (dilation[0], dilation[1]), groups, size)
    value = 1.0 / (kernel[0] * kernel[1]) if isinstance(node, nir.AvgPool2d) else 1.0
    return pooling(shape[0], (kernel[0], kernel[1]), (stride[0], stride[1]), even, size, value)


def _size_out(window: Window, axis: int) -> int:
    reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1
    return (window.size_in[axis] + 2 * window.padding[axis] - reach) // window.stride[axis] + 1


def _check_axis(inner: Window, outer: Window, axis: int) -> None:
    size, middle, out = inner.size_in[axis], _size_out(inner, axis), _size_out(outer, axis)
    s1, d1, p1, k1 = inner.stride[axis], inner.dilation[axis], inner.padding[axis], inner.kernel[axis]
    s2, d2, p2, k2 = outer.stride[axis], outer.dilation[axis], outer.padding[axis], outer.kernel[axis]
    positions = (s2 * np.arange(out)[:, None] + d2 * np.arange(k2) - p2).reshape(-1)
    zeros = positions[(positions < 0) | (positions >= middle)]
    if len(zeros) and inner.bias.any():
        raise MergeError("padding of the second map hides the bias of the first at the border")
    seen = s1 * zeros[:, None] + d1 * np.arange(k1) - p1
    if ((seen >= 0) & (seen < size)).any():
        raise MergeError(
            f"input size {size} is not covered by windows of {k1} with stride {s1}: where the next map is "
            "padded, a merged one would see the rest"
        )
    reach = d1 * (k1 - 1) + s1 * d2 * (k2 - 1) + 1
    if (size + 2 * (p1 + s1 * p2) - reach) // (s1 * s2) + 1 != out:
        raise MergeError(f"a merged map of input size {size} has another output size than the two")


def _spread(
    weight: FloatArray, spacing: tuple[int, ...], kernel: Pair, box_spacing: tuple[int, ...]
) -> FloatArray:
    """Taps of ``weight`` put ``spacing`` apart, each repeated over a box of ``kernel`` taps."""
    taps = weight.shape[2:]
    sizes = [
        s * (t - 1) + b * (k - 1) + 1 for s, t, b, k in zip(spacing, taps, box_spacing, kernel, strict=True)
    ]
    result = np.zeros((*weight.shape[:2], *sizes))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = box_spacing[0] * i, box_spacing[1] * j
            rows = slice(top, top + spacing[0] * (taps[0] - 1) + 1, spacing[0])
            columns = slice(left, left + spacing[1] * (taps[1] - 1) + 1, spacing[1])
            result[:, :, rows, columns] += weight
    return result
