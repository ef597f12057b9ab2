from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.data.augment import AugmentOptions, augment, random_drop, random_shift


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


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


def test_drop_silences_the_stated_share():
    x = torch.ones(4, 50, 2, 10, 10)
    kept = random_drop(x, generator(), 0.3)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert abs(kept.mean().item() - 0.7) < 5 * (0.21 / x.numel()) ** 0.5
    assert not torch.equal(kept[0], kept[1])


def test_same_generator_same_result_and_input_untouched():
    x = torch.rand(2, 3, 2, 6, 6)
    before = x.clone()
    options = AugmentOptions(shift=2, drop=0.2)
    first, second = (augment(x, generator(5), options) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(x, before)
    assert not torch.equal(first, augment(x, generator(6), options))


def test_no_augmentation_draws_nothing():
    x, g = torch.rand(2, 3, 2, 6, 6), generator()
    assert augment(x, g, AugmentOptions()) is x
    assert torch.equal(g.get_state(), generator().get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cpu_generator_gives_the_same_on_a_device():
    x = torch.rand(2, 3, 2, 6, 6)
    options = AugmentOptions(shift=2, drop=0.2)
    on_device = augment(x.cuda(), generator(5), options)
    assert torch.equal(on_device.cpu(), augment(x, generator(5), options))
