from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats

from snn_deploy.data.augment.images import (
    ASPECT_CROP,
    ASPECT_ERASE,
    augment_inputs,
    augment_pixels,
    cutout,
    random_crop,
    random_erasing,
    random_flip,
    random_resized_crop,
)
from snn_deploy.data.options.images import ImageAugmentOptions

EVERYTHING = ImageAugmentOptions(
    resized_crop=(0.3, 1.0),
    crop_padding=2,
    flip=True,
    autoaugment="cifar10",
    erasing=0.5,
    cutout=3,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(samples, height=9, width=7, seed=9):
    shape = (samples, 3, height, width)
    return torch.randint(1, 256, shape, generator=generator(seed)).to(torch.uint8)


def rectangle(mask):
    """``top, left, bottom, right`` of the one full rectangle in ``mask``, or None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    assert mask[top:bottom, left:right].all()
    return int(top), int(left), int(bottom), int(right)


def test_crop_by_brute_force():
    x = noise(2000)
    cropped = random_crop(x, generator(), 2)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = np.stack([padded[:, :, r : r + 9, c : c + 7] for r in range(5) for c in range(5)])
    match = (windows == cropped.numpy()).all((2, 3, 4))
    assert (match.sum(0) == 1).all()
    chi_square = ((match.sum(1) - 80) ** 2 / 80).sum()  # 25 places, each 2000 / 25 times
    assert chi_square < stats.chi2.ppf(0.99999, 24)


def test_flip_mirrors_half_of_the_images():
    x = noise(2000)
    flipped = random_flip(x, generator())
    same = (flipped == x).flatten(1).all(1)
    mirrored = (flipped == x.flip(3)).flatten(1).all(1)
    assert torch.equal(same, ~mirrored)
    assert abs(mirrored.sum().item() - 1000) < 5 * math.sqrt(500)


def test_erasing_sets_one_rectangle_of_the_wanted_share():
    height, width = 40, 60
    x = torch.full((1500, 2, height, width), 3.0)
    erased = random_erasing(x, generator(), 0.25, (0.05, 0.2))
    mask = (erased == 0).numpy()
    assert (mask[:, 0] == mask[:, 1]).all()
    assert ((erased == 3) | (erased == 0)).all()
    holes = [hole for m in mask[:, 0] if (hole := rectangle(m))]
    assert abs(len(holes) - 375) < 5 * math.sqrt(1500 * 0.25 * 0.75)
    h, w = (
        np.array(sides)
        for sides in zip(*((hole[2] - hole[0], hole[3] - hole[1]) for hole in holes), strict=True)
    )
    share = h * w / (height * width)
    assert 0.04 < share.min() < 0.06
    assert 0.18 < share.max() < 0.21
    assert abs(share.mean() - 0.125) < 0.01
    inner = (h > 8) & (w > 8) & (h < height - 1)  # where rounding to pixels and shortening do little
    assert ASPECT_ERASE[0] * 0.85 < (w / h)[inner].min()
    assert (w / h)[inner].max() < ASPECT_ERASE[1] * 1.15
    top, left = (np.array([hole[i] for hole in holes]) for i in (0, 1))
    # Places are uniform: relative positions have the mean 1/2 and the standard deviation 1/sqrt(12).
    for place, room in ((top, height - h), (left, width - w)):
        relative = (place + 0.5) / (room + 1)
        assert abs(relative.mean() - 0.5) < 5 / math.sqrt(12 * len(holes))
        assert place.min() == 0
        assert (place == room).any()


def test_erasing_may_shorten_a_side_and_stays_inside():
    erased = random_erasing(torch.ones(300, 1, 6, 30), generator(), 1.0, (0.9, 1.0))
    holes = [rectangle(m) for m in (erased[:, 0] == 0).numpy()]
    assert all(hole is not None for hole in holes)
    assert any(hole[2] - hole[0] == 6 for hole in holes)


@pytest.mark.parametrize("side", [1, 4, 5])
def test_cutout_by_brute_force(side):
    cut = cutout(torch.ones(3000, 2, 6, 8), generator(), side)
    assert torch.equal(cut[:, 0], cut[:, 1])
    found = np.zeros((6, 8), int)
    for mask in (cut[:, 0] == 0).numpy():
        matches = []
        for row in range(6):
            for column in range(8):
                expected = np.zeros((6, 8), bool)
                top, left = row - side // 2, column - side // 2
                expected[max(top, 0) : top + side, max(left, 0) : left + side] = True
                if (mask == expected).all():
                    matches.append((row, column))
        assert len(matches) >= 1
        found[matches[0]] += len(matches) == 1
    assert (found > 20).sum() >= 20  # the centres are spread over the image


def test_resized_crop_reads_a_rectangle_bilinearly():
    # Bilinear sampling reproduces a plane exactly, so the result shows which rectangle was read.
    height, width, size = 120, 150, (24, 20)
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x = torch.stack([row, column]).to(torch.uint8).expand(400, -1, -1, -1)
    cropped = random_resized_crop(x, generator(), size, (0.1, 0.4)).double()
    assert cropped.shape == (400, 2, *size)
    rows, columns = cropped[:, 0], cropped[:, 1]
    assert (rows == rows[:, :, :1]).all()
    assert (columns == columns[:, :1]).all()
    r, c = rows[:, :, 0], columns[:, 0]
    step_r = (r[:, -1] - r[:, 0]) / (size[0] - 1)
    step_c = (c[:, -1] - c[:, 0]) / (size[1] - 1)
    for values, step in ((r, step_r), (c, step_c)):
        line = values[:, :1] + step[:, None] * torch.arange(values.shape[1])
        assert (values - line).abs().max() <= 1.01  # two roundings
    h, w = step_r * size[0], step_c * size[1]
    share = h * w / (height * width)
    assert 0.09 < share.min() < 0.12
    assert 0.37 < share.max() < 0.42
    assert abs(share.mean() - 0.25) < 0.02
    assert ASPECT_CROP[0] * 0.95 < (w / h).min() < ASPECT_CROP[0] * 1.1
    assert ASPECT_CROP[1] * 0.9 < (w / h).max() < ASPECT_CROP[1] * 1.05
    top = r[:, 0] + 0.5 - step_r / 2
    assert top.min() > -1
    assert top.min() < 5
    assert (top + h).max() < height + 1
    assert (top + h).max() > height - 5


def test_resized_crop_of_everything_is_the_image():
    # A rectangle with the area of the square is wider or higher than it: shortened, one direction is whole.
    ramp = torch.arange(16, dtype=torch.uint8) * 10
    x = torch.stack([ramp[:, None].expand(16, 16), ramp.expand(16, 16)]).expand(50, -1, -1, -1)
    cropped = random_resized_crop(x, generator(), (16, 16), (1.0, 1.0))
    whole = (cropped == x).flatten(2).all(2)
    assert whole.any(1).all()
    assert whole[:, 0].any()
    assert whole[:, 1].any()


def test_augmentation_is_repeatable_and_leaves_global_generators_alone():
    x = noise(16, 12, 12)
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()

    def run(seed):
        source = generator(seed)
        pixels = augment_pixels(x, source, EVERYTHING, (10, 10))
        inputs = augment_inputs(pixels.float(), source, EVERYTHING)
        return pixels, inputs

    first, again, other = run(1), run(1), run(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert first[0].shape == (16, 3, 10, 10)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


def test_nothing_asked_for_changes_nothing_and_draws_nothing():
    x, source = noise(4), generator()
    state = source.get_state()
    assert augment_pixels(x, source, ImageAugmentOptions(), (9, 7)) is x
    assert augment_inputs(x, source, ImageAugmentOptions()) is x
    assert torch.equal(source.get_state(), state)


@pytest.mark.parametrize("shares", [(0.0, 0.5), (0.5, 0.4), (0.1, 1.1)])
def test_bad_shares_are_refused(shares):
    with pytest.raises(ValidationError, match="two shares of the image's area"):
        ImageAugmentOptions(resized_crop=shares)
    with pytest.raises(ValidationError, match="two shares of the image's area"):
        ImageAugmentOptions(erasing_area=shares)
