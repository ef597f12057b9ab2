"""Random networks of whole-number neurons, and what they fire by plain integer arithmetic."""

from __future__ import annotations

from math import floor

import nir
import numpy as np
import torch
from spikingjelly.activation_based import layer
from torch import nn

from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.integer_neurons import IntegerNode


class IntegerNet(nn.Module):
    """Convolutions or dense layers with biases, a skip path in some, thresholds that differ by layer."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.levels, self.steps = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        self.in_shape: tuple[int, ...]
        self.skips = bool(rng.random() < 0.5)
        width = int(rng.integers(3, 7))
        if rng.random() < 0.5:
            self.in_shape = (2, 6, 5)
            first: list[nn.Module] = [layer.Conv2d(2, width, 3, stride=2, padding=1, step_mode="m")]
            second: nn.Module = layer.Conv2d(width, width, 3, padding=1, step_mode="m")
            size, flat = width * 9, [layer.Flatten(step_mode="m")]
            if rng.random() < 0.5:
                flat, size = [layer.AvgPool2d(3, step_mode="m"), *flat], width
        else:
            self.in_shape = (int(rng.integers(4, 12)),)
            first = [layer.Linear(self.in_shape[0], width, step_mode="m")]
            second, size, flat = layer.Linear(width, width, step_mode="m"), width, []
        self.first = nn.Sequential(*first, self._fire(rng))
        self.second = nn.Sequential(second, self._fire(rng))
        self.third = nn.Sequential(*flat, layer.Linear(size, 4, step_mode="m"))
        self.fourth = self._fire(rng) if rng.random() < 0.5 else nn.Identity()
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 30)))
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator) * float(rng.uniform(0.2, 0.9))

    def _fire(self, rng: np.random.Generator) -> IntegerNode:
        theta = float(rng.choice([0.5, 1.0, 1.7]))
        return IntegerNode(self.levels, None, v_threshold=theta, step_mode="m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.first(x)
        b = self.second(a)
        if self.skips:
            b = b + a
        return self.fourth(self.third(b))


def integer_graph(seed: int) -> tuple[nir.NIRGraph, torch.Tensor]:
    """A network and inputs of spikes for it, ``[T, 4, *shape]``."""
    rng = np.random.default_rng(seed)
    net = IntegerNet(rng).eval()
    graph = make_plan(from_torch(net, net.in_shape, semantics=Semantics(timesteps=net.steps))).graph
    x = rng.random((net.steps, 4, *net.in_shape)) < rng.uniform(0.2, 0.7)
    return graph, torch.from_numpy(x.astype(np.float32))


def fired_by_hand(
    weights: list[tuple[str, str, np.ndarray, np.ndarray]],
    thetas: dict[str, int],
    levels: int,
    x: np.ndarray,
) -> dict[str, np.ndarray]:
    """What populations fire, ``[T, B, N]``, in Python's whole numbers.

    Args:
        weights: ``(source, target, W [N, N_source], b [N])`` with sources first; the input is ``input``.
        thetas: threshold of every population.
        levels: most spikes.
        x: input ``[T, B, N]``.
    """
    fired = {"input": x.astype(int)}
    for name, theta in thetas.items():
        into = [(s, w.astype(int), b.astype(int)) for s, target, w, b in weights if target == name]
        current = sum(fired[source] @ w.T + b for source, w, b in into)
        spikes, v = np.zeros_like(current), np.zeros_like(current[0])
        for t, incoming in enumerate(current):
            v = v + incoming
            for place in np.ndindex(*v.shape):
                count = min(levels, max(0, floor(int(v[place]) / theta + 0.5)))
                spikes[(t, *place)] = count
            v = v - theta * spikes[t]
        fired[name] = spikes
    return fired
