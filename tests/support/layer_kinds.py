"""Thirty kinds of layer and input on which published counters were measured, at sizes that enumerate quickly.

Twenty-seven are one layer of weights; ``recurrent``, ``shared`` and ``residual`` are small networks and have
tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import nir
import numpy as np
import torch
from oracles.synapses import conv_connections, linear_connections, transposed_connections
from torch import nn

Values = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def spikes(rate: float) -> Values:
    return lambda rng, shape: (rng.random(shape) < rate) * 1.0


def centre(rng, shape):
    """Spikes that keep a distance of two from every border."""
    inside = np.zeros(shape)
    inside[..., 2:-2, 2:-2] = rng.random((*shape[:-2], shape[-2] - 4, shape[-1] - 4)) < 0.3
    return inside


def border(rng, shape):
    """Spikes on the outermost rows and columns only."""
    values = (rng.random(shape) < 0.5) * 1.0
    values[..., 1:-1, 1:-1] = 0
    return values


def pooled(rng, shape):
    """Spikes averaged over windows of 2 x 2."""
    return rng.binomial(4, 0.2, shape) / 4


@dataclass(frozen=True)
class Kind:
    """One layer: sizes, geometry and what enters it. ``channels`` are (in, out); ``size`` is 0 if linear."""

    values: Values = field(default=spikes(0.1))
    channels: tuple[int, int] = (4, 3)
    size: int = 6
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    dilation: int = 1
    groups: int = 1
    bias: bool = False
    pruned: bool = False
    transposed: bool = False

    @property
    def source(self) -> tuple[int, ...]:
        return (self.channels[0], self.size, self.size) if self.size else (self.channels[0],)


KINDS: dict[str, Kind] = {
    "conv3 stride 1 padding 1, largest map": Kind(spikes(0.05), size=9),
    "conv3 stride 1 padding 1, smaller map": Kind(size=6),
    "conv3 stride 1 padding 1, smallest map": Kind(size=2),
    "conv5 stride 1 padding 2": Kind(kernel=5, padding=2),
    "conv3 dilation 2 padding 2": Kind(dilation=2, padding=2),
    "conv3 stride 2 padding 1": Kind(stride=2),
    "conv3 stride 2 padding 0, last column unread": Kind(stride=2, padding=0),
    "conv1 stride 2": Kind(kernel=1, stride=2, padding=0),
    "grouped": Kind(channels=(8, 4), groups=4),
    "depthwise stride 1": Kind(channels=(4, 4), groups=4),
    "depthwise stride 2": Kind(channels=(4, 8), groups=4, stride=2),
    "conv3 padding 0, events in the centre": Kind(centre, size=8, padding=0),
    "conv3 padding 1, events on the border": Kind(border),
    "conv3 stride 2 padding 0, events on the border": Kind(border, stride=2, padding=0),
    "conv3 with bias": Kind(bias=True),
    "transposed kernel 2 stride 2": Kind(transposed=True, kernel=2, stride=2, padding=0),
    "transposed kernel 4 stride 2 padding 1": Kind(transposed=True, kernel=4, stride=2),
    "linear": Kind(size=0, channels=(12, 7)),
    "half of the weights pruned": Kind(pruned=True),
    "graded 0, 1, 2 of an added residual": Kind(lambda rng, shape: rng.integers(0, 3, shape) * 1.0),
    "ternary": Kind(lambda rng, shape: rng.integers(-1, 2, shape) * 1.0),
    "event counts": Kind(lambda rng, shape: rng.poisson(0.3, shape) * 1.0),
    "average-pooled spikes": Kind(pooled),
    "average-pooled, values 0 and 0.25": Kind(lambda rng, shape: (rng.random(shape) < 0.1) * 0.25),
    "scaled spikes 0 and 0.7": Kind(lambda rng, shape: (rng.random(shape) < 0.1) * 0.7),
    "analog image, three channels": Kind(lambda rng, shape: rng.random(shape) + 0.01, channels=(3, 4)),
    "rectified, 60 % zeros": Kind(lambda rng, shape: np.maximum(rng.normal(-0.25, 1, shape), 0)),
}
NETWORKS = ("recurrent", "shared", "residual")


@dataclass(frozen=True)
class Layer:
    """A drawn layer: as a torch module, as a NIR node (None: NIR has none), and as a list of connections."""

    module: nn.Module
    node: nir.NIRNode | None
    source: tuple[int, ...]
    target: tuple[int, ...]
    connections: list


def build(kind: Kind, rng: np.random.Generator) -> Layer:
    inputs, outputs = kind.channels
    rank = 2 if kind.size else 0
    shape = [outputs, inputs // kind.groups, *[kind.kernel] * rank]
    if kind.transposed:
        shape = [inputs, outputs // kind.groups, *[kind.kernel] * rank]
    weight = rng.uniform(0.1, 1.0, shape).astype(np.float32) * rng.choice([-1, 1], shape)
    if kind.pruned:
        weight[rng.random(shape) < 0.5] = 0
    geometry = (kind.stride, kind.padding)
    if not kind.size:
        module: nn.Module = nn.Linear(inputs, outputs, bias=kind.bias)
    elif kind.transposed:
        module = nn.ConvTranspose2d(inputs, outputs, kind.kernel, *geometry, groups=kind.groups, bias=False)
    else:
        module = nn.Conv2d(inputs, outputs, kind.kernel, *geometry, kind.dilation, kind.groups, kind.bias)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight))
        target = tuple(module(torch.zeros(1, *kind.source)).shape[1:])
    if not kind.size:
        return Layer(module, nir.Linear(weight), kind.source, target, list(linear_connections(weight)))
    pair = [(n, n) for n in (kind.stride, kind.padding, kind.dilation)]
    if kind.transposed:
        found = transposed_connections(weight, kind.source, target, *pair, kind.groups)
        return Layer(module, None, kind.source, target, list(found))
    bias = np.zeros(outputs, np.float32) if module.bias is None else module.bias.detach().numpy()
    node = nir.Conv2d((kind.size, kind.size), weight, *geometry, kind.dilation, kind.groups, bias)
    found = conv_connections(weight, kind.source, target, *pair, kind.groups)
    return Layer(module, node, kind.source, target, list(found))
