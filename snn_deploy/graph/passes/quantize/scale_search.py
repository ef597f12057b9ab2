r"""Search for the scale S of a layer, or of each of its channels.

S is the candidate with the least mean squared error of the currents that calibration spikes cause, the error
of the threshold added: the largest weight at the end of the range, percentiles of the weights there, and a
geometric grid around them, each with weights rounded to the nearest integers and with weights that make up
for each other's errors (:mod:`snn_deploy.graph.passes.quantize.compensation`). The integer weights of the
winners then get the scale that fits them best. The choice of candidates is ours.

Relays are left out: they take the largest weight there is, which has to be above the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.lava.net import NEVER_FIRES, IntArray, Pair
from snn_deploy.graph.lava.rules import BIAS_MAX, SUM_MAX, WEIGHT_MIN, lossless_dense
from snn_deploy.graph.passes.quantize.compensation import compensated
from snn_deploy.graph.passes.quantize.rounding import round_to_grid, weight_range
from snn_deploy.graph.passes.to_chip.layers import ChipLayer
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, Window

_PERCENTILES = (99.9, 99.5, 99.0)
_OFF_GRID = 0.05
"""Distance from an integer, in weight units, that float32 weights may have which stand for integers."""
_GRID = tuple(2.0 ** (k / 16) for k in range(-12, 25))


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Scales and the integers that follow from them.

    ``scale`` and ``threshold`` are one number, or one per channel.
    """

    scale: FloatArray
    chosen_by: str
    weight: IntArray
    bias: IntArray
    threshold: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class LayerTask:
    """A layer without its relays, in units of its integer input, and what it sees in calibration.

    Attributes:
        layer: the whole layer.
        map: its weights without relays.
        relays: the weights of the relays, 0 or 1, ``[relays, ...]``.
        seen: its inputs in calibration ``[frames, *shape]``.
        frames: a sample of them, by which candidates are judged.
        others: which of ``seen`` are not in ``frames``.
        span: their range.
        limits: bounds of S of every channel, each by a named rule.
    """

    layer: ChipLayer
    map: Window | Matrix
    relays: FloatArray
    seen: torch.Tensor
    frames: torch.Tensor
    others: torch.Tensor
    span: Pair
    limits: dict[str, FloatArray]

    @property
    def cap(self) -> FloatArray:
        """The largest S of every channel that keeps all limits."""
        cap: FloatArray = np.minimum.reduce(list(self.limits.values()))
        return cap

    def legal(self, weight: IntArray, bits: int) -> bool:
        """Whether sums of ``weight`` cannot wrap and Lava computes it as stored."""
        return bool(real_bounds(weight, self.span).max() <= SUM_MAX) and self.computed_as_stored(weight, bits)

    def computed_as_stored(self, weight: IntArray, bits: int) -> bool:
        """Whether Lava keeps the matrix of the whole layer, relays included, as it is."""
        return isinstance(self.map, Window) or not lossless_dense(self.with_relays(weight, bits))

    def with_relays(self, weight: IntArray, bits: int) -> IntArray:
        """``weight`` with the rows of the relays, which take the largest weight."""
        return np.concatenate([weight, largest_weight(bits) * (self.relays != 0)])


def largest_weight(bits: int) -> int:
    """The end of the range of weights of ``bits`` bits, ``256 - 2^(9 - bits)``."""
    return weight_range(bits)[2]


def round_weights(weight: FloatArray, scale: float | FloatArray, bits: int) -> IntArray:
    """Integer weights of ``weight`` at ``scale``: multiples of ``2^(9 - bits)`` in ``[-256, 256 - step]``."""
    scaled = torch.from_numpy(weight * wide(scale, weight.ndim))
    rounded: IntArray = round_to_grid(scaled, bits).numpy().astype(np.int64)
    return rounded


def round_threshold(layer: ChipLayer, scale: float | FloatArray) -> IntArray:
    """``vThMant`` of a layer at ``scale``; exact where the state counts whole units."""
    if layer.threshold is None:
        return np.asarray(NEVER_FIRES, np.int64)
    exact = np.asarray(layer.threshold * scale)
    if counts_whole_units(layer):
        found = np.ceil(exact) - 1 if layer.fires_at == ">=" else np.floor(exact)
    else:
        found = np.rint(exact)
    return np.asarray(found, np.int64)


