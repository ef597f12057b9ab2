"""Convolutions and pools of frames that are mostly silent: what costs is the spikes, not the pixels.

Frames lie in memory channels last, ``[N, H, W, C]``. A value ``v`` adds ``v w`` to the outputs whose windows
hold it; neighbouring outputs take neighbouring weights, so that one value adds a few long rows. Each output
takes its values in the order (row, column, channel) of the window, every product is rounded with its sum, and
the bias comes last. That is the order of oneDNN's convolutions on x86-64 for channels-last frames, so that
results are the same to the last bit there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from snn_deploy.core.compiled import compiled, inlined
from snn_deploy.simulate.compiled.lanes import BITS, add_products, lowest, occupied, ones

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Pair = tuple[int, int]
Axes = tuple[int, ...]
Mask = npt.NDArray[np.bool_]


class Windows(NamedTuple):
    """Where the values of a frame go.

    Attributes:
        rows, columns: position in the kernel of each row and column of weights, in the order they are kept.
        height, width: of the outputs.
        first: ``[H W + 1]``: number of the first run of each pixel; its own end where the next one's begin.
        runs: ``[R, 3]``: of each run its first weight behind those of the value's channel, its first output,
            and how many follow each other.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    height: int
    width: int
    first: Ints
    runs: Ints


