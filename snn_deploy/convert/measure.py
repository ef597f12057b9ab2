"""What a conversion kept: accuracies of ANN, quantised ANN and spiking network, and errors layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from snn_deploy.convert.ann import Runner
from snn_deploy.convert.calibrate import Converted
from snn_deploy.convert.documents import LayerError
from snn_deploy.convert.neuron import fired, per_channel, quantised
from snn_deploy.convert.values import Spikes, Values

TINY = 1e-30


@torch.no_grad()
def scores(run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, at_once: int) -> torch.Tensor:
    """Scores ``[B, K]`` of ``x [B, *shape]``, part by part."""
    return torch.cat([run(x[i : i + at_once]) for i in range(0, len(x), at_once)])


def quantised_ann(converted: Converted) -> Runner:
    """The ANN whose rectifiers have T levels, with the thresholds that are best on calibration images."""
    runner = Runner(converted.ann)
    for name, theta in converted.even.items():
        runner.functions[name] = partial(quantised, theta=theta, timesteps=converted.timesteps)
    return runner


@torch.no_grad()
def layer_errors(converted: Converted, x: torch.Tensor) -> tuple[LayerError, ...]:
    """Where the layers lose on ``x [B, *shape]``; see :class:`snn_deploy.convert.documents.LayerError`."""
    ann, steps, choices = converted.ann, converted.timesteps, converted.choices
    wanted = Values(ann, ann.nodes, {ann.input: x[None]})
    seen = Values(ann, converted.nodes, {ann.input: x[None]}, choices.max_pool)
    parts = tuple(choices.parts(0, len(x)))
    found = []
    for name in ann.rectifiers:
        theta, start = converted.theta[name], converted.start[name]
        sums = _Sums()
        activations, spikes = [], []
        for part in parts:
            a = wanted.of(name, part)[0]
            current = seen.entering(name, part)
            current = current.expand(steps, *current.shape[1:])
            bits = fired(current, theta, start)
            sums.add(a, current.mean(0), bits, theta, start)
            activations.append(a)
            spikes.append(bits)
        wanted.keep(name, torch.cat(activations)[None])
        seen.keep(name, Spikes(torch.cat(spikes, 1), theta))
        found.append(sums.row(name))
    return tuple(found)


class _Sums:
    """Squared errors of one layer, summed over the samples so far."""

    def __init__(self) -> None:
        self._squares = torch.zeros(6, dtype=torch.float64)
        self._exact = self._all = 0

    def add(
        self,
        a: torch.Tensor,
        mean: torch.Tensor,
        bits: torch.Tensor,
        theta: torch.Tensor,
        start: torch.Tensor,
    ) -> None:
        steps = len(bits)
        clipped = torch.minimum(a, per_channel(theta, a))
        even, arrived = (quantised(value, theta, steps, start) for value in (a, mean))
        given = bits.sum(0) * (per_channel(theta, a) / steps)
        errors = (clipped - a, even - clipped, arrived - even, given - arrived, given - a, a)
        self._squares += torch.stack([error.double().pow(2).sum() for error in errors])
        self._exact += int(((given - arrived).abs() < per_channel(theta, a) / (2 * steps)).sum())
        self._all += a.numel()

    def row(self, name: str) -> LayerError:
        whole = self._squares[-1].clamp(min=TINY)
        clipping, quantisation, arrived, unevenness, total = (self._squares[:-1] / whole).sqrt().tolist()
        return LayerError(
            layer=name,
            clipping=clipping,
            quantisation=quantisation,
            arrived=arrived,
            unevenness=unevenness,
            total=total,
            exact=self._exact / self._all,
        )