def counts_whole_units(layer: ChipLayer) -> bool:
    """Whether the state is a whole number of weight units: nothing leaks, or everything does."""
    leaks = (layer.voltage_leak, layer.current_leak)
    return all(bool(((leak == 0) | (leak == 1)).all()) for leak in leaks)


def wide(values: float | FloatArray, rank: int) -> FloatArray:
    """A number as it is, one per channel so that it broadcasts over ``[C, ...]`` of ``rank`` axes."""
    array = np.asarray(values, np.float64)
    return array.reshape(-1, *[1] * (rank - 1)) if array.ndim else array


def real_bounds(weight: FloatArray | IntArray, span: Pair) -> FloatArray:
    """Largest ``|sum|`` of every row of ``weight`` for inputs in ``span`` and 0."""
    rows = weight.reshape(len(weight), -1)
    extremes = np.stack([rows * min(span[0], 0), rows * max(span[1], 0)])
    bounds: FloatArray = np.maximum(extremes.max(0).sum(1), -extremes.min(0).sum(1)).astype(np.float64)
    return bounds


def apply_map(linear: Window | Matrix, weight: FloatArray, frames: torch.Tensor) -> torch.Tensor:
    """``weight`` in the place of the map's own, without bias, on ``frames [N, *shape]``."""
    kernel = torch.as_tensor(weight, dtype=torch.float32)
    if isinstance(linear, Matrix):
        return functional.linear(frames.flatten(1), kernel)
    return functional.conv2d(
        frames, kernel, None, linear.stride, linear.padding, linear.dilation, linear.groups
    )


def best_candidate(
    task: LayerTask, bits: int, *, per_channel: bool = False, nearest: bool = False
) -> Candidate | None:
    """The legal candidate with the least error, the first of equals; with ``per_channel`` each channel then
    takes the scale that is best for itself; with ``nearest`` only of the nearest integers."""
    if not task.map.weight.any():
        return None
    rounded = list(_candidates(task, bits))
    if not rounded:
        return None
    best = _least_error(task, rounded)
    if per_channel and task.layer.threshold is not None:
        best = _best_of_every_channel(task, best, bits)
        rounded = [best]
    found = [best, _fitted(task, best)]
    if not nearest and (made_up := list(_compensated(task, rounded, bits))):
        best = _least_error(task, made_up)
        found += [best, _fitted(task, best)]
    return _least_error(task, found)


def _least_error(task: LayerTask, candidates: Sequence[Candidate]) -> Candidate:
    """The first of the best."""
    return min(candidates, key=lambda candidate: float(current_errors(task, candidate).mean()))


def _compensated(task: LayerTask, rounded: Sequence[Candidate], bits: int) -> Iterator[Candidate]:
    """Legal candidates at the scales of ``rounded`` whose weights make up for each other's errors."""
    scales = np.stack([candidate.scale for candidate in rounded])
    found = compensated(task.map, task.seen[task.others], scales, bits)
    if found is None:
        return
    for candidate, weight in zip(rounded, found.numpy().astype(np.int64), strict=True):
        if task.legal(weight, bits):
            yield replace(candidate, weight=weight, chosen_by=f"{candidate.chosen_by}, compensated")


def _best_of_every_channel(task: LayerTask, best: Candidate, bits: int) -> Candidate:
    """The best scale of every channel, ``best`` where a channel has no better one."""
    channels = len(task.map.weight)
    scale, least = np.full(channels, best.scale), current_errors(task, best)
    for tried in _channel_scales(task, bits):
        candidate = _integers(task, np.minimum(tried, task.cap), "channel", bits)
        errors = current_errors(task, candidate)
        better = (errors < least) & (real_bounds(candidate.weight, task.span) <= SUM_MAX)
        scale, least = np.where(better, candidate.scale, scale), np.where(better, errors, least)
    found = _integers(task, scale, "channel", bits)
    return found if task.computed_as_stored(found.weight, bits) else best


def _channel_scales(task: LayerTask, bits: int) -> Iterator[FloatArray]:
    """One scale for every channel, several times; a channel without weights keeps the largest allowed."""
    rows = task.map.weight.reshape(len(task.map.weight), -1)
    widest = np.asarray([_widest(row, bits) for row in rows])
    yield widest
    yield from (np.minimum(widest, task.cap) * factor for factor in _GRID)


