"""Fan-out maps: how many targets each source element of a weighted edge reaches.

For a linear map ``y = W x`` the fan-out of source ``i`` is ``f[i] = #{o : (o, i) is a connection}``. For a
convolution it is the number of pairs (tap, output position) that read element ``i``, over all output channels
of its group; padding is read by nobody. That is the transposed convolution of ones with the 0/1 mask of the
weights, under the layer's own stride, padding, dilation and groups.

Every map is made twice: over all connections, and over those whose weight is not zero. The synaptic events
of one step are the dot product of the source's activity with the map, exact in integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
import torch

from snn_deploy.errors import UnsupportedError
from snn_deploy.graph.shapes import axes, pads

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
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

    @property
    def by_group(self) -> torch.Tensor:
        """``connections`` of one channel per group: ``[groups, *spatial]``."""
        return self.connections[:: self.connections.shape[0] // self.groups]

    @property
    def dense(self) -> int:
        """All connections: the multiply-accumulates of one dense pass."""
        return int(self.connections.sum())

    @property
    def dense_nonzero(self) -> int:
        """Connections whose weight is not zero."""
        return int(self.nonzero.sum())


def fan_out(node: nir.NIRNode, source: Shape, target: Shape) -> FanOut:
    """The fan-out of a weighted node whose input has shape ``source`` and whose output has shape ``target``.

    Raises:
        UnsupportedError: ``node`` is not a linear, affine or convolution node.
    """
    if isinstance(node, nir.Affine | nir.Linear):
        return _linear(np.asarray(node.weight))
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(node, source, target)
    raise UnsupportedError(f"{type(node).__name__} has no synaptic connections to count.")


def _linear(weight: np.ndarray) -> FanOut:
    outputs, inputs = weight.shape
    used = torch.from_numpy(np.count_nonzero(weight, axis=0).astype(np.int64))
    return FanOut(torch.full((inputs,), outputs, dtype=torch.int64), used)


def _convolution(node: nir.Conv1d | nir.Conv2d, source: Shape, target: Shape) -> FanOut:
    used = torch.from_numpy(np.asarray(node.weight) != 0).double()
    groups = axes(node.groups, 1)[0]
    nonzero = _spread(node, used, source, target)
    if bool(used.all()):
        return FanOut(nonzero, nonzero, groups)
    return FanOut(_spread(node, torch.ones_like(used), source, target), nonzero, groups)


def _spread(node: nir.Conv1d | nir.Conv2d, mask: torch.Tensor, source: Shape, target: Shape) -> torch.Tensor:
    """Transposed convolution of ones ``[*target]`` with ``mask``, cropped of the padding, as int64."""
    spatial = len(source) - 1
    kernel = tuple(mask.shape[2:])
    stride, dilation = axes(node.stride, spatial), axes(node.dilation, spatial)
    padding = pads(node, kernel, dilation, stride)
    transposed = (
        torch.nn.functional.conv_transpose1d if spatial == 1 else torch.nn.functional.conv_transpose2d
    )
    reached = transposed(
        torch.ones((1, *target), dtype=torch.float64),
        mask,
        stride=stride,
        dilation=dilation,
        groups=axes(node.groups, 1)[0],
    )[0]
    result = torch.zeros(source, dtype=torch.int64)
    # Inside the padded input; rows past the last window are read by nobody and stay 0.
    into, out_of = [slice(None)], [slice(None)]
    for size, (before, _), have in zip(source[1:], padding, reached.shape[1:], strict=True):
        count = max(min(size, have - before), 0)
        into.append(slice(0, count))
        out_of.append(slice(before, before + count))
    result[tuple(into)] = reached[tuple(out_of)].round().long()
    return result
