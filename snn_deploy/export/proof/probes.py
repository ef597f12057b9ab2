r"""Synthetic inputs that feed every node of a graph on its own: they exercise what real samples leave open.

Every node's output is replaced for the nodes behind it, so each node sees inputs that were made for it, and
its own output is compared. Two kinds of inputs follow each other in the batch:

**Frames**, for nodes without memory; every step is one frame. All zeros show the biases; dense frames of
random numbers show order, edges, strides and padding; the others hold impulses so far apart that each sum
behind them has one term: then nothing rounds, and every weight is seen as it is. An impulse has the size that
lifts small weights over the bias. Where a frame for every impulse would take too long (``MAC_LIMIT``),
several channels share a place; the result counts how many weights stood alone.

**Sequences**, for neurons; the current of every neuron is solved so that its membrane meets a target
c: h = theta + c s with s = |theta| + |theta - v_reset|. Targets just above and below theta, as near as
rounding allows, show threshold, gain and start; after a spike they show the reset, after a large negative
membrane and silence the decay; theta itself, where it can be met exactly, shows the comparison.

All of it is our choice. The numbers come from one seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2, prod
from typing import Literal

import nir
import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.export.proof.membranes import NeuronStep
from snn_deploy.export.proof.rounded import UNIT, Decision, Rounded, float32
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan

SEED = 20260
STEPS = 8
DENSE = 3
LARGEST_FRAMES = 1024 + 1 + DENSE
SMALLEST_FRAMES = 16
MAC_LIMIT = 2e10
"""Multiply-accumulates of all frames together."""
LARGEST_GAIN = 2.0**20

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
        turns, found = _turns(self.plan), {}
        for number, name in enumerate(self._sources()):
            rng = np.random.default_rng([self.seed, number])
            turn = turns[name], 1 + max(turns.values())
            frames = _frames_of(self.plan, name, self.frames * self.steps, turn, rng)
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
    return Probes(plan, rounding, steps, seed, ceil(_frames(plan) / steps), tuple(driver_groups(plan)))


def multiplications(plan: Plan) -> int:
    """Multiply-accumulates of one step of one sample."""
    total = 0
    for name in plan.of_type(*WEIGHT_NODES):
        weight = np.asarray(plan.node(name).weight)
        total += weight.size * prod(plan.shapes[name][1:])
    return total


def _frames(plan: Plan) -> int:
    """Frames that show every weight alone, within the limits."""
    sources = [name for name in plan.order if name != plan.output]
    wanted = 1 + DENSE + max((plan.shapes[n][0] * prod(_reach(plan, n)) for n in sources), default=0)
    affordable = int(MAC_LIMIT // max(multiplications(plan), 1))
    return min(wanted, max(SMALLEST_FRAMES, min(affordable, LARGEST_FRAMES)))


def _turns(plan: Plan) -> dict[str, int]:
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


def _frames_of(
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
