"""What the neurons of a layer see in calibration, as columns X ``[G, K, P]``: the K inputs of a neuron, in
each of G groups of channels, at P places and times. Its currents are ``W X``, whatever shape the layer has.

A few thousand columns are drawn out of all, so that a search costs the same on images of any size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.lava.net import IntArray
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, Window


def columns(
    linear: Window | Matrix, frames: torch.Tensor, chosen: torch.Tensor, entries: int
) -> torch.Tensor:
    """Columns of the ``chosen`` ones of ``frames [N, *shape]``, float32.

    As many as ``entries`` numbers of one group hold, at least one; drawn without repetition, always the same
    (our choice), or all in order.
    """
    places = 1 if isinstance(linear, Matrix) else int(np.prod(linear.size_out))
    inputs = int(np.prod(linear.weight.shape[1:]))
    total, count = len(chosen) * places, max(1, entries // inputs)
    drawn = torch.arange(total)
    if count < total:
        drawn = torch.randperm(total, generator=torch.Generator().manual_seed(0))[:count].sort().values
    frame, place = chosen[drawn // places], drawn % places
    if isinstance(linear, Matrix):
        return frames[frame].flatten(1).T[None].float()
    return _windows(linear, frames, frame, place)


def _windows(linear: Window, frames: torch.Tensor, frame: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """The window of ``linear`` in each ``frame`` at each ``place``, ``[G, K, P]``; padding is 0."""
    corner = place // linear.size_out[1], place % linear.size_out[1]
    found, inside = [], []
    for axis in (0, 1):
        taps = torch.arange(linear.kernel[axis]) * linear.dilation[axis] - linear.padding[axis]
        at = corner[axis] * linear.stride[axis] + taps[:, None]
        inside.append((at >= 0) & (at < frames.shape[axis + 2]))
        found.append(at.clamp(0, frames.shape[axis + 2] - 1))
    seen = frames.transpose(0, 1)[:, frame, found[0][:, None], found[1]]  # [C, kH, kW, P]
    seen *= inside[0][:, None] & inside[1]
    return seen.reshape(linear.groups, linear.weight[0].size, -1).float()


def currents(weight: FloatArray | IntArray, seen: torch.Tensor) -> torch.Tensor:
    """``W X [N, P]`` of ``weight [N, ...]`` on the columns ``seen [G, K, P]``, float32."""
    kernel = torch.from_numpy(weight).float().view(seen.shape[0], -1, seen.shape[1])
    return torch.bmm(kernel, seen).flatten(0, 1)


def apply_map(linear: Window | Matrix, frames: torch.Tensor) -> torch.Tensor:
    """The map on whole ``frames [N, *shape]``, without its bias, in their precision."""
    kernel = torch.as_tensor(np.ascontiguousarray(linear.weight), dtype=frames.dtype)
    if isinstance(linear, Matrix):
        return functional.linear(frames.flatten(1), kernel)
    return functional.conv2d(
        frames, kernel, None, linear.stride, linear.padding, linear.dilation, linear.groups
    )
