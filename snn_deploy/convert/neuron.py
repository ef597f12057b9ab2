r"""The neuron that stands for a rectifier, and the two ways to choose its threshold.

An integrate-and-fire neuron with threshold :math:`\theta`, reset by subtraction and start :math:`v(0) = \phi
\theta` sees the current :math:`a_t`, in the units of the ANN, for T steps:

.. math::
    h_t = v_{t-1} + a_t, \qquad s_t = [h_t \ge \theta], \qquad v_t = h_t - \theta s_t

Its output is :math:`y = \theta N / T` with :math:`N = \sum_t s_t`. Where the current is the same in every
step, and :math:`0 \le \phi < 1`,

.. math::
    N = \mathrm{clip}(\lfloor a T / \theta + \phi \rfloor, 0, T)

which for :math:`\phi = 1/2` is the quantised ReLU of Bu et al., ICLR 2022 (eq. 9). Where spikes arrive
unevenly it is not: a neuron may fire before its inhibition comes, or too late to fire often enough.

``theta`` and ``start`` (:math:`\phi`) hold one number per channel, ``[C]``; activations are ``[B, C, ...]``
and currents ``[T, B, C, ...]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

SHARES = torch.linspace(0.1, 1.0, 37)
"""Thresholds to try, as shares of the largest activation: our choice."""

START = 0.5
POSITIONS = 64
"""Positions of an image that are run to choose between thresholds and starts; our choice."""
SMALLEST = 1e-6
"""Least threshold; a channel is silent whose activations stay below this share of the layer's largest."""


def per_channel(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``value [C]`` as it broadcasts to ``like [B, C, ...]``."""
    return value.view(1, -1, *[1] * (like.ndim - 2))


def channels(x: torch.Tensor) -> torch.Tensor:
    """``[B, C, ...] -> [C, B ...]``."""
    return x.transpose(0, 1).flatten(1)


def channel_mean(x: torch.Tensor) -> torch.Tensor:
    """Mean over everything but channels: ``[B, C, ...] -> [C]``, in float64."""
    return channels(x).double().mean(1)


def quantised(
    a: torch.Tensor, theta: torch.Tensor, timesteps: int, start: torch.Tensor | float = START
) -> torch.Tensor:
    """The output for an even current ``a [B, C, ...]``: ``theta / T clip(floor(a T / theta + start), 0,
    T)``."""
    step = per_channel(theta, a) / timesteps
    shift = per_channel(start, a) if isinstance(start, torch.Tensor) else start
    return (a / step + shift).floor().clamp(0, timesteps) * step


def fired(current: torch.Tensor, theta: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Spikes, bool ``[T, B, C, ...]``."""
    high = per_channel(theta, current[0])
    v = (high * per_channel(start, current[0])).expand_as(current[0]).clone()
    spikes = torch.empty(current.shape, dtype=torch.bool)
    for now, s in zip(current, spikes, strict=True):
        v += now
        torch.ge(v, high, out=s)
        v.sub_(high * s)
    return spikes


def output(current: torch.Tensor, theta: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """``theta N / T``, ``[B, C, ...]``."""
    high = per_channel(theta, current[0])
    v = (high * per_channel(start, current[0])).expand_as(current[0]).clone()
    total, s = torch.zeros_like(v), torch.empty_like(v)
    for now in current:
        v += now
        torch.ge(v, high, out=s)
        s *= high
        v -= s
        total += s
    return total / len(current)


def thinned(x: torch.Tensor) -> torch.Tensor:
    """At most about 64 positions of ``x [..., H, W]``, spread evenly; vectors stay whole."""
    height, width = x.shape[-2:]
    step = max(1, round(((height * width) / POSITIONS) ** 0.5))
    return x[..., step // 2 :: step, step // 2 :: step]


def thresholds(a: torch.Tensor, timesteps: int, *, each_channel: bool = True) -> torch.Tensor:
    """``theta [C]`` with the least squared error of the quantised activations ``a [B, C, ...]``, one for all
    channels unless ``each_channel``.

    A silent channel gets the layer's largest activation (our choice). Weights are divided by thresholds: a
    small one would make those of a channel that does nothing huge, and integers of one scale per layer would
    round all others to zero.
    """
    largest = channels(a).amax(1)
    most = largest.max().clamp(min=SMALLEST)
    silent = largest < SMALLEST * most
    largest = torch.where(silent, most, largest) if each_channel else most.expand_as(largest)
    best, chosen = torch.full_like(largest, torch.inf), largest.clone()
    for share in SHARES:
        theta = largest * share
        error = (quantised(a, theta, timesteps) - a).pow(2)
        error = channels(error).mean(1) if each_channel else error.mean().expand_as(best)
        better = error < best
        best, chosen = torch.where(better, error, best), torch.where(better, theta, chosen)
    return torch.where(silent, most, chosen) if each_channel else chosen


def searched(
    seen: Iterable[tuple[torch.Tensor, torch.Tensor]],
    theta: torch.Tensor,
    start: torch.Tensor,
    factors: Sequence[float],
    shifts: Sequence[float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Thresholds and starts with the least squared error of the *spiking* output, by channel: all pairs of
    ``theta`` times a factor and ``start`` plus a shift are run on what is ``seen``, parts of (currents
    ``[T, B, C, ...]``, activations ``[B, C, ...]``)."""
    pairs = [(theta * factor, start + shift) for factor in factors for shift in shifts]
    errors = torch.zeros(len(pairs), len(theta), dtype=torch.float64)
    for current, wanted in seen:
        for row, (high, phi) in zip(errors, pairs, strict=True):
            row += channels((output(current, high, phi) - wanted).pow(2)).double().sum(1)
    index = errors.argmin(0)[None]
    return tuple(torch.stack(found).gather(0, index)[0] for found in zip(*pairs, strict=True))  # type: ignore[return-value]
