r"""Search for the scale of one layer.

S is the candidate with the least mean squared error of the currents that calibration spikes cause, the error
of the threshold added: the largest weight at the end of the range, percentiles of the weights there, and a
geometric grid around them. The integer weights of the winner then get the scale that fits them best. The
choice of candidates is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.lava_net import NEVER_FIRES, IntArray, Pair, largest_sum
from snn_deploy.graph.lava_rules import SUM_MAX, WEIGHT_MIN, lossless_dense
from snn_deploy.graph.passes.loihi import ChipLayer
from snn_deploy.graph.passes.windows import FloatArray, Matrix, Window

_PERCENTILES = (99.9, 99.5, 99.0)
_GRID = tuple(2.0 ** (k / 16) for k in range(-12, 25))


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One scale of a layer and the integers that follow from it."""

    scale: float
    chosen_by: str
    weight: IntArray
    bias: IntArray
    threshold: int


@dataclass(frozen=True, slots=True, eq=False)
class LayerTask:
    """A layer in units of its integer input, and what it sees in calibration.

    ``frames`` is a sample of its inputs ``[frames, *shape]``; ``limits`` bounds S, each by a named rule.
    """

    layer: ChipLayer
    map: Window | Matrix
    frames: torch.Tensor
    span: Pair
    limits: dict[str, float]


def round_weights(weight: FloatArray, scale: float, bits: int) -> IntArray:
    """Integer weights of ``weight`` at ``scale``: multiples of ``2^(9 - bits)`` in ``[-256, 256 - step]``."""
    step = 1 << (9 - bits)
    rounded: IntArray = (step * np.rint(weight * (scale / step))).astype(np.int64)
    return rounded.clip(WEIGHT_MIN, -WEIGHT_MIN - step)


def round_threshold(layer: ChipLayer, scale: float) -> int:
    """``vThMant`` of a layer at ``scale``; see the module text."""
    if layer.threshold is None:
        return NEVER_FIRES
    exact = layer.threshold * scale
    if counts_whole_units(layer):
        return int(np.ceil(exact)) - 1 if layer.fires_at == ">=" else int(np.floor(exact))
    return int(np.rint(exact))


def counts_whole_units(layer: ChipLayer) -> bool:
    """Whether the state is a whole number of weight units: nothing leaks, or everything does."""
    leaks = (layer.voltage_leak, layer.current_leak)
    return all(bool(((leak == 0) | (leak == 1)).all()) for leak in leaks)


def real_bound(weight: FloatArray, span: Pair) -> float:
    """:func:`largest_sum` of real weights."""
    rows = weight.reshape(len(weight), -1)
    extremes = np.stack([rows * min(span[0], 0), rows * max(span[1], 0)])
    return float(max(extremes.max(0).sum(1).max(), -extremes.min(0).sum(1).min()))


def membrane_peak(layer: ChipLayer, linear: Window | Matrix, seen: torch.Tensor) -> float:
    """Largest ``|v|`` of a readout in calibration, in units of its currents."""
    currents = apply_map(linear, linear.weight, seen.flatten(0, 1)).view(*seen.shape[:2], *layer.shape)
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


def apply_map(linear: Window | Matrix, weight: FloatArray, frames: torch.Tensor) -> torch.Tensor:
    """``weight`` in the place of the map's own, without bias, on ``frames [N, *shape]``."""
    kernel = torch.as_tensor(weight, dtype=torch.float32)
    if isinstance(linear, Matrix):
        return functional.linear(frames.flatten(1), kernel)
    return functional.conv2d(
        frames, kernel, None, linear.stride, linear.padding, linear.dilation, linear.groups
    )


def best_candidate(task: LayerTask, bits: int) -> Candidate | None:
    """The legal candidate with the least error, the first of equals."""
    if not task.map.weight.any():
        return None
    errors = {candidate: current_error(task, candidate) for candidate in _candidates(task, bits)}
    best = min(errors, key=errors.__getitem__, default=None)
    if best is None:
        return None
    fitted = _fitted(task, best)
    return fitted if current_error(task, fitted) < errors[best] else best


def _fitted(task: LayerTask, candidate: Candidate) -> Candidate:
    r"""The same integer weights with the scale that fits them best: S enters only the threshold and the bias,
    so :math:`1 / S = \langle W_q x, W x \rangle / \langle W_q x, W_q x \rangle` costs nothing."""
    integers = apply_map(task.map, candidate.weight.astype(np.float64), task.frames).double()
    wanted = apply_map(task.map, task.map.weight, task.frames).double()
    product = float((integers * wanted).sum())
    if product <= 0:
        return candidate
    scale = min(float(integers.square().sum()) / product, *task.limits.values())
    bias = np.rint(task.map.bias * scale).astype(np.int64)
    name = f"{candidate.chosen_by}, fitted"
    return Candidate(scale, name, candidate.weight, bias, round_threshold(task.layer, scale))


def _candidates(task: LayerTask, bits: int) -> Iterator[Candidate]:
    linear, cap = task.map, min(task.limits.values())
    highest, lowest = float(linear.weight.max()), float(linear.weight.min())
    top = -WEIGHT_MIN - (1 << (9 - bits))
    widest = min(top / highest if highest > 0 else np.inf, WEIGHT_MIN / lowest if lowest < 0 else np.inf)
    magnitudes = np.abs(linear.weight[linear.weight != 0])
    scales = [("max-abs", widest)]
    scales += [(f"percentile {p}", top / float(np.percentile(magnitudes, p))) for p in _PERCENTILES]
    scales += [("mse", min(widest, cap) * factor) for factor in _GRID]
    scales += [(f"limit: {name}", limit) for name, limit in task.limits.items() if limit == cap]
    for chosen_by, scale in scales:
        if scale > cap:
            continue
        candidate = _candidate(task, scale, chosen_by, bits)
        if candidate is not None:
            yield candidate


def _candidate(task: LayerTask, scale: float, chosen_by: str, bits: int) -> Candidate | None:
    """The integers at ``scale``, or None when they break a limit."""
    weight = round_weights(task.map.weight, scale, bits)
    if largest_sum(weight, task.span) > SUM_MAX:
        return None
    if isinstance(task.map, Matrix) and lossless_dense(weight):
        return None
    bias = np.rint(task.map.bias * scale).astype(np.int64)
    return Candidate(scale, chosen_by, weight, bias, round_threshold(task.layer, scale))


def current_error(task: LayerTask, candidate: Candidate) -> float:
    """Mean squared error of the currents, plus that of the threshold, in real units."""
    linear, scale = task.map, candidate.scale
    difference = apply_map(linear, candidate.weight / scale - linear.weight, task.frames).double()
    offset = torch.as_tensor(candidate.bias / scale - linear.bias)
    difference += offset.reshape(-1, *[1] * (difference.ndim - 2))
    return float(difference.square().mean()) + threshold_error(task.layer, candidate) ** 2


def threshold_error(layer: ChipLayer, candidate: Candidate) -> float:
    """Distance between the threshold wanted and the one of ``candidate``, in real units."""
    if layer.threshold is None or counts_whole_units(layer):
        return 0.0
    return abs(candidate.threshold / candidate.scale - layer.threshold)
