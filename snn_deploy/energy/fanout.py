"""Fan-out maps of the weighted nodes of a graph; see :mod:`snn_deploy.synapses.maps`."""

from __future__ import annotations

import nir
import numpy as np
import torch

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.shapes import Shape, axes, pads
from snn_deploy.synapses.maps import FanOut, Window, convolution_map, linear_map


def fan_out(node: nir.NIRNode, source: Shape, target: Shape) -> FanOut:
    """The fan-out of a weighted node whose input has shape ``source`` and whose output has shape ``target``.

    Raises:
        UnsupportedError: ``node`` is not a linear, affine or convolution node.
    """
    if isinstance(node, nir.Affine | nir.Linear):
        return linear_map(_tensor(node.weight))
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return convolution_map(_tensor(node.weight), window(node), source, target)
    raise UnsupportedError(f"{type(node).__name__} has no synaptic connections to count.")


def window(node: nir.Conv1d | nir.Conv2d) -> Window:
    """The geometry of a convolution node, in numbers."""
    kernel = np.asarray(node.weight).shape[2:]
    stride, dilation = axes(node.stride, len(kernel)), axes(node.dilation, len(kernel))
    return Window(stride, pads(node, kernel, dilation, stride), dilation, axes(node.groups, 1)[0])


def _tensor(weight: object) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(weight))
