"""Turn static images into T time steps. Pure functions ``[B, C, H, W] -> [T, B, C, H, W]``.

Rate and latency coding read intensities ``x`` from 0 (no signal) to 1; direct coding reads any values.
"""

from __future__ import annotations

import torch

from snn_deploy.processes.share import drawn

_RESOLUTION = 24  # bits of a uniform number: what float32 holds exactly
_WEYL = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64
_MIX = ((30, -4658895280553007687), (27, -7723592293110705685))  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def direct(x: torch.Tensor, timesteps: int) -> torch.Tensor:
    """The image itself at every step: ``s[t] = x``. A view without copies (its stride over T is 0).

    The first layer then turns intensities into spikes. Source: Rueckauer et al. 2017, section 2.2.1
    ("analog input"); the usual coding of directly trained networks.
    """
    return x.expand(timesteps, *x.shape)


def rate(x: torch.Tensor, timesteps: int, generator: torch.Generator) -> torch.Tensor:
    """Independent spikes whose probability is the intensity: ``s[t] ~ Bernoulli(x)``.

    The Poisson coding of discrete time: counts over T steps are ``Binomial(T, x)``. The generator may be
    on another device than ``x``.
    """
    where = generator.device
    noise = drawn(
        generator,
        len(x),
        lambda n: torch.rand((timesteps, n, *x.shape[1:]), generator=generator, device=where),
        axis=1,
    )
    return (noise.to(x.device) < x).to(x.dtype)


def repeatable_rate(x: torch.Tensor, timesteps: int, samples: torch.Tensor) -> torch.Tensor:
    """:func:`rate` with fixed noise: a sample gets the same spikes in every batch and on every device.

    ``s[t, b] = 1 if u(samples[b], t, c, h, w) < x else 0`` with the hash ``u`` of :func:`hashed_uniform`;
    ``samples [B]`` numbers the samples of the data set. A longer T begins with the steps of a shorter one.
    """
    size = x[0].numel()
    position = torch.arange(size, device=x.device)
    keys = samples.to(x.device)[:, None]
    steps = [
        hashed_uniform(keys, position + t * size).reshape(x.shape).lt(x).to(x.dtype) for t in range(timesteps)
    ]
    return torch.stack(steps)


def latency(x: torch.Tensor, timesteps: int) -> torch.Tensor:
    """One spike per pixel, the earlier the brighter; a pixel of intensity 0 stays silent.

    ``s[t] = 1 if x > 0 and t == floor((1 - x) (T - 1) + 1/2) else 0``, t = 0 .. T-1: time to first spike
    (Thorpe, Delorme and Van Rullen 2001). The linear map from intensity to time, and the silence of 0, are
    our choice.
    """
    time = ((1 - x.clamp(0, 1)) * (timesteps - 1) + 0.5).floor()
    time = torch.where(x > 0, time, timesteps)
    steps = torch.arange(timesteps, device=x.device).view(-1, *([1] * x.dim()))
    return (steps == time).to(x.dtype)


def hashed_uniform(key: torch.Tensor, counter: torch.Tensor) -> torch.Tensor:
    """Numbers in [0, 1) that depend on ``(key, counter)`` only (int64, broadcast): multiples of 2^-24.

    The mixing function of SplitMix64 (Steele, Lea and Flood 2014), once over the key and once over its
    result plus the counter; integer arithmetic, so every device gives the same numbers.
    """
    mixed = _mix(_mix(key * _WEYL) + counter * _WEYL)
    return _shift(mixed, 64 - _RESOLUTION).to(torch.float32) * 2.0**-_RESOLUTION


def _mix(z: torch.Tensor) -> torch.Tensor:
    for bits, factor in _MIX:
        z = (z ^ _shift(z, bits)) * factor
    return z ^ _shift(z, 31)


def _shift(z: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift to the right of 64-bit words."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
