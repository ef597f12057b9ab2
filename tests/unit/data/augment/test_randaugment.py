from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from snn_deploy.data.augment.autoaugment import OPERATIONS, Draw, apply
from snn_deploy.data.augment.image_ops import invert, solarize
from snn_deploy.data.augment.images import augment_pixels
from snn_deploy.data.augment.randaugment import draw, randaugment
from snn_deploy.data.options.images import ImageAugmentOptions, RandAugmentOptions

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(samples: int = 6) -> torch.Tensor:
    return torch.randint(256, (samples, 3, 8, 8), generator=generator(9), dtype=torch.uint8)


def test_every_operation_but_inversion_and_nothing_are_drawn_alike() -> None:
    (drawn,) = draw(14_000, generator(), RandAugmentOptions(operations=1), CPU)
    counts = torch.stack([(drawn.operation == number).sum() for number in range(-1, len(OPERATIONS))])
    names = ("identity", *OPERATIONS)
    assert counts[names.index("invert")] == 0
    drawn_at_all = torch.cat([counts[: names.index("invert")], counts[names.index("invert") + 1 :]])
    # 14 choices, 1,000 expected of each, standard deviation 30.
    assert len(drawn_at_all) == 14
    assert (drawn_at_all - 1000).abs().max() < 150
    assert abs(float((drawn.sign == 1).float().mean()) - 0.5) < 0.02


def test_magnitude_is_a_tenth_of_the_full_effect() -> None:
    # Solarisation at magnitude 10 inverts everything, at 5 all from 128 on, at 0 nothing.
    x = images()
    for magnitude, expected in ((10, invert(x)), (5, solarize(x, torch.full((6,), 128.0))), (0, x)):
        (drawn,) = draw(6, generator(), RandAugmentOptions(operations=1, magnitude=magnitude), CPU)
        fixed = Draw(torch.full((6,), OPERATIONS.index("solarize")), drawn.bin, drawn.sign)
        assert torch.equal(apply(x, fixed), expected)


def test_operations_follow_each_other() -> None:
    x, options = images(), RandAugmentOptions(operations=3, magnitude=7)
    one_by_one = x
    for drawn in draw(6, generator(4), options, CPU):
        one_by_one = apply(one_by_one, drawn)
    assert torch.equal(randaugment(x, generator(4), options), one_by_one)
    assert not torch.equal(one_by_one, x)


def test_it_is_one_of_the_image_augmentations() -> None:
    options = ImageAugmentOptions.model_validate({"randaugment": {"operations": 1, "magnitude": 9}})
    x = images()
    wanted = randaugment(x, generator(2), RandAugmentOptions(operations=1, magnitude=9))
    assert torch.equal(augment_pixels(x, generator(2), options, (8, 8)), wanted)
    with pytest.raises(ValidationError, match="less than or equal to 10"):
        RandAugmentOptions(magnitude=11)
