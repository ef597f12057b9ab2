from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from snn_deploy.data.augment.frames import (
    NDA_ANGLE,
    augment,
    cut_out,
    random_drop,
    random_flip,
    random_nda,
    random_shift,
    random_time_jitter,
    random_turn,
    transform,
    turning,
)
from snn_deploy.data.options.frames import AugmentOptions

EVERYTHING = AugmentOptions(
    flip=True, rotate=30, zoom=0.2, nda=True, shift=2, cutout=3, time_jitter=1, drop=0.2
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def spikes(T=3, B=4, C=2, H=7, W=9, seed=1):
    return (torch.rand(T, B, C, H, W, generator=generator(seed)) < 0.3).float()


@given(seed=st.integers(0, 2**31), most=st.integers(0, 4), B=st.integers(1, 5))
def test_shift_moves_each_sample_as_a_whole(seed, most, B):
    x = torch.rand(3, B, 2, 4, 5, generator=generator(1)) + 1
    shifted = random_shift(x, generator(seed), most)
    draw = torch.randint(0, 2 * most + 1, (2, B, 1), generator=generator(seed))[..., 0] - most
    expected = torch.zeros_like(x)
    for b in range(B):
        dy, dx = draw[:, b].tolist()
        for i in range(4):
            for j in range(5):
                if 0 <= i + dy < 4 and 0 <= j + dx < 5:
                    expected[:, b, :, i, j] = x[:, b, :, i + dy, j + dx]
    assert torch.equal(shifted, expected)
    assert shifted.is_contiguous()


def test_every_shift_occurs_about_equally():
    x = torch.zeros(1, 9000, 1, 3, 3)
    x[..., 1, 1] = 1
    where = random_shift(x, generator(), 1).mean(1)[0, 0]
    # Nine places, each with probability 1/9; five standard deviations of a frequency of 9000 draws.
    assert torch.allclose(where, torch.full((3, 3), 1 / 9), atol=5 * (8 / 81 / 9000) ** 0.5)


def test_drop_silences_a_share_of_its_own_in_every_sample():
    x = torch.ones(4, 400, 2, 10, 10)
    kept = random_drop(x, generator(), 0.6)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(kept[0], kept[1])
    shares = 1 - kept.mean((0, 2, 3, 4))
    # Each is a uniform draw plus the noise of 800 entries; ten bins of [0, 0.6) hold 40 samples each.
    assert shares.max() < 0.6 + 5 * (0.24 / 800) ** 0.5
    bins = torch.histc(shares, 10, 0, 0.6)
    assert (bins - 40).abs().max() < 5 * 36**0.5
    early, late = (1 - kept[half].mean((0, 2, 3, 4)) for half in (slice(2), slice(2, 4)))
    assert (early - late).abs().max() < 6 * (2 * 0.24 / 400) ** 0.5


@given(seed=st.integers(0, 2**31))
def test_flip_mirrors_whole_samples(seed):
    x = spikes()
    flipped = random_flip(x, generator(seed))
    for b in range(x.shape[1]):
        assert any(torch.equal(flipped[:, b], y) for y in (x[:, b], x[:, b].flip(-1)))


def test_half_of_the_samples_are_flipped():
    x = torch.zeros(1, 4000, 1, 1, 2)
    x[..., 0] = 1
    share = random_flip(x, generator()).mean((0, 1, 2, 3))[1].item()
    assert abs(share - 0.5) < 5 * (0.25 / 4000) ** 0.5


def transformed_by_definition(x, matrix):
    """Entry by entry, from the docstring; None where the nearest pixel is not certain."""
    _, B, _, H, W = x.shape
    result, certain = torch.zeros_like(x), torch.zeros(B, H, W, dtype=torch.bool)
    for b in range(B):
        (a, c), (d, e) = matrix[b].double().tolist()
        for i in range(H):
            for j in range(W):
                u, v = j - (W - 1) / 2, i - (H - 1) / 2
                column, row = a * u + c * v + (W - 1) / 2, d * u + e * v + (H - 1) / 2
                near = [abs(place - math.floor(place) - 0.5) for place in (row, column)]
                certain[b, i, j] = min(near) > 1e-3
                if 0 <= round(row) < H and 0 <= round(column) < W:
                    result[:, b, :, i, j] = x[:, b, :, round(row), round(column)]
    return result, certain


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), H=st.integers(1, 8), W=st.integers(1, 8))
def test_transform_equals_its_definition(seed, H, W):
    x = spikes(2, 3, 2, H, W, seed)
    matrix = torch.randn(3, 2, 2, generator=generator(seed + 1))
    expected, certain = transformed_by_definition(x, matrix)
    moved = transform(x, matrix)
    assert moved.is_contiguous()
    mask = certain[None, :, None].expand_as(x)
    assert torch.equal(moved[mask], expected[mask])


