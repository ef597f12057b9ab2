"""A layer as a problem of rounding: its weights, what calibration shows it, and the limits of its scale.

A recurrent layer sees its own spikes of the step before as further inputs: both matrices are one, side by
side, and what is true of sums and errors holds for it as for any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from snn_deploy.graph.later import later
from snn_deploy.graph.lava.net import NEVER_FIRES, IntArray, Pair
from snn_deploy.graph.lava.rules import BIAS_MAX, SUM_MAX
from snn_deploy.graph.passes.quantize.candidates import LayerTask
from snn_deploy.graph.passes.quantize.columns import apply_map, columns
from snn_deploy.graph.passes.to_chip.layers import Chain, ChipLayer
from snn_deploy.graph.passes.to_chip.windows import Matrix, Window

HEADROOM = 4.0
"""A readout's membrane has room for this many times the largest value seen in calibration (our choice)."""
JUDGING_FRAMES = 48
"""Candidates are judged on so many frames; errors are made up for on the others."""
JUDGING_ENTRIES = 1 << 20
"""Of the columns of these frames that are looked at, per group of channels."""


def fired(layer: ChipLayer, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Spikes ``[T, B, *shape]`` of a layer, out of those of the populations it holds or relays, on samples
    that are known of all of them."""
    if not layer.members:
        return spikes[layer.name]
    parts = []
    for member in layer.members:
        part = spikes[member.source]
        if member.phase is None:
            part = part.flatten(2)
            if member.held:
                part = _waited(part, np.broadcast_to(np.array(member.held), (1, part.shape[2])))
        elif member.relay and part.ndim == 5:
            part = part[..., member.phase[0] :: member.stride[0], member.phase[1] :: member.stride[1]]
            part = part[..., : layer.shape[1], : layer.shape[2]]
            missing = [layer.shape[axis] - part.shape[axis + 2] for axis in (2, 1)]
            part = torch.nn.functional.pad(part, (0, missing[0], 0, missing[1]))
        parts.append(part)
    common = min(part.shape[1] for part in parts)
    return torch.cat([part[:, :common] for part in parts], 2)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a layer sees in calibration.

    Attributes:
        given: integer inputs ``[T, B, *shape]``, spikes of the layer before or the network's input.
        value: what one unit of them stands for.
        span: their range.
        own: what the layer itself fired, ``[T, B, *shape]``; needed of one that returns to itself.
    """

    given: torch.Tensor
    value: float
    span: Pair
    own: torch.Tensor | None


def prepare(chain: Chain, layer: ChipLayer, seen: Seen, limits: Mapping[str, float]) -> LayerTask:
    """The task of ``layer``; ``limits`` bound S beside those that hold for every layer."""
    own = len(layer.map.weight) - layer.relays
    whole = layer.map.weight * seen.value
    frames = seen.given if layer.delay is None else _waited(seen.given, layer.delay)
    if layer.recurrent is not None:
        assert seen.own is not None
        whole = np.hstack([whole, layer.recurrent])
        frames = _beside(frames, seen.own)
    linear = replace(layer.map, weight=whole[:own], bias=layer.map.bias[:own])
    flat = frames.flatten(0, 1)
    count = min(len(flat), JUDGING_FRAMES)
    judging = torch.linspace(0, len(flat) - 1, count).round().long()
    others = torch.ones(len(flat), dtype=torch.bool)
    others[judging] = False
    bounds = {name: np.full(own, limit) for name, limit in limits.items()}
    task = LayerTask(
        layer=layer,
        map=linear,
        relays=whole[own:],
        seen=flat,
        judged=columns(linear, flat, judging, JUDGING_ENTRIES),
        others=others.nonzero().flatten(),
        span=seen.span,
        limits=bounds,
        own=0 if layer.recurrent is None else len(layer.recurrent),
    )
    bounds["sum"] = SUM_MAX / np.maximum(task.sums(linear.weight), 1e-12)
    if linear.bias.any():
        bounds["bias"] = BIAS_MAX / np.maximum(np.abs(linear.bias), 1e-12)
    if layer.threshold is None:
        peak = _membrane_peak(layer, linear, seen.given)
        longer = max(1.0, (chain.semantics.timesteps or 0) / len(seen.given))
        bounds["membrane"] = np.full(own, NEVER_FIRES / max(HEADROOM * longer * peak, 1e-12))
    else:
        bounds["threshold"] = np.full(own, (NEVER_FIRES - 1) / layer.threshold)
    return task


def _beside(given: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """``given [T, B, *shape]`` and the spikes ``own`` of the step before, ``[T, B, inputs]``, on the samples
    that are known of both."""
    common = min(given.shape[1], own.shape[1])
    return torch.cat([given.flatten(2)[:, :common], later(own).flatten(2)[:, :common].to(given)], 2)


def _waited(given: torch.Tensor, delay: IntArray) -> torch.Tensor:
    """``given [T, B, *shape]`` as it arrives, ``[T, B, inputs]``. Where the synapses of an input wait
    differently, nothing waits: only which errors they make together is judged by it (our choice)."""
    arrived = given.flatten(2)
    if (delay != delay[0]).any():
        return arrived
    return torch.stack([later(arrived[:, :, i], int(steps)) for i, steps in enumerate(delay[0])], 2)


def _currents(layer: ChipLayer, linear: Window | Matrix, seen: torch.Tensor) -> torch.Tensor:
    """What arrives at the neurons of a layer without recurrence, ``[T, B, *shape]``, without the bias."""

    def arriving(part: Window | Matrix) -> torch.Tensor:
        return apply_map(part, seen.flatten(0, 1).float()).view(*seen.shape[:2], *layer.shape)

    if layer.delay is None:
        return arriving(linear)
    waiting = {steps: np.where(layer.delay == steps, linear.weight, 0) for steps in np.unique(layer.delay)}
    parts = [later(arriving(replace(linear, weight=w)), int(steps)) for steps, w in waiting.items()]
    return torch.stack(parts).sum(0)


def _membrane_peak(layer: ChipLayer, linear: Window | Matrix, seen: torch.Tensor) -> float:
    """Largest ``|v|`` of a readout in calibration, in units of its currents."""
    currents = _currents(layer, linear, seen)
    shape = (-1, *[1] * (len(layer.shape) - 1))
    keep_u, keep_v, bias = (
        torch.as_tensor(a.reshape(shape) if a.ndim else a, dtype=torch.float32)
        for a in (1 - layer.current_leak, 1 - layer.voltage_leak, linear.bias)
    )
    u = v = torch.zeros_like(currents[0])
    peak = 0.0
    for current in currents:
        u = keep_u * u + current
        v = keep_v * v + u + bias
        peak = max(peak, float(v.abs().max()))
    return peak
