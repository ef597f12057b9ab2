from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageEnhance, ImageOps

from snn_deploy.data.augment import image_ops

PLAIN = {
    "invert": ImageOps.invert,
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
}
ENHANCE = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "color": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


@st.composite
def batches(draw):
    """Two images of the same size: noise over all or few levels, or of one level."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    shape = (2, height, width, 3) if draw(st.booleans()) else (2, height, width)
    low = draw(st.integers(0, 255))
    high = draw(st.integers(low, 255))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(low, high + 1, shape).astype(np.uint8)


def to_torch(batch):
    x = torch.tensor(batch)
    return x[:, None] if x.dim() == 3 else x.permute(0, 3, 1, 2).contiguous()


def same(result, images):
    assert result.dtype == torch.uint8
    expected = torch.stack([to_torch(np.asarray(image)[None])[0] for image in images])
    torch.testing.assert_close(result, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", PLAIN)
@settings(deadline=None)
@given(batch=batches())
def test_operation_equals_pillow(name, batch):
    same(getattr(image_ops, name)(to_torch(batch)), [PLAIN[name](Image.fromarray(image)) for image in batch])


@pytest.mark.parametrize("name", ENHANCE)
@settings(deadline=None)
@given(batch=batches(), factors=hnp.arrays(np.float32, 2, elements=st.floats(0, 2, width=32)))
def test_enhancement_equals_pillow(name, batch, factors):
    result = getattr(image_ops, name)(to_torch(batch), torch.from_numpy(factors))
    pairs = zip(batch, factors.tolist(), strict=True)
    same(result, [ENHANCE[name](Image.fromarray(image)).enhance(factor) for image, factor in pairs])


@settings(deadline=None)
@given(batches(), st.tuples(st.integers(1, 8), st.integers(1, 8)))
def test_posterize_equals_pillow(batch, bits):
    images = [ImageOps.posterize(Image.fromarray(image), n) for image, n in zip(batch, bits, strict=True)]
    same(image_ops.posterize(to_torch(batch), torch.tensor(bits)), images)


@settings(deadline=None)
@given(batches(), st.tuples(st.floats(0, 256, width=32), st.floats(0, 256, width=32)))
def test_solarize_equals_pillow(batch, thresholds):
    images = [ImageOps.solarize(Image.fromarray(i), t) for i, t in zip(batch, thresholds, strict=True)]
    same(image_ops.solarize(to_torch(batch), torch.tensor(thresholds)), images)


@settings(deadline=None)
@given(batches())
def test_luma_equals_pillow(batch):
    x = to_torch(batch)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in batch])
    np.testing.assert_array_equal(image_ops.luma(x)[:, 0].numpy(), expected)


@settings(deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    hnp.arrays(np.float32, (2, 2, 3), elements=st.floats(-3, 3, width=16)),
)
def test_warp_by_brute_force(height, width, matrix):
    x = torch.arange(2 * 3 * height * width, dtype=torch.uint8).view(2, 3, height, width)
    expected = torch.full_like(x, 7)
    for b in range(2):
        for row in range(height):
            for column in range(width):
                place = np.array([column + 0.5, row + 0.5, 1.0])
                u, v = np.floor(matrix[b].astype(np.float64) @ place).astype(int)
                if 0 <= u < width and 0 <= v < height:
                    expected[b, :, row, column] = x[b, :, v, u]
    torch.testing.assert_close(image_ops.warp(x, torch.from_numpy(matrix), 7), expected, rtol=0, atol=0)


def test_warp_equals_pillow():
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (20, 32, 24, 3)).astype(np.uint8)
    matrix = random.normal(0, 0.3, (20, 2, 3)) + np.eye(2, 3)
    matrix[:, :, 2] *= 10
    images = [
        Image.fromarray(image).transform(
            (24, 32), Image.Transform.AFFINE, m.flatten().tolist(), fillcolor=(128, 128, 128)
        )
        for image, m in zip(batch, matrix, strict=True)
    ]
    result = image_ops.warp(to_torch(batch), torch.from_numpy(matrix), 128)
    expected = torch.stack([to_torch(np.asarray(image)[None])[0] for image in images])
    # Pillow computes places in fixed point: a pixel within 2^-10 of a boundary may go either way.
    column, row = np.meshgrid(np.arange(24) + 0.5, np.arange(32) + 0.5)
    places = np.einsum("bij,jrc->birc", matrix, np.stack([column, row, np.ones_like(row)]))
    clear = (np.abs(places - places.round()) > 2**-10).all(1)
    assert clear.mean() > 0.99
    equal = (result == expected).all(1).numpy()
    assert equal[clear].all()
