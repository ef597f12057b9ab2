r"""From real weights to Loihi's integers, one scale per layer.

With scale S (weight units per unit of the layer's input current) and step :math:`2^{9-bits}`,

.. math::
    W_q = \operatorname{clip}(step \cdot \operatorname{round}(W S / step), -256, 256 - step), \quad
    b_q = \operatorname{round}(b S), \quad d = \operatorname{round}(4096\, \ell)

and the threshold becomes :math:`\lceil \theta S \rceil - 1` (for ``>=``, :math:`\lfloor \theta S \rfloor` for
``>``) where the state is a whole number of weight units, which is exact, else :math:`\operatorname{round}
(\theta S)`: a leaking state has 64ths of a unit.

S is searched for (:mod:`snn_deploy.graph.passes.scale_search`) within limits that are proven: 17-bit
thresholds, 13-bit biases, sums that cannot wrap the 24-bit current, matrices that Lava computes as stored.
Only a readout's membrane, which adds up over time, is bounded by calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from snn_deploy.errors import Problem, UnsupportedError
from snn_deploy.graph.lava_net import (
    DECAY_ONE,
    NEVER_FIRES,
    Conv,
    Cuba,
    Dense,
    Flatten,
    Input,
    LavaNet,
    Layer,
    Pair,
    Readout,
    largest_sum,
)
from snn_deploy.graph.lava_rules import BIAS_MAX, SUM_MAX
from snn_deploy.graph.passes.input_grid import InputGrid, input_grid
from snn_deploy.graph.passes.loihi import Chain, ChipLayer
from snn_deploy.graph.passes.scale_search import (
    Candidate,
    LayerTask,
    apply_map,
    best_candidate,
    counts_whole_units,
    current_error,
    membrane_peak,
    real_bound,
    threshold_error,
)
from snn_deploy.graph.passes.windows import Matrix

HEADROOM = 4.0
"""A readout's membrane has room for this many times the largest value seen in calibration (our choice)."""
CALIBRATION_FRAMES = 48


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """The integer network, the scale S of each of its layers, and what the rounding costs.

    ``table`` has one row per layer; ``notes`` are sentences for the manifest.
    """

    net: LavaNet
    scales: tuple[float, ...]
    table: list[dict[str, Any]]
    notes: tuple[str, ...]


def quantize(
    chain: Chain, x: torch.Tensor, spikes: Mapping[str, torch.Tensor], *, bits: int = 8
) -> Quantized:
    """Quantise ``chain``.

    Args:
        x: calibration input ``[T, B, *shape]``.
        spikes: what every population of the real network fired on x, by name, ``[T, B, *shape]``.
        bits: weight bits, 4 to 8.

    Raises:
        UnsupportedError: with every layer for which no scale keeps the limits.
    """
    grid = input_grid(x)
    found: list[tuple[LayerTask, Candidate]] = []
    problems: list[Problem] = []
    seen, value, span = grid.units(x), grid.scale, grid.range
    for layer in chain.layers:
        task = _prepare(chain, layer, seen, value, span)
        chosen = best_candidate(task, bits)
        if chosen is None:
            problems.append(_no_scale(layer.name, bits))
        else:
            found.append((task, chosen))
        seen, value, span = spikes.get(layer.name, seen), 1.0, (0, 1)
    if problems:
        raise UnsupportedError("No scale keeps the limits of the chip.", problems=problems)
    return Quantized(
        net=_assemble(chain, grid, [chosen for _, chosen in found], int(x.shape[0])),
        scales=tuple(chosen.scale for _, chosen in found),
        table=[_row(task, chosen, bits) for task, chosen in found],
        notes=_notes(chain, grid, bits),
    )


def _prepare(chain: Chain, layer: ChipLayer, seen: torch.Tensor, value: float, span: Pair) -> LayerTask:
    linear = replace(layer.map, weight=layer.map.weight * value)
    flat = seen.flatten(0, 1)
    count = min(len(flat), CALIBRATION_FRAMES)
    chosen = torch.linspace(0, len(flat) - 1, count).round().long()
    limits = {"sum": SUM_MAX / max(real_bound(linear.weight, span), 1e-12)}
    if linear.bias.any():
        limits["bias"] = BIAS_MAX / float(np.abs(linear.bias).max())
    if layer.threshold is None:
        peak = membrane_peak(layer, linear, seen)
        longer = max(1.0, (chain.semantics.timesteps or 0) / len(seen))
        limits["membrane"] = NEVER_FIRES / max(HEADROOM * longer * peak, 1e-12)
    else:
        limits["threshold"] = (NEVER_FIRES - 1) / layer.threshold
    return LayerTask(layer, linear, flat[chosen], span, limits)


