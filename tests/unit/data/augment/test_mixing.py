from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from snn_deploy.data.augment.mixing import Mix, draw_cutmix, draw_mixup, mixed, rectangle

PAIR = torch.tensor([1, 0])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mixup_by_hand() -> None:
    x = torch.tensor([[[1.0], [2.0], [4.0]], [[10.0], [20.0], [40.0]]])[..., None, None]  # T = 2, B = 3
    inputs, labels = mixed(x, torch.eye(3), Mix(torch.tensor([1, 2, 2]), 0.75))
    assert inputs.flatten().tolist() == [1.25, 2.5, 4.0, 12.5, 25.0, 40.0]
    assert labels.tolist() == [[0.75, 0.25, 0], [0, 0.75, 0.25], [0, 0, 1]]


def test_cutmix_by_hand() -> None:
    # 1 - l = 1/4: half of each side of 4 x 6, so 2 x 3 pixels, from (1, 1) about the centre (2, 2).
    x = torch.stack([torch.zeros(1, 4, 6), torch.ones(1, 4, 6)])[None].repeat(3, 1, 1, 1, 1)
    mix = Mix(PAIR, 0.75, (0.5, 0.4))
    assert rectangle(mix, 4, 6) == (slice(1, 3), slice(1, 4))
    inputs, labels = mixed(x, torch.eye(2), mix)
    assert inputs[2, 0, 0].tolist() == [
        [0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]
    ]  # fmt: skip
    assert torch.equal(inputs[:, 1], 1 - inputs[:, 0])
    torch.testing.assert_close(labels, torch.tensor([[0.75, 0.25], [0.25, 0.75]]))


def test_what_lies_outside_the_image_is_cut_off_and_not_counted() -> None:
    # The square of 2 x 2 about the corner (0, 0) shows one pixel of 16.
    mix = Mix(PAIR, 0.75, (0.0, 0.0))
    assert rectangle(mix, 4, 4) == (slice(0, 1), slice(0, 1))
    _, labels = mixed(torch.zeros(1, 2, 1, 4, 4), torch.eye(2), mix)
    assert labels[0].tolist() == [15 / 16, 1 / 16]


@given(
    st.floats(0, 1), st.floats(0, 0.999), st.floats(0, 0.999), st.integers(1, 9), st.integers(1, 9),
    st.integers(0, 2**16),
)  # fmt: skip
def test_labels_are_the_shares_of_the_pixels(
    share: float, y: float, x: float, height: int, width: int, seed: int
) -> None:
    images = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(2, 4, 3, height, width)
    order = torch.randperm(4, generator=generator(seed))
    inputs, labels = mixed(images, torch.eye(4), Mix(order, share, (y, x)))
    for sample in range(4):
        shares = [(inputs[:, sample] == number).float().mean().item() for number in range(4)]
        assert labels[sample].tolist() == pytest.approx(shares, abs=1e-6)
    assert torch.equal(images[:, :, 0, 0, 0], torch.arange(4.0).expand(2, 4))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    source = generator(3)
    shares = [draw_mixup(2, alpha, source).l for _ in range(2000)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-4


def test_partners_and_centres_are_uniform_and_repeatable() -> None:
    drawn = [draw_cutmix(3, 1.0, generator(seed)) for seed in range(600)]
    again = draw_cutmix(3, 1.0, generator(7))
    assert torch.equal(drawn[7].order, again.order) and drawn[7][1:] == again[1:]
    places = [axis for mix in drawn if mix.centre for axis in mix.centre]
    assert stats.kstest(places, "uniform").pvalue > 1e-4
    orders = [tuple(mix.order.tolist()) for mix in drawn]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6 and stats.chisquare(counts).pvalue > 1e-4
