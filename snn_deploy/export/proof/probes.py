r"""Synthetic inputs that feed every node of a graph on its own: they exercise what real samples leave open.

Every node's output is replaced for the nodes behind it, so each node sees inputs that were made for it, and
its own output is compared. Two kinds of inputs follow each other in the batch:

**Frames**, for nodes without memory; every step is one frame. All zeros show the biases; dense frames of
random numbers show order, edges, strides and padding; the others hold impulses so far apart that each sum
behind them has one term: then nothing rounds, and every weight is seen as it is. An impulse has the size that
lifts small weights over the bias. Where a frame for every impulse would take too long, several channels share
a place; the result counts how many weights stood alone (:mod:`snn_deploy.export.proof.frames`).

**Sequences**, for neurons; the current of every neuron is solved so that its membrane meets a target
c: h = theta + c s with s = |theta| + |theta - v_reset|. Targets just above and below theta, as near as
rounding allows, show threshold, gain and start; after a spike they show the reset, after a large negative
membrane and silence the decay; theta itself, where it can be met exactly, shows the comparison.

All of it is our choice. The numbers come from one seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import nir
import numpy as np
import torch

from snn_deploy.export.proof.frames import frame_count, frames_of, turns_of
from snn_deploy.export.proof.membranes import NeuronStep
from snn_deploy.export.proof.rounded import UNIT, Decision, Rounded, float32
from snn_deploy.export.proof.rounding import Rounding
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
    """Inputs of ``steps`` steps for every node of a plan, the same ones every time, made a part at a time.

    Attributes:
        frames: how many of the batch are frames; sequences follow.
        groups: per round of sequences, the layers that they show and the sources that bring their currents.
    """

    plan: Plan
    rounding: Rounding
    steps: int
    seed: int
    frames: int
    groups: tuple[dict[str, str], ...]

    def __len__(self) -> int:
        return self.frames + self.sequences

    @property
    def sequences(self) -> int:
        """How many sequences there are."""
        return SEQUENCES * len(self.groups)

    def rounds(self) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """Successive parts of the batch, as first and count, and the nodes that each shows: frames show all.
        In a sequence the other nodes see what they saw in a frame."""
        yield 0, self.frames, tuple(name for name in self.plan.order if name != self.plan.input)
        for number, drivers in enumerate(self.groups):
            yield self.frames + SEQUENCES * number, SEQUENCES, tuple(drivers)

    def part(self, which: slice) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Input ``x`` and replaced outputs of every node, ``[steps, B, *shape]``, for some of the batch."""
        pieces: list[dict[str, torch.Tensor]] = []
        for number, (first, count, _) in enumerate(self.rounds()):
            some = slice(max(which.start - first, 0), min(which.stop - first, count))
            if some.start < some.stop:
                pieces.append(
                    self._sequences(self.groups[number - 1], some) if number else self._frames(some)
                )
        joined = {name: torch.cat([piece.pop(name) for piece in pieces], 1) for name in self._sources()}
        return joined.pop(self.plan.input), joined

    def _sources(self) -> list[str]:
        return [name for name in self.plan.order if name != self.plan.output]

    def _frames(self, some: slice) -> dict[str, torch.Tensor]:
        turns, found = turns_of(self.plan), {}
        for number, name in enumerate(self._sources()):
            rng = np.random.default_rng([self.seed, number])
            turn = turns[name], 1 + max(turns.values())
            frames = frames_of(self.plan, name, self.frames * self.steps, turn, rng)
            frames = frames.view(self.frames, self.steps, *self.plan.shapes[name])[some]
            found[name] = frames.transpose(0, 1).contiguous()
        return found

    def _sequences(self, drivers: Mapping[str, str], some: slice) -> dict[str, torch.Tensor]:
        layers = {source: layer for layer, source in drivers.items()}
        found = {}
        for number, name in enumerate(self._sources()):
            shape = self.plan.shapes[name]
            if name in layers:
                rng = np.random.default_rng([self.seed, number, 1])
                found[name] = _currents(self.rounding, layers[name], self.steps, some, rng)
            else:
                found[name] = torch.zeros(self.steps, some.stop - some.start, *shape)
        return found


def make_probes(plan: Plan, rounding: Rounding, steps: int = STEPS, seed: int = SEED) -> Probes:
    """Probes of ``steps`` steps for every node of ``plan``."""
    return Probes(plan, rounding, steps, seed, ceil(frame_count(plan) / steps), tuple(driver_groups(plan)))


def driver_groups(plan: Plan) -> list[dict[str, str]]:
    """Rounds of sequences: in each, some spiking layers and the source that alone brings their current."""
    left = list(plan.of_type(*SPIKING_NODES))
    groups: list[dict[str, str]] = []
    while left:
        drivers: dict[str, str] = {}
        silent: set[str] = set()
        for layer in list(left):
            every = {*plan.sources[layer], *plan.feedback.get(layer, ())}
            for source in plan.sources[layer]:
                others = every - {source}
                alone = source not in plan.feedback.get(layer, ())
                if (
                    alone
                    and source not in silent | set(drivers.values())
                    and not others & set(drivers.values())
                ):
                    drivers[layer] = source
                    silent |= others
                    left.remove(layer)
                    break
        if not drivers:
            return groups  # layers fed by nothing but what they also feed back
        groups.append(drivers)
    return groups


def _currents(
    rounding: Rounding, layer: str, steps: int, some: slice, rng: np.random.Generator
) -> torch.Tensor:
    """Currents ``[steps, B, *shape]`` that lead the neurons of a layer along some of the patterns."""
    more: list[Target] = rng.uniform(-2, 3, max(0, steps - STEPS)).tolist()
    patterns: list[Sequence[Target]] = [(*pattern, *more)[:steps] for pattern in PATTERNS]
    patterns += [tuple(rng.uniform(-2, 3, steps).tolist()) for _ in range(RANDOM_PATTERNS)]
    patterns = patterns[some]
    shape = rounding.plan.shapes[layer]
    node = rounding.plan.node(layer)
    if isinstance(node, nir.Threshold):
        threshold = float32(node.threshold)
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
        met = Decision(Rounded(h, error), threshold, fire.fires_at, fire.spikes == "many")
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