@lru_cache(maxsize=256)
def windows(
    size: Axes, kernel: Axes, stride: Axes, padding: tuple[Pair, ...], dilation: Axes, outputs: int
) -> Windows:
    """The runs of frames of ``size``, of which each value meets ``outputs`` channels.

    Along an axis, input i meets weight k in output ``(i + before - k d) / s``, where that is one. Weights
    whose outputs are neighbours are kept as neighbours.
    """
    (rows, down, height), (columns, along, width) = (
        _axis(*one) for one in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    per_column = np.array([len(found) for found in along])
    place, output, count = np.array([run for found in along for run in found], np.int64).reshape(-1, 3).T
    firsts, runs = [np.zeros(1, np.int64)], []
    for found in down:
        pairs = [(at + k, row + k) for at, row, number in found for k in range(number)]
        kernel_row, row = np.array(pairs, np.int64).reshape(-1, 2).T
        weights = kernel_row * kernel[1] + place[:, None]
        outs = row * width + output[:, None]
        counts = np.broadcast_to(count[:, None], outs.shape)
        runs.append(outputs * np.stack([weights, outs, counts], axis=-1).reshape(-1, 3))
        firsts.append(firsts[-1][-1] + np.cumsum(per_column * len(pairs)))
    first, flat = (np.concatenate(parts).astype(np.int32) for parts in (firsts, runs))
    return Windows(rows, columns, height, width, first, flat)


def _axis(
    size: int, kernel: int, stride: int, padding: Pair, dilation: int
) -> tuple[tuple[int, ...], list[list[list[int]]], int]:
    """Order of the weights of one axis; of each input its runs: place of the first weight, first output,
    length; number of outputs."""
    before, after = padding
    outputs = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
    order = tuple(sorted(range(kernel), key=lambda k: (k * dilation % stride, -k)))
    found: list[list[list[int]]] = []
    for i in range(size):
        runs: list[list[int]] = []
        for place, k in enumerate(order):
            output, rest = divmod(i + before - k * dilation, stride)
            if rest or not 0 <= output < outputs:
                continue
            if runs and (place, output) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
                runs[-1][2] += 1
            else:
                runs.append([place, output, 1])
        found.append(runs)
    return order, found, outputs


def kept_weight(weight: Floats, kernel: Windows) -> Floats:
    """``[O, C, kernel rows, kernel columns]`` as the loops take it, ``[C, rows, columns, O]`` in the order of
    the windows."""
    ordered = weight[:, :, list(kernel.rows)][:, :, :, list(kernel.columns)]
    return np.ascontiguousarray(ordered.transpose(1, 2, 3, 0), dtype=np.float32)


@inlined
def _bits(values: Any, start: int, count: int) -> Any:
    """Which of the ``count`` values from ``start`` on are not 0, of the first ``BITS``."""
    if count >= BITS:
        return occupied(values, start)
    bits = np.uint32(0)
    for k in range(count):
        if values[start + k] != 0:
            bits |= np.uint32(1) << np.uint32(k)
    return bits


@inlined
def _add_pixel(
    sums: Any,
    at: int,
    weights: Any,
    offsets: Any,
    factors: Any,
    count: int,
    first: Ints,
    runs: Ints,
    pixel: Any,
) -> None:
    """Add the values of one pixel to the outputs around it."""
    if count:
        for k in range(first[pixel], first[pixel + np.uint32(1)]):
            add_products(sums, at + runs[k, 1], weights, runs[k, 0], offsets, factors, count, runs[k, 2])


@compiled
def convolve(
    x: Floats,
    begin: int,
    end: int,
    left: Mask,
    weight: Floats,
    bias: Floats,
    first: Ints,
    runs: Ints,
    out: Floats,
) -> None:
    """Write the outputs ``out [N, H', W', O]`` of the frames ``begin`` to ``end`` of ``x [N, H, W, C]`` but
    those ``left [N]`` to others, for :func:`kept_weight`; ``bias [O]``, or empty."""
    channels, outputs = np.uint32(x.shape[3]), out.shape[3]
    values, weights, sums = x.reshape(-1), weight.reshape(-1), out.reshape(-1)
    size, size_out = values.size // len(x), sums.size // len(out)
    per_channel = weights.size // x.shape[3]
    factors, offsets = np.empty(x.shape[3], np.float32), np.empty(x.shape[3], np.int64)
    one, none = np.ones(1, np.float32), np.zeros(1, np.int64)
    for frame in range(begin, end):
        if left[frame]:
            continue
        at, start = frame * size_out, frame * size
        sums[at : at + size_out] = 0
        pixel, count = np.uint32(0), 0
        for block in range(0, size, BITS):
            bits = _bits(values, start + block, size - block)
            while bits != 0:
                place = np.uint32(block + lowest(bits))
                bits &= bits - np.uint32(1)
                now = place // channels
                if now != pixel:
                    _add_pixel(sums, at, weights, offsets, factors, count, first, runs, pixel)
                    pixel, count = now, 0
                factors[count] = values[start + place]
                offsets[count] = np.intp(place - now * channels) * per_channel
                count += 1
        _add_pixel(sums, at, weights, offsets, factors, count, first, runs, pixel)
        if bias.size:
            for pixel_out in range(at, at + size_out, outputs):
                add_products(sums, pixel_out, bias, 0, none, one, 1, outputs)


@compiled
def count_values(x: Floats, counts: npt.NDArray[np.int64]) -> None:
    """How many values of each frame ``x [N, ...]`` are not 0."""
    values = x.reshape(-1)
    size = values.size // len(counts)
    for frame in range(len(counts)):
        found = 0
        for block in range(0, size, BITS):
            found += ones(_bits(values, frame * size + block, size - block))
        counts[frame] = found


@compiled
def pool(
    x: Floats,
    begin: int,
    end: int,
    kernel: Axes,
    stride: Axes,
    padding: Axes,
    divisor: np.float32,
    out: Floats,
) -> None:
    """Sums over windows of the frames ``begin`` to ``end`` of ``x [N, H, W, C]``, divided by ``divisor``,
    into ``out [N, H', W', C]``; windows are taken row by row."""
    _, height, width, channels = x.shape
    _, height_out, width_out, _ = out.shape
    values, sums = x.reshape(-1), out.reshape(-1)
    one, none = np.ones(1, np.float32), np.zeros(1, np.int64)
    size_out = height_out * width_out * channels
    for frame in range(begin, end):
        sums[frame * size_out : (frame + 1) * size_out] = 0
        for row in range(height_out):
            for column in range(width_out):
                at = ((frame * height_out + row) * width_out + column) * channels
                top, left = row * stride[0] - padding[0], column * stride[1] - padding[1]
                for i in range(max(top, 0), min(top + kernel[0], height)):
                    for j in range(max(left, 0), min(left + kernel[1], width)):
                        start = ((frame * height + i) * width + j) * channels
                        add_products(sums, at, values, start, none, one, 1, channels)
                if divisor != 1:
                    for k in range(at, at + channels):
                        sums[k] /= divisor
