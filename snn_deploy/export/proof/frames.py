"""Frames of synthetic inputs: zeros, dense random numbers, and impulses that show every weight alone
(:mod:`snn_deploy.export.proof.probes`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import ceil, log2, prod

import nir
import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan

DENSE = 3
LARGEST_FRAMES = 1024 + 1 + DENSE
SMALLEST_FRAMES, HELD_FRAMES = 16, 8
PLAIN_FRAMES, PLAIN_ELEMENTS = 128, 2**20
"""Of a node without weights: frames, and elements of all its frames."""
MAC_LIMIT, HELD_MAC_LIMIT = 2e10, 2e9
"""Multiply-accumulates of all frames of all nodes together, each may use an even share; less where files hold
the weights bit for bit."""
LARGEST_GAIN = 2.0**20


def multiplications(plan: Plan, name: str) -> int:
    """Multiply-accumulates of one step of one sample in a node with weights."""
    return int(np.asarray(plan.node(name).weight).size) * prod(plan.shapes[name][1:])


def frame_count(plan: Plan, name: str, *, held: bool = False) -> int:
    """Frames that show every weight of a node alone, within the limits; few for nodes without weights. Where
    the weights are ``held`` by the file bit for bit, frames need only show how they are used."""
    weighted = plan.of_type(*WEIGHT_NODES)
    if name not in weighted:
        return max(HELD_FRAMES, min(PLAIN_FRAMES, PLAIN_ELEMENTS // prod(plan.shapes[name])))
    sources = sources_of(plan, name)
    wanted = max(plan.shapes[n][0] * prod(_reach(plan, n, name)) for n in sources)
    limit, smallest = (HELD_MAC_LIMIT, HELD_FRAMES) if held else (MAC_LIMIT, SMALLEST_FRAMES)
    affordable = int(limit / len(weighted) // max(multiplications(plan, name), 1))
    least = max(smallest, 1 + DENSE + len(sources))  # a frame with impulses for each
    return min(1 + DENSE + len(sources) * wanted, max(least, min(affordable, LARGEST_FRAMES)))


def sources_of(plan: Plan, name: str) -> tuple[str, ...]:
    """What is summed into a node, of the same and of the previous step."""
    return tuple(dict.fromkeys((*plan.sources[name], *plan.feedback.get(name, ()))))


def _reach(plan: Plan, name: str, reader: str) -> list[int]:
    """How far apart impulses of a node's output lie, per spatial axis, so that no sum in the reader meets
    two."""
    spatial = plan.shapes[name][1:]
    spacing = [1] * len(spatial)
    node = plan.node(reader)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        rank = len(spatial)
        kernel, stride = node.weight.shape[2:], axes(node.stride, rank)
        dilation = axes(node.dilation, rank)
        for axis in range(rank):
            reach = (kernel[axis] - 1) * dilation[axis] + 1
            spacing[axis] = stride[axis] * ceil(reach / stride[axis])
    return [min(step, size) for step, size in zip(spacing, spatial, strict=True)]


def _places(plan: Plan, name: str, reader: str) -> Iterator[npt.NDArray[np.int64]]:
    """Per place of a frame, the positions ``[P, axes]`` that it takes in turn."""
    shape, reach = plan.shapes[name], _reach(plan, name, reader)
    offsets = np.indices((shape[0], *reach)).reshape(len(shape), -1).T
    for base in itertools.product(
        *(range(0, size, step) for size, step in zip(shape[1:], reach, strict=True))
    ):
        place = offsets + np.array((0, *base))
        yield place[(place < shape).all(1)]


def frames_of(
    plan: Plan, name: str, reader: str, count: int, turn: tuple[int, int], rng: np.random.Generator
) -> torch.Tensor:
    """Frames ``[count, *shape]`` of the output of a node for its ``reader``, without impulses where that has
    no weights; the sources of one sum give their impulses in turn, and ``turn`` is its own, and of how
    many."""
    shape, node = plan.shapes[name], plan.node(reader)
    weighted = isinstance(node, WEIGHT_NODES)
    dense = DENSE if weighted else count - 1
    size = _gain(node)
    frames = np.zeros((count, *shape), np.float32)
    for frame in frames[1 : 1 + dense]:
        frame[...] = rng.standard_normal(shape, np.float32) * _level(node)
    own = np.arange(1 + dense + turn[0], count, turn[1])
    for number, place in enumerate(_places(plan, name, reader) if weighted else ()):
        step = np.arange(max(len(place), len(own)))  # places with fewer positions start again
        position = place[rng.permutation(len(place))[step % len(place)]]
        impulses = size * rng.choice([-1.0, 1.0], len(step))
        frames[(own[(step + number) % len(own)], *position.T)] = impulses
    return torch.from_numpy(frames)


def _gain(reader: nir.NIRNode) -> float:
    """A power of two that lifts the weights of a node over its biases."""
    largest = 1.0
    if isinstance(reader, WEIGHT_NODES) and np.any(getattr(reader, "bias", 0.0)):
        sizes = np.abs(np.asarray(reader.weight))
        typical = float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
        if typical > 0:
            largest = max(largest, float(np.abs(reader.bias).max()) / typical)
    return float(2.0 ** ceil(log2(min(largest, LARGEST_GAIN))))


def _level(reader: nir.NIRNode) -> float:
    """Size of dense random numbers: that of the thresholds of a node, 1 before others."""
    return float(np.abs(threshold_of(reader)).mean()) or 1.0 if isinstance(reader, SPIKING_NODES) else 1.0


def threshold_of(node: nir.NIRNode) -> np.ndarray:
    """Threshold of a spiking node."""
    return np.asarray(node.threshold if isinstance(node, nir.Threshold) else node.v_threshold, np.float64)