def test_turns_by_hand():
    x = spikes(H=8, W=8)
    quarter = turning(torch.full((4,), math.pi / 2))
    assert torch.equal(transform(x, quarter), x.rot90(1, (-2, -1)))
    assert torch.equal(transform(x, turning(torch.zeros(4))), x)
    assert torch.equal(random_turn(x, generator(), 0.0, 0.0), x)


def test_zoom_magnifies():
    x = torch.zeros(1, 500, 1, 21, 21)
    x[..., 7:14, 7:14] = 1
    sides = random_turn(x, generator(), 0.0, 0.4).amax(3).sum((0, 2, 3))
    assert (sides.min(), sides.max()) == (
        5,
        9,
    )  # 7 times 0.6 is 4.2, times 1.4 is 9.8, on odd numbers of pixels


@given(top=st.integers(-3, 8), left=st.integers(-3, 10), side=st.integers(0, 9))
def test_cutout_empties_a_square_and_nothing_else(top, left, side):
    x = spikes(B=1) + 1
    cut = cut_out(x, *(torch.tensor([v]) for v in (top, left, side)))
    expected = x.clone()
    expected[..., max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
    assert torch.equal(cut, expected)


def test_cutout_has_its_size_and_comes_everywhere():
    x = torch.ones(1, 2000, 1, 8, 8)
    holes = 1 - augment(x, generator(), AugmentOptions(cutout=3))[0, :, 0]
    assert holes.sum((1, 2)).max() == 9
    assert holes.sum((1, 2)).min() >= 4
    assert (holes.mean(0) > 0.02).all()


@given(seed=st.integers(0, 2**31), most=st.integers(1, 4))
def test_time_jitter_delays_each_pixel_by_itself(seed, most):
    x = torch.arange(1.0, 6).view(5, 1, 1, 1, 1).expand(5, 2, 2, 3, 3).contiguous()
    late = random_time_jitter(x, generator(seed), most).flatten(1).T
    seen = set()
    for series in late.tolist():
        delays = {int(k + 1 - value) for k, value in enumerate(series) if value}
        assert len(delays) == 1
        (delay,) = delays
        assert series == [k + 1 - delay if 1 <= k + 1 - delay <= 5 else 0 for k in range(5)]
        seen.add(delay)
    assert max(map(abs, seen)) <= most


def test_nda_changes_each_sample_in_one_of_four_ways():
    x = torch.zeros(2, 800, 1, 32, 32)
    x[..., 8:24, 15:17] = 1  # a bar
    changed = random_nda(x, generator())
    assert set(changed.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(changed[0], changed[1])
    kinds = dict.fromkeys(("same or roll", "cutout", "turn or shear"), 0)
    offsets = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    rolls = torch.stack([x[0, 0, 0].roll(offset, (0, 1)) for offset in offsets])
    for sample in changed[0, :, 0]:
        if (sample == rolls).flatten(1).all(1).any():
            kinds["same or roll"] += 1
        elif (sample <= x[0, 0, 0]).all():
            kinds["cutout"] += 1
        else:
            kinds["turn or shear"] += 1
    # A quarter is rolled and half is turned or sheared, some too little to see; most squares miss the bar.
    assert 160 < kinds["same or roll"] < 560
    assert kinds["cutout"] > 5
    assert 200 < kinds["turn or shear"] < 440
    # No event is further from the bar's middle line than the limits allow.
    lean = 8 * math.tan(math.radians(NDA_ANGLE)) + 2
    columns = changed.amax((0, 1, 2, 3)).nonzero()[:, 0] - 15.5
    assert columns.abs().max() <= lean + 1


def test_same_generator_same_result_and_input_untouched():
    x = torch.rand(2, 3, 2, 6, 6)
    before = x.clone()
    first, second = (augment(x, generator(5), EVERYTHING) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(x, before)
    assert not torch.equal(first, augment(x, generator(6), EVERYTHING))
    assert first.is_contiguous()


def test_spikes_stay_spikes():
    x = spikes(T=5, B=16, H=12, W=10)
    assert set(augment(x, generator(), EVERYTHING).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotate": 181},
        {"rotate": -1},
        {"zoom": 1},
        {"shift": -1},
        {"cutout": -1},
        {"time_jitter": -1},
        {"drop": 1},
    ],
)
def test_impossible_strengths_are_refused(wrong):
    with pytest.raises(ValidationError):
        AugmentOptions(**wrong)


def test_no_augmentation_draws_nothing():
    x, g = torch.rand(2, 3, 2, 6, 6), generator()
    assert augment(x, g, AugmentOptions()) is x
    assert torch.equal(g.get_state(), generator().get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cpu_generator_gives_the_same_on_a_device():
    x = torch.rand(2, 3, 2, 6, 6)
    options = EVERYTHING.model_copy(update={"rotate": 0.0, "zoom": 0.0, "nda": False})
    on_device = augment(x.cuda(), generator(5), options)
    assert torch.equal(on_device.cpu(), augment(x, generator(5), options))