def _assemble(chain: Chain, grid: InputGrid, chosen: list[Candidate], steps: int) -> LavaNet:
    layers: list[Layer] = [Input(chain.input_shape)]
    for layer, candidate in zip(chain.layers, chosen, strict=True):
        if layer.flattens:
            layers.append(Flatten((int(np.prod(layers[-1].shape)),)))
        neuron = Cuba(
            current_decay=np.rint(layer.current_leak * DECAY_ONE).astype(np.int64),
            voltage_decay=np.rint(layer.voltage_leak * DECAY_ONE).astype(np.int64),
            threshold=np.asarray(candidate.threshold, np.int64),
        )
        bias = candidate.bias if candidate.bias.any() else None
        linear = layer.map
        if isinstance(linear, Matrix):
            layers.append(Dense(candidate.weight, neuron, bias))
        else:
            geometry = (linear.stride, linear.padding, linear.dilation, linear.groups)
            layers.append(Conv(layer.shape, candidate.weight, neuron, bias, *geometry))
    return LavaNet(
        layers=tuple(layers),
        names=tuple(layer.name for layer in chain.layers),
        input_name=chain.input_name,
        input_range=grid.range,
        input_scale=grid.scale,
        readout=None if chain.readout is None else Readout(chain.readout, 64.0 * chosen[-1].scale),
        timesteps=chain.semantics.timesteps or steps,
        decode=chain.semantics.decode,
        classes=chain.semantics.classes,
    )


def _row(task: LayerTask, candidate: Candidate, bits: int) -> dict[str, Any]:
    """One line of the table of rounding errors; relative errors are in shares of the threshold, or of the
    standard deviation of the currents where there is no threshold."""
    layer, linear = task.layer, task.map
    unit = layer.threshold or float(apply_map(linear, linear.weight, task.frames).std()) or 1.0
    clipped = np.abs(candidate.weight / candidate.scale - linear.weight) > (1 << (9 - bits)) / candidate.scale
    leaks = np.atleast_1d(layer.voltage_leak)
    return {
        "layer": layer.name,
        "scale": candidate.scale,
        "chosen by": candidate.chosen_by,
        "largest weight": int(np.abs(candidate.weight).max()),
        "clipped weights": float(clipped.mean()),
        "current error / threshold": float(np.sqrt(current_error(task, candidate))) / unit,
        "vThMant": candidate.threshold,
        "threshold error": threshold_error(layer, candidate) / unit,
        "vDecay": int(np.rint(leaks * DECAY_ONE)[0]),
        "leak error": float(np.abs(np.rint(leaks * DECAY_ONE) / DECAY_ONE - leaks).max()),
        "largest possible sum": largest_sum(candidate.weight, task.span),
        "sum limit": SUM_MAX,
    }


def _no_scale(name: str, bits: int) -> Problem:
    return Problem(
        name,
        f"no {bits}-bit weights keep the limits; the layer may have no weights but zeros, or no positive one",
        "24-bit sums, 13-bit biases, 17-bit thresholds, a matrix that Lava computes as stored",
        try_instead="prune the dead layer, or train it further",
    )


def _notes(chain: Chain, grid: InputGrid, bits: int) -> tuple[str, ...]:
    notes = [f"Weights are rounded to {bits} bits with one scale per layer; see the table of errors."]
    if any(not counts_whole_units(layer) for layer in chain.layers):
        notes.append("Leaking membranes are rounded toward zero to 1/64 of a weight unit at every step.")
    if any(leak.ndim for layer in chain.layers for leak in (layer.current_leak, layer.voltage_leak)):
        notes.append("Leaks that differ between channels run in Lava's simulation; no chip is documented.")
    if grid.error:
        notes.append(f"The input is rounded to multiples of {grid.scale:.6g}, by at most {grid.error:.3g}.")
    elif grid.range != (0, 1):
        notes.append("The input is given as graded spikes of whole numbers (Loihi 2 only); this is exact.")
    return tuple(notes)
