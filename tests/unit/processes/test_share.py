from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.data.augment.frames import augment
from snn_deploy.data.augment.images import augment_inputs, augment_pixels
from snn_deploy.data.options.frames import AugmentOptions
from snn_deploy.data.options.images import ImageAugmentOptions
from snn_deploy.processes.share import BatchGenerator, Share, divide, drawn
from snn_deploy.processes.world import World


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 9))
def test_shares_cover_a_batch_once_and_evenly(total: int, size: int, parts: int) -> None:
    shares = [divide(total, parts, World(rank, size)) for rank in range(size)]
    if total < size:  # each takes all of it, as if it were alone
        assert shares == size * [divide(total, parts, World())]
        shares, size = shares[:1], 1
    assert len({len(of_one) for of_one in shares}) == 1  # or processes would wait for each other for ever
    covered = [number for of_one in shares for share in of_one for number in range(share.start, share.stop)]
    assert covered == list(range(total))
    lengths = [sum(len(share) for share in of_one) for of_one in shares]
    assert max(lengths) - min(lengths) <= 1
    assert all(len(share) >= 1 for of_one in shares for share in of_one)
    assert sum(share.part for of_one in shares for share in of_one) == pytest.approx(1)


@given(st.integers(1, 40), st.data())
def test_a_share_draws_its_rows_of_the_whole_batch(total: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, total - 1))
    stop = data.draw(st.integers(start + 1, total))
    seed = data.draw(st.integers(0, 2**31))
    whole = torch.rand((3, total), generator=torch.Generator().manual_seed(seed))
    generator = BatchGenerator()
    generator.manual_seed(seed)
    generator.draw_for(Share(start, stop, total))
    found = drawn(generator, stop - start, lambda n: torch.rand((3, n), generator=generator), axis=1)
    assert torch.equal(found, whole[:, start:stop])
    after = torch.rand(1, generator=generator)
    again = torch.Generator().manual_seed(seed)
    torch.rand((3, total), generator=again)
    assert torch.equal(after, torch.rand(1, generator=again))


def test_numbers_for_other_samples_than_those_of_the_share_are_refused() -> None:
    generator = BatchGenerator()
    generator.draw_for(Share(0, 4, 8))
    with pytest.raises(ValueError, match="for 5 samples are wanted of a generator for 4"):
        drawn(generator, 5, lambda n: torch.rand(n, generator=generator))


EVENTS = AugmentOptions(flip=True, rotate=20, zoom=0.1, nda=True, shift=2, cutout=3, time_jitter=1, drop=0.2)
IMAGES = ImageAugmentOptions(flip=True, crop_padding=2, autoaugment="cifar10", erasing=0.5, cutout=4)


def pixels(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    images = augment_pixels((255 * x[0]).to(torch.uint8), generator, IMAGES, (8, 8))
    return augment_inputs(images.float(), generator, IMAGES)[None]


@pytest.mark.parametrize("change", [lambda x, g: augment(x, g, EVENTS), pixels], ids=["events", "images"])
def test_a_sample_is_augmented_alike_however_its_batch_is_divided(change) -> None:  # type: ignore[no-untyped-def]
    x = torch.rand((4, 11, 3, 8, 8), generator=torch.Generator().manual_seed(1)).round(decimals=1)
    whole = change(x, torch.Generator().manual_seed(7))
    parts = []
    for share in [share for rank in range(2) for share in divide(11, 2, World(rank, 2))]:
        generator = BatchGenerator()
        generator.manual_seed(7)
        generator.draw_for(share)
        parts.append(change(x[:, share.start : share.stop], generator))
    assert torch.equal(torch.cat(parts, 1), whole)
    assert not torch.equal(whole, x[:1] if change is pixels else x)
