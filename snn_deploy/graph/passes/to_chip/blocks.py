r"""One map for everything that lies side by side in a layer, out of blocks.

A layer sees the layer before it as channels that hold populations and relays. A relay of stride
:math:`\sigma` and phase :math:`\varphi` holds :math:`r(i) = s(\sigma i + \varphi)` along an axis. So a
window map with stride S, dilation d and padding p, :math:`y(i) = \sum_a w_a s(S i + d a - p)`, reads tap a in
the relay of phase :math:`(d a - p) \bmod \sigma`, shifted by :math:`\lfloor (d a - p) / \sigma \rfloor`, as
long as S is :math:`\sigma` times the stride of the layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snn_deploy.graph.lava.net import IntArray
from snn_deploy.graph.passes.to_chip.layers import Member
from snn_deploy.graph.passes.to_chip.terms import Term
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, MergeError, Pair, Window, with_groups

MAX_WEIGHTS = 1 << 26
"""Weights of one layer, zeros between its blocks included."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a layer's channels hold; ``shape`` is that of the whole layer."""

    shape: tuple[int, ...]
    members: tuple[Member, ...]

    def find(self, source: str, phase: Pair | None) -> Member:
        """The channels that hold ``source`` in this ``phase``."""
        return next(m for m in self.members if (m.source, m.phase) == (source, phase))


@dataclass(frozen=True, slots=True)
class Rows:
    """One population, or one relay, of a layer: its first channel, how many, what feeds it, and what of its
    own spikes returns to it."""

    first: int
    count: int
    terms: tuple[Term, ...]
    loops: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class _Tap:
    """One tap of one term: where it reads, and ``weight [C_out, C_in]``."""

    phase: Pair
    shift: Pair
    weight: FloatArray


def relay_window(channels: int, stride: Pair, phase: Pair, size: Pair) -> Window:
    """The map that takes every ``stride``-th element, beginning at ``phase``: padding of ``-phase``."""
    weight = np.ones((channels, 1, 1, 1))
    padding = (-phase[0], -phase[1])
    return Window(weight, np.zeros(channels), stride, padding, (1, 1), channels, size)


def phases(window: Window, stride: Pair) -> set[Pair]:
    """The phases of a relay of ``stride`` that a window map reads."""
    return {tap.phase for tap in _taps(window, stride)}


def _taps(window: Window, stride: Pair) -> Iterator[_Tap]:
    weight = with_groups(window, 1).weight
    for a, b in np.argwhere(weight.any(axis=(0, 1))):
        offsets = [d * int(k) - p for d, k, p in zip(window.dilation, (a, b), window.padding, strict=True)]
        (shift_y, phase_y), (shift_x, phase_x) = (divmod(o, s) for o, s in zip(offsets, stride, strict=True))
        yield _Tap((phase_y, phase_x), (shift_y, shift_x), weight[:, :, a, b])


def window_of(rows: Sequence[Rows], before: Layout, size: Pair, stride: Pair) -> Window:
    """The window map of a whole layer of ``size`` whose ``stride`` is given.

    Raises:
        MergeError: a relay does not hold what a map needs, or there are too many weights.
    """
    placed = []
    for row in rows:
        for term in row.terms:
            assert isinstance(term.map, Window)
            relay = next(m for m in before.members if m.source == term.source)
            for tap in _taps(term.map, relay.stride):
                member = before.find(term.source, tap.phase)
                _check_reach(term, member, tap.shift, before.shape, size, stride)
                placed.append((row.first, member.first, tap))
    height, width = (
        _extent(
            [tap.shift[axis] for _, _, tap in placed] or [0], before.shape[axis + 1], size[axis], stride[axis]
        )
        for axis in (0, 1)
    )
    outputs = sum(row.count for row in rows)
    shape = (outputs, before.shape[0], height[0], width[0])
    check_size(shape)
    weight = np.zeros(shape)
    for first, column, tap in placed:
        count, channels = tap.weight.shape
        y, x = tap.shift[0] + height[1], tap.shift[1] + width[1]
        weight[first : first + count, column : column + channels, y, x] += tap.weight
    sizes = (before.shape[1], before.shape[2])
    return Window(weight, np.zeros(outputs), stride, (height[1], width[1]), (1, 1), 1, sizes)


def matrix_of(rows: Sequence[Rows], before: Layout) -> Matrix:
    """The matrix of a whole dense layer; the layer before is flattened in C-H-W order.

    Raises:
        MergeError: a relay does not hold what a map needs, or there are too many weights.
    """
    shape = (sum(row.count for row in rows), int(np.prod(before.shape)))
    check_size(shape)
    weight = np.zeros(shape)
    for row in rows:
        for term in row.terms:
            assert isinstance(term.map, Matrix)
            columns = places_of(term, before)
            used = term.map.weight.any(0)
            if (columns[used] < 0).any():
                raise MergeError(f"reads elements of '{term.source}' that no relay holds")
            weight[row.first : row.first + row.count, columns[used]] += term.map.weight[:, used]
    return Matrix(weight, np.zeros(shape[0]))


def places_of(term: Term, before: Layout) -> IntArray:
    """For every element of a term's source its place in the flattened layer before, -1 for none."""
    found = [m for m in before.members if (m.source, m.held) == (term.source, term.held)]
    if found[0].phase is None or len(before.shape) == 1:
        return found[0].first + np.arange(int(np.prod(term.shape)))
    places = np.full(term.shape, -1, np.int64)
    index = np.arange(int(np.prod(before.shape))).reshape(before.shape)
    for member in found:
        assert member.phase is not None
        (dy, dx), (sy, sx) = member.phase, member.stride
        wanted = places[:, dy::sy, dx::sx]
        rows, columns = min(wanted.shape[1], before.shape[1]), min(wanted.shape[2], before.shape[2])
        wanted[:, :rows, :columns] = index[member.first : member.first + member.count, :rows, :columns]
    return places.reshape(-1)


def _check_reach(
    term: Term, member: Member, shift: Pair, before: tuple[int, ...], size: Pair, stride: Pair
) -> None:
    """What lies beyond the relay's grid must lie beyond the source too."""
    assert member.phase is not None
    for axis in (0, 1):
        read = stride[axis] * np.arange(size[axis]) + shift[axis]
        beyond = read[read >= before[axis + 1]]
        if (member.stride[axis] * beyond + member.phase[axis] < term.shape[axis + 1]).any():
            raise MergeError(f"reads '{term.source}' where the layer between them no longer reaches")


def _extent(shifts: Sequence[int], before: int, after: int, stride: int) -> Pair:
    """Smallest ``(kernel, padding)`` that covers all shifts and makes ``after`` of ``before`` elements."""
    padding = max(0, -min(shifts))
    while True:
        room = before + 2 * padding
        kernel = max(max(shifts) + padding + 1, room - stride * after + 1, 1)
        if kernel <= room - stride * (after - 1):
            return kernel, padding
        padding += 1


def check_size(shape: tuple[int, ...]) -> None:
    """Weights of ``shape`` are not too many.

    Raises:
        MergeError: they are.
    """
    count = int(np.prod(shape, dtype=object))
    if count > MAX_WEIGHTS:
        what = f"needs {count:,} weights, most of them zeros between blocks"
        raise MergeError(f"{what}; at most {MAX_WEIGHTS:,}")


def strides_until(strides: Mapping[int, Pair], first: int, last: int) -> Pair:
    """Product of the strides of the layers ``first`` to ``last``, both included."""
    factors = [strides[level] for level in range(first, last + 1)]
    return int(np.prod([f[0] for f in factors], dtype=int)), int(np.prod([f[1] for f in factors], dtype=int))
