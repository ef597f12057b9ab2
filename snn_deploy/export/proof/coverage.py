"""What the samples exercised: a layer that never fires, is never fed or never changes proves nothing."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch

from snn_deploy.export.proof.evidence import upstream_layers
from snn_deploy.graph.types import SPIKING_NODES, Plan

SHARE = 4
"""A proof plans with one part in so many of what recordings may take (:func:`snn_deploy.core.memory.budget`):
open files hold their weights several times, and runtimes buffers of their own. Our choice."""


@dataclass(frozen=True, slots=True)
class LayerCoverage:
    """One spiking layer of the reference on the samples.

    Attributes:
        neurons, fired: how many there are, and how many fired at least once.
        channels, channels_fired: the same for the first axis of the layer.
        spikes, compared: elements that are not zero, and all elements: neurons x steps x samples.
        fed: whether anything arrived, from the layers before or from the input.
    """

    layer: str
    neurons: int
    fired: int
    channels: int
    channels_fired: int
    spikes: int
    compared: int
    fed: bool = True

    @property
    def lacks(self) -> str:
        """Why the layer is not shown; empty when it is."""
        if not self.spikes:
            return "never fires"
        if not self.fed:
            return "sees no input"
        return "always fires" if self.spikes == self.compared else ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """All layers, and whether the output of the network ever changes."""

    layers: tuple[LayerCoverage, ...]
    output_varies: bool

    @property
    def silent(self) -> bool:
        """No layer fires at all, or nothing reaches the output."""
        return not self.output_varies or (bool(self.layers) and not any(row.spikes for row in self.layers))

    @property
    def missing(self) -> dict[str, str]:
        """Layers that are not shown, and why."""
        return {row.layer: row.lacks for row in self.layers if row.lacks}


@dataclass(slots=True)
class Tally:
    """Activity of a part of the samples; tallies of successive parts add."""

    fired: dict[str, torch.Tensor]
    spikes: dict[str, int]
    compared: dict[str, int]
    input_active: bool
    low: float
    high: float

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            {name: mask | other.fired[name] for name, mask in self.fired.items()},
            {name: count + other.spikes[name] for name, count in self.spikes.items()},
            {name: count + other.compared[name] for name, count in self.compared.items()},
            self.input_active or other.input_active,
            min(self.low, other.low),
            max(self.high, other.high),
        )


def tally(x: torch.Tensor, spikes: Mapping[str, torch.Tensor], output: torch.Tensor) -> Tally:
    """Count the activity of one part; ``spikes`` are ``[T, B, *shape]``."""
    return Tally(
        fired={
            name: functools.reduce(torch.logical_or, y, torch.zeros(())).any(0) for name, y in spikes.items()
        },
        spikes={name: int(torch.count_nonzero(y)) for name, y in spikes.items()},
        compared={name: y.numel() for name, y in spikes.items()},
        input_active=bool(x.any()),
        low=float(output.min()),
        high=float(output.max()),
    )


def coverage(tallied: Tally, plan: Plan | None) -> Coverage:
    """Coverage of all samples; ``plan`` says what feeds a layer, None leaves that out."""
    active = {name: count > 0 for name, count in tallied.spikes.items()}
    rows = []
    for name, mask in tallied.fired.items():
        channels = mask.flatten(1).any(1) if mask.ndim > 1 else mask
        row = LayerCoverage(
            layer=name,
            neurons=mask.numel(),
            fired=int(mask.sum()),
            channels=channels.numel(),
            channels_fired=int(channels.sum()),
            spikes=tallied.spikes[name],
            compared=tallied.compared[name],
        )
        if plan is not None and name in plan.shapes:
            sources = list(upstream_layers(plan, name))
            row = replace(row, fed=any(active.get(s, tallied.input_active) for s in sources))
        rows.append(row)
    return Coverage(tuple(rows), output_varies=tallied.low < tallied.high)


def sample_bytes(plan: Plan, timesteps: int) -> int:
    """Bytes that one sample takes while a proof compares it (measured on residual networks; our choice).

    At most three recordings of all spiking layers in float32 (a run, what is forced on it, its copy within a
    runtime) beside the reference's spikes, and the widest activation eight times per step.
    """
    recorded = sum(prod(plan.shapes[name]) for name in plan.of_type(*SPIKING_NODES))
    widest = max(prod(shape) for shape in plan.shapes.values())
    ends = prod(plan.shapes[plan.input]) + prod(plan.shapes[plan.output])
    return timesteps * (13 * recorded + 4 * (8 * widest + 2 * ends))


def summary(layers: Sequence[LayerCoverage]) -> dict[str, int]:
    """Totals: neurons, channels and layers, and how many of each fired."""
    return {
        "neurons": sum(row.neurons for row in layers),
        "neurons_fired": sum(row.fired for row in layers),
        "channels": sum(row.channels for row in layers),
        "channels_fired": sum(row.channels_fired for row in layers),
        "layers": len(layers),
        "layers_shown": sum(not row.lacks for row in layers),
    }
