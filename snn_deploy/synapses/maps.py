"""Fan-out maps: how many targets each source element of a weighted edge reaches.

For a linear map ``y = W x`` the fan-out of source ``i`` is ``f[i] = #{o : (o, i) is a connection}``. For a
convolution it is the number of pairs (tap, output position) that read element ``i``, over all output channels
of its group; padding is read by nobody. All output channels of a group have the same geometry, so with
``n[i, k]`` the number of output channels in which tap ``k`` of source channel ``i`` connects,

    f[i, p] = Σ_k n[i, k] [tap k carries position p to a position of the output]

which is a transposed convolution of ones with ``n``, one channel at a time; for a transposed convolution it
is the convolution of ones with ``n``.

Every map is made twice: over all connections, and over those whose weight is not zero. The synaptic events
of one step are the dot product of the source's activity with the map, exact in integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Shape = tuple[int, ...]
Pads = Sequence[tuple[int, int]]

_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_SPREAD = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


@dataclass(frozen=True)
class FanOut:
    """Targets per source element, int64, in the source's shape.

    Attributes:
        connections: over all connections, zero weights included.
        nonzero: over connections whose weight is not zero.
        groups: channel groups; all channels of a group have the same ``connections``.
    """

    connections: torch.Tensor
    nonzero: torch.Tensor
    groups: int = 1

    @cached_property
    def by_group(self) -> torch.Tensor:
        """``connections`` of one channel per group: ``[groups, *spatial]``."""
        return self.connections[:: self.connections.shape[0] // self.groups]

    @cached_property
    def _rounded(self) -> dict[tuple[bool, bool], npt.NDArray[np.float32]]:
        return {}

    def rounded(self, used: bool, last: bool) -> npt.NDArray[np.float32]:
        """``nonzero`` if ``used``, else ``by_group``, flat in float32: exact where ``dense`` is below 2^24.

        With ``last`` the channels come last.
        """
        if (used, last) not in self._rounded:
            targets = self.nonzero if used else self.by_group
            flat = (targets.movedim(0, -1) if last else targets).flatten()
            self._rounded[used, last] = flat.numpy().astype(np.float32)
        return self._rounded[used, last]

    @cached_property
    def dense(self) -> int:
        """All connections: the multiply-accumulates of one dense pass."""
        return int(self.connections.sum())

    @cached_property
    def dense_nonzero(self) -> int:
        """Connections whose weight is not zero."""
        return int(self.nonzero.sum())

    @property
    def pruned(self) -> bool:
        """Whether some connection has a weight of zero."""
        return self.dense_nonzero < self.dense


@dataclass(frozen=True, slots=True)
class Window:
    """Geometry of a convolution, one number per spatial axis; ``padding`` is (before, after)."""

    stride: Shape
    padding: Pads
    dilation: Shape
    groups: int = 1


def linear_map(weight: torch.Tensor) -> FanOut:
    """Fan-out of ``y = W x`` with ``weight [out, in]``."""
    outputs, inputs = weight.shape
    return FanOut(
        torch.full((inputs,), outputs, dtype=torch.int64), (weight != 0).sum(0, dtype=torch.int64).cpu()
    )


def convolution_map(weight: torch.Tensor, window: Window, source: Shape, target: Shape) -> FanOut:
    """Fan-out of a convolution with ``weight [out, in / groups, *kernel]``.

    ``source`` and ``target`` are shapes without a batch: ``[channels, *spatial]``.
    """
    groups, (outputs, inputs, *kernel) = window.groups, weight.shape
    used = (weight != 0).reshape(groups, outputs // groups, inputs, *kernel).sum(1).flatten(0, 1)
    return _both(used.cpu(), outputs // groups, groups, lambda taps: _spread(taps, window, source, target))


def transposed_map(weight: torch.Tensor, window: Window, source: Shape, target: Shape) -> FanOut:
    """Fan-out of a transposed convolution with ``weight [in, out / groups, *kernel]``.

    Output padding needs no rule of its own: it only makes ``target`` larger.
    """
    used = (weight != 0).sum(1)
    return _both(
        used.cpu(), weight.shape[1], window.groups, lambda taps: _gather(taps, window, source, target)
    )


def _both(used: torch.Tensor, outputs: int, groups: int, spread) -> FanOut:  # type: ignore[no-untyped-def]
    """Maps of all taps and of the ``used`` ones, ``[in, *kernel]``; every tap has ``outputs`` targets."""
    every = spread(torch.full((1, *used.shape[1:]), outputs))
    connections = every.expand(used.shape[0], *every.shape[1:])
    if bool((used == outputs).all()):
        return FanOut(connections, connections, groups)
    return FanOut(connections, spread(used), groups)


def _spread(taps: torch.Tensor, window: Window, source: Shape, target: Shape) -> torch.Tensor:
    """Transposed convolution of ones with ``taps [channels, *kernel]``, cropped of the padding, as int64."""
    channels, rank = taps.shape[0], len(target) - 1
    reached = _SPREAD[rank](
        torch.ones((1, channels, *target[1:]), dtype=torch.float64),
        taps.double().unsqueeze(1),
        stride=window.stride,
        dilation=window.dilation,
        groups=channels,
    )[0]
    result = torch.zeros((channels, *source[1:]), dtype=torch.int64)
    # Inside the padded input; rows past the last window are read by nobody and stay 0.
    into, out_of = [slice(None)], [slice(None)]
    for size, (before, _), have in zip(source[1:], window.padding, reached.shape[1:], strict=True):
        count = max(min(size, have - before), 0)
        into.append(slice(0, count))
        out_of.append(slice(before, before + count))
    result[tuple(into)] = reached[tuple(out_of)].round().long()
    return result


def _gather(taps: torch.Tensor, window: Window, source: Shape, target: Shape) -> torch.Tensor:
    """Convolution of ones with ``taps [channels, *kernel]`` under the layer's own stride, as int64.

    Source position ``p`` reaches ``p stride + k dilation - before``; ``before`` is enough, since what lies
    past the output's end is cut off by the zeros on the right.
    """
    channels, rank = taps.shape[0], len(target) - 1
    ones = torch.ones((1, channels, *target[1:]), dtype=torch.float64)
    margins: list[int] = []
    geometry = zip(
        source[1:], target[1:], taps.shape[1:], window.stride, window.padding, window.dilation, strict=True
    )
    for size, have, kernel, stride, (before, _), dilation in geometry:
        reach = (size - 1) * stride + (kernel - 1) * dilation + 1
        margins = [before, reach - before - have, *margins]
    return (
        _CONVOLVE[rank](
            functional.pad(ones, margins),
            taps.double().unsqueeze(1),
            stride=window.stride,
            dilation=window.dilation,
            groups=channels,
        )[0]
        .round()
        .long()
    )
