"""Brute force: walk every connection of a layer, one by one, in plain Python.

Shares no code and no idea with the package: it goes from each target through its window to the sources,
while the package goes from the sources through a transposed convolution to the targets.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np


def linear_connections(weight: np.ndarray) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], bool]]:
    """All ``(source, target, weight is not zero)`` of ``y = W x``."""
    for target, source in itertools.product(*map(range, weight.shape)):
        yield (source,), (target,), bool(weight[target, source] != 0)


def conv_connections(
    weight: np.ndarray,
    source_shape: tuple[int, ...],
    target_shape: tuple[int, ...],
    stride: tuple[int, ...],
    before: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], bool]]:
    """All ``(source, target, weight is not zero)`` of a convolution; ``before`` is the leading padding."""
    per_group_out = weight.shape[0] // groups
    per_group_in = weight.shape[1]
    for target in itertools.product(*map(range, target_shape)):
        group = target[0] // per_group_out
        for channel in range(per_group_in):
            for tap in itertools.product(*map(range, weight.shape[2:])):
                place = tuple(
                    t * s + k * d - p
                    for t, s, k, d, p in zip(target[1:], stride, tap, dilation, before, strict=True)
                )
                if all(0 <= x < size for x, size in zip(place, source_shape[1:], strict=True)):
                    source = (group * per_group_in + channel, *place)
                    yield source, target, bool(weight[(target[0], channel, *tap)] != 0)


def transposed_connections(
    weight: np.ndarray,
    source_shape: tuple[int, ...],
    target_shape: tuple[int, ...],
    stride: tuple[int, ...],
    before: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], bool]]:
    """The same of a transposed convolution with weight ``[in, out / groups, *kernel]``.

    From each target: the sources and taps whose product lands there, at
    ``place * stride + tap * dilation - before``.
    """
    per_group_out, per_group_in = weight.shape[1], weight.shape[0] // groups
    for target in itertools.product(*map(range, target_shape)):
        group, filter_ = divmod(target[0], per_group_out)
        for tap in itertools.product(*map(range, weight.shape[2:])):
            offsets = [t + p - k * d for t, p, k, d in zip(target[1:], before, tap, dilation, strict=True)]
            if any(offset % s for offset, s in zip(offsets, stride, strict=True)):
                continue
            place = tuple(offset // s for offset, s in zip(offsets, stride, strict=True))
            if all(0 <= x < size for x, size in zip(place, source_shape[1:], strict=True)):
                for channel in range(group * per_group_in, (group + 1) * per_group_in):
                    yield (channel, *place), target, bool(weight[(channel, filter_, *tap)] != 0)


def fan_out_maps(connections, source_shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Connections per source, all and with non-zero weight."""
    every = np.zeros(source_shape, dtype=np.int64)
    used = np.zeros(source_shape, dtype=np.int64)
    for source, _, nonzero in connections:
        every[source] += 1
        used[source] += nonzero
    return every, used


def events(connections, x: np.ndarray) -> tuple[int, int, set[tuple[int, ...]]]:
    """Events by site over all and over non-zero weights, and the targets that received any, for one step."""
    every = used = 0
    reached = set()
    for source, target, nonzero in connections:
        if x[source] != 0:
            every += 1
            used += nonzero
            reached.add(target)
    return every, used, reached
