from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.data.augment.encode import direct, hashed_uniform, latency, rate, repeatable_rate

SIGMAS = 5.0


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed=0, shape=(3, 2, 4, 5)):
    return torch.randint(0, 256, shape, generator=generator(seed)) / 255


def test_direct_repeats_without_copies():
    x = torch.randn(3, 2, 4, 5)
    y = direct(x, 6)
    assert y.shape == (6, 3, 2, 4, 5)
    assert all(torch.equal(step, x) for step in y)
    assert y.data_ptr() == x.data_ptr()
    assert y.stride(0) == 0


def bernoulli(x, timesteps, kind):
    if kind == "rate":
        return rate(x, timesteps, generator(1))
    return repeatable_rate(x, timesteps, torch.arange(len(x)))


def correlation(a, b):
    """Of two equally long rows, in units of its standard deviation when they are independent."""
    a, b = (row.double().flatten() - row.double().mean() for row in (a, b))
    return (a @ b / (a.norm() * b.norm())).item() * math.sqrt(a.numel())


@pytest.mark.parametrize("kind", ["rate", "repeatable"])
@pytest.mark.parametrize("level", [0, 1, 26, 128, 254, 255])
def test_rate_is_the_intensity(kind, level):
    p = level / 255
    spikes = bernoulli(torch.full((50, 1, 20, 20), p), 10, kind)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    n = spikes.numel()
    assert abs(spikes.double().sum().item() - n * p) <= SIGMAS * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("kind", ["rate", "repeatable"])
def test_counts_over_time_are_binomial(kind):
    # Chi-square against Binomial(8, 0.3): fails for any dependence between the steps of a pixel.
    counts = bernoulli(torch.full((40, 1, 25, 25), 0.3), 8, kind).sum(0).flatten()
    observed = torch.bincount(counts.long(), minlength=9).double()
    expected = counts.numel() * torch.tensor([math.comb(8, k) * 0.3**k * 0.7 ** (8 - k) for k in range(9)])
    chi_square = ((observed - expected) ** 2 / expected).sum().item()
    assert chi_square < 8 + SIGMAS * math.sqrt(2 * 8)


@pytest.mark.parametrize("kind", ["rate", "repeatable"])
def test_steps_samples_and_pixels_are_independent(kind):
    spikes = bernoulli(torch.full((60, 3, 16, 16), 0.5), 6, kind)
    shifted = {
        "next step": (spikes[1:], spikes[:-1]),
        "next sample": (spikes[:, 1:], spikes[:, :-1]),
        "next channel": (spikes[:, :, 1:], spikes[:, :, :-1]),
        "next row": (spikes[..., 1:, :], spikes[..., :-1, :]),
        "next column": (spikes[..., 1:], spikes[..., :-1]),
    }
    for name, (a, b) in shifted.items():
        assert abs(correlation(a, b)) < SIGMAS, name


def test_rate_follows_its_generator():
    x = images()
    assert torch.equal(rate(x, 4, generator(3)), rate(x, 4, generator(3)))
    assert not torch.equal(rate(x, 4, generator(3)), rate(x, 4, generator(4)))
    same = generator(3)
    assert not torch.equal(rate(x, 4, same), rate(x, 4, same))


def test_repeatable_rate_does_not_see_the_batch():
    x = images(shape=(6, 2, 4, 5))
    samples = torch.tensor([7, 0, 12_345, 3, 2, 1])
    whole = repeatable_rate(x, 5, samples)
    order = torch.tensor([4, 2, 0])
    assert torch.equal(repeatable_rate(x[order], 5, samples[order]), whole[:, order])
    assert torch.equal(repeatable_rate(x, 3, samples), whole[:3])
    assert not torch.equal(repeatable_rate(x, 5, samples + 1), whole)


def splitmix64(state):
    """The generator's output function in exact integers."""
    mask = (1 << 64) - 1
    state &= mask
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
    state = (state ^ state >> 27) * 0x94D049BB133111EB & mask
    return state ^ state >> 31


def test_hash_starts_like_the_published_splitmix64():
    # Its first output from seed 0 is 0xE220A8397B1DCDAF; we keep the upper 24 bits.
    assert hashed_uniform(torch.tensor(0), torch.tensor(1)).item() == (0xE220A8397B1DCDAF >> 40) / 2**24


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_hash_equals_exact_integers(key, counter):
    weyl = 0x9E3779B97F4A7C15
    expected = splitmix64(splitmix64(key * weyl) + counter * weyl) >> 40
    assert hashed_uniform(torch.tensor(key), torch.tensor(counter)).item() * 2**24 == expected


def test_hash_is_uniform():
    u = hashed_uniform(torch.arange(200)[:, None], torch.arange(1000))
    assert u.min() >= 0
    assert u.max() < 1
    counts = torch.bincount((u * 256).long().flatten(), minlength=256).double()
    expected = u.numel() / 256
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert abs(chi_square - 255) < SIGMAS * math.sqrt(2 * 255)


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(1, 20))
def test_latency_of_every_grey_level(level, timesteps):
    spikes = latency(torch.full((1, 1, 1, 1), level / 255), timesteps).flatten().tolist()
    exact = (1 - Fraction(level, 255)) * (timesteps - 1)
    expected = [0.0] * timesteps
    if level:
        expected[math.floor(exact + Fraction(1, 2))] = 1.0
    assert spikes == expected


def test_latency_of_a_batch():
    x = torch.tensor([[[[1.0, 0.0], [0.5, 2 / 3]]], [[[1 / 3, 0.01], [-1.0, 2.0]]]])
    times = latency(x, 4).argmax(0)
    silent = latency(x, 4).sum(0) == 0
    assert times[~silent].tolist() == [0, 2, 1, 2, 3, 0]
    assert silent.flatten().tolist() == [False, True, False, False, False, False, True, False]
