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
SMALLEST_FRAMES = 16
MAC_LIMIT = 2e10
"""Multiply-accumulates of all frames together."""
LARGEST_GAIN = 2.0**20


def multiplications(plan: Plan) -> int:
    """Multiply-accumulates of one step of one sample."""
    total = 0
    for name in plan.of_type(*WEIGHT_NODES):
        weight = np.asarray(plan.node(name).weight)
        total += weight.size * prod(plan.shapes[name][1:])
    return total


def frame_count(plan: Plan) -> int:
    """Frames that show every weight alone, within the limits."""
    sources = [name for name in plan.order if name != plan.output]
    wanted = 1 + DENSE + max((plan.shapes[n][0] * prod(_reach(plan, n)) for n in sources), default=0)
    affordable = int(MAC_LIMIT // max(multiplications(plan), 1))
    return min(wanted, max(SMALLEST_FRAMES, min(affordable, LARGEST_FRAMES)))


def turns_of(plan: Plan) -> dict[str, int]:
    """Sources of one sum give their impulses in turn: per node, which turn is its own, from 0."""
    turns: dict[str, int] = {}
    for name in plan.order:
        taken = set()
        for reader in _readers(plan, name):
            if isinstance(plan.node(reader), WEIGHT_NODES):
                beside = (*plan.sources[reader], *plan.feedback.get(reader, ()))
                taken |= {turns[other] for other in beside if other in turns}
        turns[name] = next(turn for turn in itertools.count() if turn not in taken)
    return turns


def _readers(plan: Plan, name: str) -> list[str]:
    return [b for b in plan.order if name in (*plan.sources[b], *plan.feedback.get(b, ()))]


def _reach(plan: Plan, name: str) -> list[int]:
    """How far apart impulses of a node's output lie, per spatial axis, so that no sum behind meets two."""
    spatial = plan.shapes[name][1:]
    spacing = [1] * len(spatial)
    for reader in _readers(plan, name):
        node = plan.node(reader)
        if isinstance(node, nir.Conv1d | nir.Conv2d):
            rank = len(spatial)
            kernel, stride = node.weight.shape[2:], axes(node.stride, rank)
            dilation = axes(node.dilation, rank)
            for axis in range(rank):
                reach = (kernel[axis] - 1) * dilation[axis] + 1
                spacing[axis] = max(spacing[axis], stride[axis] * ceil(reach / stride[axis]))
        elif isinstance(node, nir.AvgPool2d | nir.SumPool2d):
            kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
            for axis in range(2):
                spacing[axis] = max(spacing[axis], stride[axis] * ceil(kernel[axis] / stride[axis]))
    return [min(step, size) for step, size in zip(spacing, spatial, strict=True)]


def _places(plan: Plan, name: str) -> Iterator[npt.NDArray[np.int64]]:
    """Per place of a frame, the positions ``[P, axes]`` that it takes in turn."""
    shape, reach = plan.shapes[name], _reach(plan, name)
    offsets = np.indices((shape[0], *reach)).reshape(len(shape), -1).T
    for base in itertools.product(
        *(range(0, size, step) for size, step in zip(shape[1:], reach, strict=True))
    ):
        place = offsets + np.array((0, *base))
        yield place[(place < shape).all(1)]


def frames_of(
    plan: Plan, name: str, count: int, turn: tuple[int, int], rng: np.random.Generator
) -> torch.Tensor:
    """Frames ``[count, *shape]`` of the output of a node; ``turn`` is its own, and of how many."""
    shape = plan.shapes[name]
    size = _gain(plan, name)
    frames = np.zeros((count, *shape), np.float32)
    frames[1 : 1 + DENSE] = rng.normal(size=(DENSE, *shape)) * _level(plan, name)
    own = np.arange(1 + DENSE + turn[0], count, turn[1])
    for number, place in enumerate(_places(plan, name)):
        step = np.arange(max(len(place), len(own)))  # places with fewer positions start again
        position = place[rng.permutation(len(place))[step % len(place)]]
        frames[(own[(step + number) % len(own)], *position.T)] = size * rng.choice([-1.0, 1.0], len(step))
    return torch.from_numpy(frames)


def _gain(plan: Plan, name: str) -> float:
    """A power of two that lifts the weights behind a node over their biases."""
    largest = 1.0
    for reader in _readers(plan, name):
        node = plan.node(reader)
        if isinstance(node, WEIGHT_NODES) and np.any(getattr(node, "bias", 0.0)):
            sizes = np.abs(np.asarray(node.weight))
            typical = float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
            if typical > 0:
                largest = max(largest, float(np.abs(node.bias).max()) / typical)
    return float(2.0 ** ceil(log2(min(largest, LARGEST_GAIN))))


def _level(plan: Plan, name: str) -> float:
    """Size of dense random numbers: that of the thresholds behind a node, 1 before weights."""
    levels = [
        float(np.abs(threshold_of(plan.node(reader))).mean())
        for reader in _readers(plan, name)
        if isinstance(plan.node(reader), SPIKING_NODES)
    ]
    return max(levels, default=1.0) or 1.0


def threshold_of(node: nir.NIRNode) -> np.ndarray:
    """Threshold of a spiking node."""
    return np.asarray(node.threshold if isinstance(node, nir.Threshold) else node.v_threshold, np.float64)
