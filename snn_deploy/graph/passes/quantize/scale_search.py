r"""Search for the scale S of a layer, or of each of its channels.

S is the candidate with the least mean squared error of the currents that calibration spikes cause, the error
of the threshold added: the largest weight at the end of the range, percentiles of the weights there, and a
geometric grid around them, each with weights rounded to the nearest integers and with weights that make up
for each other's errors (:mod:`snn_deploy.graph.passes.quantize.compensation`).

The search goes from coarse to fine. All candidates are tried on a few channels: those with the largest
weights, which a scale clips first, and some of the others, which count for the rest. The best of them are
then made for the whole layer, and the integer weights of the winners get the scale that fits them best. The
choice of candidates and of how many are kept is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from snn_deploy.graph.lava.rules import SUM_MAX, WEIGHT_MIN
from snn_deploy.graph.passes.quantize.candidates import (
    Candidate,
    LayerTask,
    current_errors,
    integers,
    largest_weight,
    mean_squares,
    round_bias,
    round_threshold,
    threshold_error,
    wide,
)
from snn_deploy.graph.passes.quantize.columns import columns, currents
from snn_deploy.graph.passes.quantize.compensation import Correlations, compensated, correlations
from snn_deploy.graph.passes.to_chip.windows import FloatArray

_PERCENTILES = (99.9, 99.5, 99.0)
_GRID = tuple(2.0 ** (k / 16) for k in range(-12, 25))
_BELOW = (0.999, 0.995, 0.985)
"""Of the largest scale that keeps the limits, where rounding may just break one."""
_FEW = 48
"""Channels on which all are tried: a quarter each have the largest weights and the largest sums."""
_MADE_UP_ROWS = 1024
"""Channels times scales, the best with the nearest integers, that are tried with compensated ones."""
_FINALISTS = 3
"""Of each kind, that are made for the whole layer."""
_WORK = 1 << 33
"""Products of two inputs that correlations are taken from, as far as they are not fewer than two columns for
each input."""

Named = tuple[str, FloatArray]
"""Who proposed a scale, and the scale: one number, or one per channel."""


@dataclass(frozen=True, slots=True, eq=False)
class _Few:
    """Some channels of a layer as a task of their own; ``shares [N]`` is how many each stands for."""

    task: LayerTask
    shares: FloatArray

    def error(self, candidate: Candidate) -> float:
        """Estimated error of the whole layer."""
        errors = np.broadcast_to(current_errors(self.task, candidate), self.shares.shape)
        return float(errors @ self.shares / self.shares.sum())


class _Finals:
    """Candidates for the whole layer, each with its error at its own scale and at the one that fits best."""

    def __init__(self, task: LayerTask) -> None:
        self._task = task
        self._wanted = currents(task.map.weight, task.judged)
        self._found: list[tuple[float, Candidate]] = []

    def enter(self, candidate: Candidate) -> None:
        """``candidate``, and the same integers at the scale that fits them best."""
        sums = currents(candidate.weight, self._task.judged)
        for version in (candidate, _fitted(self._task, candidate, sums, self._wanted)):
            real = torch.from_numpy(wide(1 / version.scale, 2)).float()
            offset = version.bias / version.scale - self._task.map.bias
            errors = mean_squares(sums * real - self._wanted, offset)
            errors = errors + threshold_error(self._task.layer, version) ** 2
            self._found.append((float(errors.mean()), version))

    def winner(self) -> Candidate:
        """The first of those with the least error."""
        return min(self._found, key=lambda entry: entry[0])[1]


def best_candidate(
    task: LayerTask, bits: int, *, per_channel: bool = False, nearest: bool = False
) -> Candidate | None:
    """The legal candidate with the least error found, the first of equals; with ``per_channel`` each channel
    takes the scale that is best for itself; with ``nearest`` only of the nearest integers. None where no
    scale keeps the limits."""
    if not task.map.weight.any():
        return None
    if not task.judged.any():
        return _widest_legal(task, bits)
    few = _few(task)
    ranked = _ranked(few, [integers(few.task, scale, name, bits) for name, scale in _scales(task, bits)])
    rounded = (integers(task, scale, name, bits) for name, scale in ranked)
    best = list(islice((c for c in rounded if task.legal(c.weight, bits)), _FINALISTS))
    if not best:
        return None
    if per_channel and task.layer.threshold is not None:
        best = [_best_of_every_channel(task, best[0], bits)]
        ranked = [(best[0].chosen_by, best[0].scale)]
    finals = _Finals(task)
    for candidate in best:
        finals.enter(candidate)
    if not nearest and (known := _correlations(task)):
        for candidate in _compensated(task, few, ranked, known, bits):
            finals.enter(candidate)
    return finals.winner()


def _widest_legal(task: LayerTask, bits: int) -> Candidate | None:
    """The largest scale that clips no weight and keeps all limits: for a layer that sees nothing in
    calibration, where errors of currents say nothing."""
    largest = min(_widest(task.map.weight, bits), float(task.cap.min()))
    tried = (integers(task, np.asarray(largest * f), "unseen", bits) for f in (1.0, *_BELOW))
    return next((candidate for candidate in tried if task.legal(candidate.weight, bits)), None)


def _ranked(few: _Few, candidates: Sequence[Candidate]) -> list[Named]:
    """The scales of ``candidates`` for a few channels, the best first, earlier ones before their equals;
    without those whose sums could wrap."""
    possible = [c for c in candidates if few.task.sums(c.weight).max() <= SUM_MAX]
    ranked = sorted(possible, key=few.error)
    return [(candidate.chosen_by, candidate.scale) for candidate in ranked]


def _correlations(task: LayerTask) -> Correlations | None:
    """What inputs have in common on the frames that do not judge."""
    inputs = task.judged.shape[1]
    entries = min(max(_WORK // inputs, 2 * inputs**2), _WORK >> 10)
    return correlations(columns(task.map, task.seen, task.others, entries))


def _compensated(
    task: LayerTask, few: _Few, named: Sequence[Named], known: Correlations, bits: int
) -> Iterator[Candidate]:
    """Legal candidates whose weights make up for each other's errors, at the best of the scales ``named``."""
    named = named[: max(1, _MADE_UP_ROWS // len(few.shares))]
    if len(named) > _FINALISTS:
        named = _ranked(few, _made_up(few.task, named, known, bits))[:_FINALISTS]
    if not named:
        return
    for candidate in _made_up(task, named, known, bits):
        if task.legal(candidate.weight, bits):
            yield replace(candidate, chosen_by=f"{candidate.chosen_by}, compensated")


def _made_up(task: LayerTask, named: Sequence[Named], known: Correlations, bits: int) -> list[Candidate]:
    """A candidate of compensated weights at each of the scales ``named``."""
    scales = np.stack([scale for _, scale in named])
    found = compensated(task.map.weight, known, scales, bits).numpy().astype(np.int64)
    return [
        Candidate(scale, name, weight, round_bias(task.map.bias, scale), round_threshold(task.layer, scale))
        for (name, scale), weight in zip(named, found, strict=True)
    ]


def _few(task: LayerTask) -> _Few:
    """The whole of a small or grouped layer, else :data:`_FEW` channels of it."""
    channels, quarter = len(task.map.weight), _FEW // 4
    if channels <= 2 * _FEW or task.judged.shape[0] > 1:
        return _Few(task, np.ones(channels))
    largest = np.argsort(-np.abs(task.map.weight.reshape(channels, -1)).max(1), kind="stable")
    sums = np.argsort(-task.sums(task.map.weight), kind="stable")
    heavy = np.union1d(largest[:quarter], sums[:quarter])
    light = largest[~np.isin(largest, heavy)]
    light = light[np.linspace(0, len(light) - 1, _FEW - len(heavy)).round().astype(np.int64)]
    chosen = np.concatenate([heavy, light])
    shares = np.concatenate([np.ones(len(heavy)), np.full(len(light), (channels - len(heavy)) / len(light))])
    linear = replace(task.map, weight=task.map.weight[chosen], bias=task.map.bias[chosen])
    return _Few(replace(task, map=linear), shares)


def _scales(task: LayerTask, bits: int) -> Iterator[Named]:
    """The scales that are tried for all channels together, none above the limits."""
    weight, cap = task.map.weight, float(task.cap.min())
    widest = _widest(weight, bits)
    magnitudes = np.abs(weight[weight != 0])
    scales = [("max-abs", widest)]
    scales += [
        (f"percentile {p}", largest_weight(bits) / value)
        for p, value in zip(_PERCENTILES, np.percentile(magnitudes, _PERCENTILES), strict=True)
    ]
    scales += [("mse", min(widest, cap) * factor) for factor in _GRID]
    scales += [("mse", cap * factor) for factor in _BELOW]
    scales += [(f"limit: {name}", cap) for name, limit in task.limits.items() if limit.min() == cap]
    return ((name, np.asarray(scale, np.float64)) for name, scale in scales if scale <= cap)


def _best_of_every_channel(task: LayerTask, best: Candidate, bits: int) -> Candidate:
    """The best scale of every channel, ``best`` where a channel has no better one."""
    channels = len(task.map.weight)
    scale, least = np.full(channels, best.scale), current_errors(task, best)
    for tried in _channel_scales(task, bits):
        candidate = integers(task, np.minimum(tried, task.cap), "channel", bits)
        errors = current_errors(task, candidate)
        better = (errors < least) & (task.sums(candidate.weight) <= SUM_MAX)
        scale, least = np.where(better, candidate.scale, scale), np.where(better, errors, least)
    found = integers(task, scale, "channel", bits)
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


def _fitted(task: LayerTask, candidate: Candidate, sums: torch.Tensor, wanted: torch.Tensor) -> Candidate:
    r"""The same integer weights, whose currents are ``sums [N, P]``, with the scale that fits them best: S
    enters only the threshold and the bias, so
    :math:`1 / S = \langle W_q x, W x \rangle / \langle W_q x, W_q x \rangle` costs nothing."""
    product = (sums * wanted).sum(1, dtype=torch.float64).numpy()
    square = sums.square().sum(1, dtype=torch.float64).numpy()
    if candidate.scale.ndim:
        fitted = np.where(product > 0, square / np.where(product > 0, product, 1), candidate.scale)
        scale = np.minimum(fitted, task.cap)
    elif product.sum() > 0:
        scale = np.asarray(min(square.sum() / product.sum(), task.cap.min()))
    else:
        return candidate
    return replace(
        candidate,
        scale=scale,
        chosen_by=f"{candidate.chosen_by}, fitted",
        bias=round_bias(task.map.bias, scale),
        threshold=round_threshold(task.layer, scale),
    )
