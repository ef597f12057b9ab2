r"""Synthetic inputs that feed every node of a graph on its own: they exercise what real samples leave open.

One node is looked at after the other: its sources send what was made for it, and its own output is compared.
Two kinds of inputs:

**Frames**, for nodes without memory; every step is one frame. All zeros show the biases; dense frames of
random numbers show order, edges, strides and padding; before weights, the others hold impulses so far apart
that each sum has one term: then nothing rounds, and every weight is seen as it is. An impulse has the size
that lifts small weights over the bias. Where a frame for every impulse would take too long, several channels
share a place; the result counts how many weights stood alone (:mod:`snn_deploy.export.proof.frames`).

**Sequences**, for neurons; the current of every neuron is solved so that its membrane meets a target
c: h = theta + c s with s = |theta| + |theta - v_reset|. Targets just above and below theta, as near as
rounding allows, show threshold, gain and start; after a spike they show the reset, after a large negative
membrane and silence the decay; theta itself, where it can be met exactly, shows the comparison.

All of it is our choice. The numbers come from one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import nir
import numpy as np
import torch

from snn_deploy.export.proof.frames import frame_count, frames_of, sources_of
from snn_deploy.export.proof.membranes import NeuronStep
from snn_deploy.export.proof.rounded import UNIT, Decision, Rounded, float32
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.graph.dynamics import parameters
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.types import SPIKING_NODES, Plan

SEED = 20260
STEPS = 8

Target = float | Literal["+", "-", "=", "0", "z"]
"""c of h = theta + c s; "+" and "-" just above and below, "=" theta, "0" no current at all, "z" a membrane of
zero: from there theta is met without rounding, whatever the neuron started from."""

PATTERNS: tuple[tuple[Target, ...], ...] = (
    ("+", "-", "+", "-", "-", "+", "+", "-"),
    ("=", "=", "=", "=", "=", "=", "=", "="),
    ("z", "z", "=", "z", "=", "z", "z", "="),
    (1.5, "-", 1.5, "+", 1.5, "0", "-", "+"),
    (-4.0, "0", "0", "+", -4.0, "0", "+", "-"),
    (-4.0, "0", "0", "-", -4.0, "0", "-", "+"),
    (-0.2, "0", "+", -0.2, "0", "0", "+", "-"),
    (-0.2, "0", "-", "0", "0", "-", "0", "+"),
    (30.0, "+", 30.0, "-", "0", "-", "=", "="),
)
RANDOM_PATTERNS = 4
SEQUENCES = len(PATTERNS) + RANDOM_PATTERNS


@dataclass(frozen=True, slots=True)
class Probes:
    """Inputs of ``steps`` steps for every node of a plan, the same ones every time, made when asked for.
    Nodes ``held`` have the weights of the plan bit for bit, so fewer frames may do."""

    plan: Plan
    rounding: Rounding
    steps: int = STEPS
    seed: int = SEED
    held: frozenset[str] = frozenset()

    def batches(self, name: str) -> int:
        """How many batches of ``steps`` frames a node is fed."""
        return ceil(frame_count(self.plan, name, held=name in self.held) / self.steps)

    def driver(self, name: str) -> str | None:
        """The source that alone brings the currents of a spiking layer in sequences; None without one."""
        if not isinstance(self.plan.node(name), SPIKING_NODES):
            return None
        back = self.plan.feedback.get(name, ())
        return next((source for source in self.plan.sources[name] if source not in back), None)

    def frames(self, name: str) -> Fed:
        """All frames for a node, ``[steps, batches, *shape]`` from each source."""
        count, sources = self.batches(name), sources_of(self.plan, name)

        def make(source: str, shape: Shape, rng: np.random.Generator) -> torch.Tensor:
            if source not in sources:
                return torch.from_numpy(rng.standard_normal((self.steps, count, *shape), np.float32))
            turn = sources.index(source), len(sources)
            frames = frames_of(self.plan, source, name, count * self.steps, turn, rng)
            return frames.view(count, self.steps, *shape).transpose(0, 1)

        return Fed(self, name, make)

    def sequences(self, name: str) -> Fed | None:
        """All sequences for a spiking layer, ``[steps, SEQUENCES, *shape]`` from each source; None where
        nothing leads its neurons."""
        driver = self.driver(name)
        if driver is None:
            return None

        def make(source: str, shape: Shape, rng: np.random.Generator) -> torch.Tensor:
            if source != driver:
                return torch.zeros(self.steps, SEQUENCES, *[1] * len(shape)).expand(-1, -1, *shape)
            return _currents(self.rounding, name, self.steps, rng).expand(-1, -1, *shape)

        return Fed(self, name, make)


class Fed(Mapping[str, torch.Tensor]):
    """What every node between input and output sends while one of them, the reader, is looked at: its sources
    send its probes, the others what nobody should read. Values are made when they are asked for."""

    def __init__(
        self, probes: Probes, reader: str, make: Callable[[str, Shape, np.random.Generator], torch.Tensor]
    ) -> None:
        self._probes, self._reader, self._make = probes, reader, make
        self._between = dict.fromkeys(probes.plan.order)
        for end in (probes.plan.input, probes.plan.output):
            self._between.pop(end)
        self._made: dict[str, torch.Tensor] = {}

    def sent(self, name: str) -> torch.Tensor:
        """What a node sends, or the input of the network is, ``[T, B, *shape]``."""
        if name not in self._made:
            plan, seed = self._probes.plan, self._probes.seed
            rng = np.random.default_rng([seed, plan.order.index(name), plan.order.index(self._reader)])
            self._made[name] = self._make(name, plan.shapes[name], rng)
        return self._made[name]

    def part(self, which: slice) -> Fed:
        """Some of the batch."""
        return Fed(self._probes, self._reader, lambda name, _shape, _rng: self.sent(name)[:, which])

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._between:
            raise KeyError(name)
        return self.sent(name)

    def __contains__(self, name: object) -> bool:
        return name in self._between

    def __iter__(self) -> Iterator[str]:
        return iter(self._between)

    def __len__(self) -> int:
        return len(self._between)


def _currents(rounding: Rounding, layer: str, steps: int, rng: np.random.Generator) -> torch.Tensor:
    """Currents ``[steps, SEQUENCES, *shape]`` that lead the neurons of a layer along the patterns; of one
    element along axes in which the neurons are all alike."""
    more: list[Target] = rng.uniform(-2, 3, max(0, steps - STEPS)).tolist()
    patterns: list[Sequence[Target]] = [(*pattern, *more)[:steps] for pattern in PATTERNS]
    patterns += [tuple(rng.uniform(-2, 3, steps).tolist()) for _ in range(RANDOM_PATTERNS)]
    shape = rounding.distinct(layer)
    node = rounding.plan.node(layer)
    if isinstance(node, nir.Threshold):
        threshold = float32(parameters(node)["threshold"])
        found = [torch.stack([_input(threshold, target, shape) for target in row]) for row in patterns]
        return torch.stack(found, 1)
    return _follow(rounding, layer, patterns, shape)


def _input(threshold: torch.Tensor, target: Target, shape: tuple[int, ...]) -> torch.Tensor:
    """Input of a threshold without memory, for one target."""
    value = threshold.float()
    if target in ("0", "z"):
        value = torch.zeros_like(value)
    elif target in ("+", "-"):
        value = torch.nextafter(value, torch.full_like(value, torch.inf if target == "+" else -torch.inf))
    elif not isinstance(target, str):
        value = (threshold + target * threshold.abs()).float()
    return value.expand(shape)


def _follow(
    rounding: Rounding, layer: str, patterns: Sequence[Sequence[Target]], shape: tuple[int, ...]
) -> torch.Tensor:
    neuron = rounding.neuron(layer)
    fire = neuron.fire
    assert fire is not None
    threshold = float32(fire.threshold)
    size = threshold.abs() + (threshold - float32(fire.v_reset)).abs()
    state = NeuronStep(neuron, torch.zeros(len(patterns), *shape, dtype=torch.float64))
    currents = []
    for targets in zip(*patterns, strict=True):
        x = _solve(state, targets, threshold, size)
        h, error = state.charge(x, torch.zeros_like(x))
        met = Decision.of(fire, Rounded(h, error))
        state.reset(met.fires() * ~met.undecided())
        currents.append(x.float())
    return torch.stack(currents)


def _solve(
    state: NeuronStep, targets: Sequence[Target], threshold: torch.Tensor, size: torch.Tensor
) -> torch.Tensor:
    """The float32 currents that bring the membranes ``[B, *shape]`` to ``targets [B]``; 0 where none can."""
    a, b = state.response()

    def current(h: torch.Tensor) -> torch.Tensor:
        x = ((h - a) / b).float().double()
        return torch.where(torch.isfinite(x), x, 0.0)

    exactly = current(threshold.expand_as(a))
    _, error = state.trial(exactly)
    margin = 1.5 * error + UNIT * (b * exactly).abs() + 2 * UNIT * threshold.abs()
    near = {
        "+": current(threshold + margin),
        "-": current(threshold - margin),
        "=": exactly,
        "z": current(torch.zeros_like(a)),
    }
    far = current(threshold + _column([t if not isinstance(t, str) else 0.0 for t in targets], a) * size)
    rows = []
    for number, target in enumerate(targets):
        if target == "0":
            rows.append(torch.zeros_like(a[number]))
        else:
            rows.append(near[target][number] if isinstance(target, str) else far[number])
    return torch.stack(rows)


def _column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, *[1] * (like.ndim - 1))
