from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from snn_deploy.data.augment.autoaugment import OPERATIONS, POLICIES, Draw, apply, autoaugment, draw

CPU = torch.device("cpu")
GREY = (128, 128, 128)
SIDE = 32


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(samples, seed=0, size=SIDE):
    return torch.randint(0, 256, (samples, 3, size, size), generator=generator(seed)).to(torch.uint8)


@pytest.mark.parametrize("policy", POLICIES)
def test_policy_is_the_one_that_kornia_ships(policy):
    theirs = pytest.importorskip("kornia.augmentation.auto.autoaugment.autoaugment")
    names = {name.replace("-", "_"): name for name in OPERATIONS} | {"auto_contrast": "autocontrast"}
    expected = [
        tuple((names[name], probability, level or 0) for name, probability, level in steps)
        for steps in getattr(theirs, f"{policy}_policy")
    ]
    assert list(POLICIES[policy]) == expected


def move(image, m):
    return image.transform(image.size, Image.Transform.AFFINE, m, fillcolor=GREY)


def with_pillow(name, image, level, sign):
    """One operation of the paper, written with Pillow."""
    m = level / 9
    width, height = image.size
    enhancers = {
        "color": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast,
        "brightness": ImageEnhance.Brightness,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in enhancers:
        return enhancers[name](image).enhance(1 + sign * 0.9 * m)
    return {
        "shear-x": lambda: move(image, (1, sign * 0.3 * m, 0, 0, 1, 0)),
        "shear-y": lambda: move(image, (1, 0, 0, sign * 0.3 * m, 1, 0)),
        "translate-x": lambda: move(image, (1, 0, sign * int(150 / 331 * m * width), 0, 1, 0)),
        "translate-y": lambda: move(image, (1, 0, 0, 0, 1, sign * int(150 / 331 * m * height))),
        "rotate": lambda: image.rotate(sign * 30 * m, fillcolor=GREY),
        "solarize": lambda: ImageOps.solarize(image, 256 * (1 - m)),
        "posterize": lambda: ImageOps.posterize(image, [8, 8, 7, 7, 6, 6, 5, 5, 4, 4][level]),
        "invert": lambda: ImageOps.invert(image),
        "equalize": lambda: ImageOps.equalize(image),
        "autocontrast": lambda: ImageOps.autocontrast(image),
    }[name]()


def between_pixels(name, level):
    """Where a shear reads between two pixels: Pillow's geometry is in fixed point and may take either."""
    shift = 0.3 * level / 9 * (torch.arange(SIDE) + 0.5)
    line = (shift % 1 - 0.5).abs() < 1e-3
    lines = line if name in {"shear-x", "shear-y"} else torch.zeros_like(line)
    return lines[:, None].expand(SIDE, SIDE) if name == "shear-x" else lines.expand(SIDE, SIDE)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_at_every_magnitude(name):
    cases = [(level, sign) for level in range(10) for sign in (-1, 1)]
    x = noise(len(cases)) // 2 + 40
    levels, signs = (torch.tensor(column) for column in zip(*cases, strict=True))
    drawn = Draw(torch.full((len(cases),), OPERATIONS.index(name)), levels, signs)
    result = apply(x, drawn)
    for image, got, (level, sign) in zip(x, result, cases, strict=True):
        pillow = with_pillow(name, Image.fromarray(image.permute(1, 2, 0).numpy()), level, sign)
        expected = torch.from_numpy(np.array(pillow)).permute(2, 0, 1)
        different = (got != expected).any(0)
        assert different[~between_pixels(name, level)].sum() <= (4 if name == "rotate" else 0), (level, sign)


def test_each_image_gets_its_own_operation():
    x = noise(4)
    operation = torch.tensor([OPERATIONS.index("invert"), -1, OPERATIONS.index("solarize"), -1])
    drawn = Draw(operation, torch.tensor([0, 5, 9, 9]), torch.ones(4, dtype=torch.int64))
    result = apply(x, drawn)
    assert torch.equal(result[0], 255 - x[0])
    assert torch.equal(result[1], x[1])
    assert torch.equal(result[2], 255 - x[2])  # threshold 0
    assert torch.equal(result[3], x[3])


@pytest.mark.parametrize("policy", POLICIES)
def test_draws_follow_the_policy(policy):
    samples = 100_000
    places = draw(samples, generator(), policy, CPU)
    for place, drawn in enumerate(places):
        assert abs(drawn.sign.double().sum().item()) < 5 * math.sqrt(samples)
        expected: dict[tuple[int, int], float] = {}
        for steps in POLICIES[policy]:
            name, probability, level = steps[place]
            key = OPERATIONS.index(name), level
            expected[key] = expected.get(key, 0) + probability / 25
        for (operation, level), p in expected.items():
            found = ((drawn.operation == operation) & (drawn.bin == level)).sum().item()
            assert abs(found - samples * p) <= 5 * math.sqrt(samples * p * (1 - p)), OPERATIONS[operation]
    # The two operations come from one sub-policy: shear-y at 8 is only ever followed by translate-y at 9.
    if policy == "cifar10":
        first = (places[0].operation == OPERATIONS.index("shear-y")) & (places[0].bin == 8)
        assert set(places[1].operation[first].tolist()) == {-1, OPERATIONS.index("translate-y")}


def test_result_depends_on_generator_and_place_in_the_batch_only():
    x = noise(64)
    first = autoaugment(x, generator(1), "cifar10")
    assert torch.equal(first, autoaugment(x, generator(1), "cifar10"))
    assert not torch.equal(first, autoaugment(x, generator(2), "cifar10"))
    changed = x.clone()
    changed[5:] = 0
    assert torch.equal(first[:5], autoaugment(changed, generator(1), "cifar10")[:5])
    assert 0.05 < (first == x).flatten(1).all(1).double().mean() < 0.5  # many images are left alone


def test_grey_images():
    x = noise(32)[:, :1]
    assert autoaugment(x, generator(), "imagenet").shape == x.shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("policy", POLICIES)
def test_accelerator_computes_the_same(policy):
    x = noise(256)
    there = autoaugment(x.cuda(), generator(), policy).cpu()
    here = autoaugment(x, generator(), policy)
    assert (there != here).double().mean() < 1e-4  # geometry may round differently at a boundary
