"""A layer to be quantised, and candidates for its integers: limits, rounding, and the error they cause.

Relays are left out: they take the largest weight there is, which has to be above the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from snn_deploy.graph.lava.net import NEVER_FIRES, IntArray, Pair, row_bounds
from snn_deploy.graph.lava.rules import BIAS_MAX, SUM_MAX, lossless_dense
from snn_deploy.graph.passes.quantize.columns import currents
from snn_deploy.graph.passes.quantize.rounding import round_to_grid, weight_range
from snn_deploy.graph.passes.to_chip.layers import ChipLayer
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, Window

A = TypeVar("A", IntArray, FloatArray)

_OFF_GRID = 0.05
"""Distance from an integer, in weight units, that float32 weights may have which stand for integers."""


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
        judged: columns of some of these frames, by which candidates are judged, ``[G, K, P]``.
        others: the numbers of the other frames.
        span: the range of the inputs.
        limits: bounds of S of every channel, each by a named rule.
        own: how many of the last inputs are the layer's own spikes of the step before, by a matrix of their
            own; 0 without recurrence.
    """

    layer: ChipLayer
    map: Window | Matrix
    relays: FloatArray
    seen: torch.Tensor
    judged: torch.Tensor
    others: torch.Tensor
    span: Pair
    limits: dict[str, FloatArray]
    own: int = 0

    @property
    def cap(self) -> FloatArray:
        """The largest S of every channel that keeps all limits."""
        cap: FloatArray = np.minimum.reduce(list(self.limits.values()))
        return cap

    def legal(self, weight: IntArray, bits: int) -> bool:
        """Whether sums of ``weight`` cannot wrap and Lava computes it as stored."""
        return bool(self.sums(weight).max() <= SUM_MAX) and self.computed_as_stored(weight, bits)

    def sums(self, weight: A) -> FloatArray:
        """Largest ``|sum|`` of every row of ``weight``, its own spikes included."""
        given, recurrent = self.parts(weight)
        found: FloatArray = row_bounds(given, self.span).astype(np.float64)
        return found if recurrent is None else found + row_bounds(recurrent)

    def parts(self, weight: A) -> tuple[A, A | None]:
        """The weights of what the layer is given, and those of its own spikes."""
        if not self.own:
            return weight, None
        return weight[:, : -self.own], weight[:, -self.own :]

    def computed_as_stored(self, weight: IntArray, bits: int) -> bool:
        """Whether Lava keeps the matrices of the whole layer, relays included, as they are."""
        return isinstance(self.map, Window) or not lossless_dense(*self.parts(self.with_relays(weight, bits)))

    def with_relays(self, weight: IntArray, bits: int) -> IntArray:
        """``weight`` with the rows of the relays, which take the largest weight."""
        if not len(self.relays):
            return weight
        return np.concatenate([weight, largest_weight(bits) * (self.relays != 0)])


def largest_weight(bits: int) -> int:
    """The end of the range of weights of ``bits`` bits, ``256 - 2^(9 - bits)``."""
    return weight_range(bits)[2]


def integers(task: LayerTask, scale: FloatArray, chosen_by: str, bits: int) -> Candidate:
    """The nearest integers at ``scale``."""
    weight = round_weights(task.map.weight, scale, bits)
    return Candidate(
        scale, chosen_by, weight, round_bias(task.map.bias, scale), round_threshold(task.layer, scale)
    )


def as_they_are(task: LayerTask, bits: int) -> Candidate | None:
    """The layer's own numbers where they are integers of ``bits`` bits at a power of two already; None where
    they are not, or break a limit."""
    largest = float(np.abs(task.map.weight).max())
    if not largest:
        return None
    scale = np.asarray(2.0 ** np.floor(np.log2(largest_weight(bits) / largest)))
    found = integers(task, scale, "given", bits)
    exact = bool(
        (found.weight == task.map.weight * scale).all() and (found.bias == task.map.bias * scale).all()
    )
    legal = bool((scale <= task.cap).all()) and task.legal(found.weight, bits)
    return found if exact and legal else None


def only_relays(task: LayerTask, bits: int) -> Candidate:
    """What is left of a layer of relays: no weights, and a threshold of half of theirs."""
    none = np.zeros(0, np.int64)
    threshold = np.asarray(largest_weight(bits) // 2, np.int64)
    return Candidate(np.ones(()), "relays", task.map.weight.astype(np.int64), none, threshold)


def trained_candidate(task: LayerTask, scale: float, bits: int) -> Candidate | None:
    """The integers that the layer was trained with at ``scale``; None when its weights are others, or break a
    limit."""
    candidate = integers(task, np.asarray(scale), "trained", bits)
    linear = task.map
    off = np.abs(candidate.weight - linear.weight * scale).max()
    off_bias = np.abs(candidate.bias - linear.bias * scale).max()
    legal = (
        max(off, off_bias) < _OFF_GRID
        and np.abs(candidate.bias).max() <= BIAS_MAX
        and task.legal(candidate.weight, bits)
    )
    return candidate if legal else None


def round_weights(weight: FloatArray, scale: float | FloatArray, bits: int) -> IntArray:
    """Integer weights of ``weight`` at ``scale``: multiples of ``2^(9 - bits)`` in ``[-256, 256 - step]``."""
    scaled = torch.from_numpy(weight * wide(scale, weight.ndim))
    rounded: IntArray = round_to_grid(scaled, bits).numpy().astype(np.int64)
    return rounded


def round_bias(bias: FloatArray, scale: float | FloatArray) -> IntArray:
    """Integer biases at ``scale``."""
    found: IntArray = np.rint(bias * scale).astype(np.int64)
    return found


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


def current_errors(task: LayerTask, candidate: Candidate) -> FloatArray:
    """Mean squared error of the currents of every channel, plus that of the threshold, in real units."""
    wanted = candidate.weight / wide(candidate.scale, task.map.weight.ndim) - task.map.weight
    offset = candidate.bias / candidate.scale - task.map.bias
    return mean_squares(currents(wanted, task.judged), offset) + threshold_error(task.layer, candidate) ** 2


def mean_squares(difference: torch.Tensor, offset: FloatArray) -> FloatArray:
    """Mean of ``(difference + offset)^2`` over the columns of ``difference [N, P]``."""
    moved = difference + torch.from_numpy(offset).float()[:, None]
    errors: FloatArray = moved.square().mean(1, dtype=torch.float64).numpy()
    return errors


def threshold_error(layer: ChipLayer, candidate: Candidate) -> FloatArray:
    """Distance between the threshold wanted and the one of ``candidate``, in real units."""
    if layer.threshold is None or counts_whole_units(layer):
        return np.zeros(())
    return np.abs(candidate.threshold / candidate.scale - layer.threshold)