def _widest(weight: FloatArray, bits: int) -> float:
    """The scale that puts the largest weight at the end of the range."""
    highest, lowest = float(weight.max()), float(weight.min())
    return min(
        largest_weight(bits) / highest if highest > 0 else np.inf,
        WEIGHT_MIN / lowest if lowest < 0 else np.inf,
    )


def trained_candidate(task: LayerTask, scale: float, bits: int) -> Candidate | None:
    """The integers that the layer was trained with at ``scale``; None when its weights are others, or break a
    limit."""
    candidate = _integers(task, np.asarray(scale), "trained", bits)
    linear = task.map
    off = np.abs(candidate.weight - linear.weight * scale).max()
    off_bias = np.abs(candidate.bias - linear.bias * scale).max()
    legal = (
        max(off, off_bias) < _OFF_GRID
        and np.abs(candidate.bias).max() <= BIAS_MAX
        and task.legal(candidate.weight, bits)
    )
    return candidate if legal else None


def _fitted(task: LayerTask, candidate: Candidate) -> Candidate:
    r"""The same integer weights with the scale that fits them best: S enters only the threshold and the bias,
    so :math:`1 / S = \langle W_q x, W x \rangle / \langle W_q x, W_q x \rangle` costs nothing."""
    integers = apply_map(task.map, candidate.weight.astype(np.float64), task.frames).double()
    wanted = apply_map(task.map, task.map.weight, task.frames).double()
    axes = [axis for axis in range(integers.ndim) if axis != 1]
    product, square = (part.sum(axes).numpy() for part in (integers * wanted, integers.square()))
    if candidate.scale.ndim:
        fitted = np.where(product > 0, square / np.where(product > 0, product, 1), candidate.scale)
        scale = np.minimum(fitted, task.cap)
    elif product.sum() > 0:
        scale = np.asarray(min(square.sum() / product.sum(), task.cap.min()))
    else:
        return candidate
    bias = np.rint(task.map.bias * scale).astype(np.int64)
    threshold = round_threshold(task.layer, scale)
    name = f"{candidate.chosen_by}, fitted"
    return replace(candidate, scale=scale, chosen_by=name, bias=bias, threshold=threshold)


def _candidates(task: LayerTask, bits: int) -> Iterator[Candidate]:
    """Legal candidates with one scale for all channels."""
    weight, cap = task.map.weight, float(task.cap.min())
    widest = _widest(weight, bits)
    magnitudes = np.abs(weight[weight != 0])
    scales = [("max-abs", widest)]
    scales += [
        (f"percentile {p}", largest_weight(bits) / float(np.percentile(magnitudes, p))) for p in _PERCENTILES
    ]
    scales += [("mse", min(widest, cap) * factor) for factor in _GRID]
    scales += [(f"limit: {name}", cap) for name, limit in task.limits.items() if limit.min() == cap]
    for chosen_by, scale in scales:
        if scale > cap:
            continue
        candidate = _integers(task, np.asarray(scale), chosen_by, bits)
        if task.legal(candidate.weight, bits):
            yield candidate


def _integers(task: LayerTask, scale: FloatArray, chosen_by: str, bits: int) -> Candidate:
    """The integers at ``scale``."""
    weight = round_weights(task.map.weight, scale, bits)
    bias = np.rint(task.map.bias * scale).astype(np.int64)
    return Candidate(scale, chosen_by, weight, bias, round_threshold(task.layer, scale))


def current_errors(task: LayerTask, candidate: Candidate) -> FloatArray:
    """Mean squared error of the currents of every channel, plus that of the threshold, in real units."""
    linear, scale = task.map, candidate.scale
    wanted = candidate.weight / wide(scale, linear.weight.ndim) - linear.weight
    difference = apply_map(linear, wanted, task.frames).double()
    offset = torch.as_tensor(candidate.bias / scale - linear.bias)
    difference += offset.reshape(-1, *[1] * (difference.ndim - 2))
    axes = [axis for axis in range(difference.ndim) if axis != 1]
    errors: FloatArray = difference.square().mean(axes).numpy()
    return errors + threshold_error(task.layer, candidate) ** 2


def threshold_error(layer: ChipLayer, candidate: Candidate) -> FloatArray:
    """Distance between the threshold wanted and the one of ``candidate``, in real units."""
    if layer.threshold is None or counts_whole_units(layer):
        return np.zeros(())
    return np.abs(candidate.threshold / candidate.scale - layer.threshold)
