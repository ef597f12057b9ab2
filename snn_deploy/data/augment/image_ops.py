"""Pillow's image operations on batches, on any device, each sample with its own parameter.

Images are uint8 ``[B, C, H, W]`` with C = 1 or 3; parameters are ``[B]``. Results equal those of Pillow's
``ImageOps`` and ``ImageEnhance``, on which AutoAugment's operations are defined, to the last bit.
"""

from __future__ import annotations

import torch

LEVELS = 256


def warp(x: torch.Tensor, matrix: torch.Tensor, fill: int) -> torch.Tensor:
    """Affine map with the nearest pixel: ``matrix [B, 2, 3]`` takes places in the result to places in ``x``.

    ``(u, v) = matrix (c + 1/2, r + 1/2, 1)`` for row r and column c; the result is ``x[floor(v), floor(u)]``,
    or ``fill`` where that lies outside.
    """
    B, C, H, W = x.shape
    column = torch.arange(W, device=x.device) + 0.5
    row = torch.arange(H, device=x.device)[:, None] + 0.5
    m = matrix[..., None, None]
    u, v = (torch.floor(m[:, i, 0] * column + m[:, i, 1] * row + m[:, i, 2]).long() for i in (0, 1))
    inside = (u >= 0) & (u < W) & (v >= 0) & (v < H)
    source = (v.clamp(0, H - 1) * W + u.clamp(0, W - 1)).view(B, 1, -1).expand(-1, C, -1)
    return x.flatten(2).gather(2, source).view_as(x).where(inside[:, None], fill)


def invert(x: torch.Tensor) -> torch.Tensor:
    """``255 - x``."""
    return 255 - x


def solarize(x: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Invert the values from ``threshold`` on."""
    return torch.where(x < _per_sample(threshold), x, 255 - x)


def posterize(x: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Keep the ``bits`` (1 to 8) highest bits of each value."""
    mask = LEVELS - 2 ** (8 - bits.long())
    return x & _per_sample(mask).to(torch.uint8)


def autocontrast(x: torch.Tensor) -> torch.Tensor:
    """Stretch each channel linearly so that its darkest value becomes 0 and its brightest 255."""
    flat = x.flatten(2)
    low = flat.amin(2, keepdim=True).double()
    high = flat.amax(2, keepdim=True).double()
    levels = torch.arange(LEVELS, device=x.device)
    # A number divided by a tensor would be computed by way of the reciprocal.
    scale = torch.full_like(high, 255.0) / (high - low)
    table = (levels * scale + -low * scale).trunc().clamp(0, 255)
    return _look_up(torch.where(high > low, table, levels), x)


def equalize(x: torch.Tensor) -> torch.Tensor:
    """Flatten the histogram of each channel, with Pillow's integer arithmetic.

    With ``h`` the histogram and ``step = (sum(h) - h[brightest value present]) // 255``, value i becomes
    ``(step // 2 + sum(h[:i])) // step``, at most 255; a channel with ``step = 0`` stays as it is.
    """
    flat = x.flatten(2)
    B, C, N = flat.shape
    count = torch.zeros(B, C, LEVELS, dtype=torch.int64, device=x.device)
    count.scatter_add_(2, flat.long(), torch.ones((), dtype=torch.int64, device=x.device).expand(B, C, N))
    brightest = flat.amax(2, keepdim=True).long()
    step = (N - count.gather(2, brightest)) // 255
    below = count.cumsum(2) - count
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    return _look_up(torch.where(step > 0, table, torch.arange(LEVELS, device=x.device)), x)


def brightness(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend with black; 1 keeps the image."""
    return _blend(torch.zeros_like(x), x, factor)


def contrast(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend with the mean of the image's luma, rounded; 1 keeps the image."""
    pixels = x.shape[2] * x.shape[3]
    total = luma(x).sum((1, 2, 3), dtype=torch.int64)
    mean = (2 * total + pixels) // (2 * pixels)
    return _blend(_per_sample(mean), x, factor)


def color(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend with the image's luma; 1 keeps the image."""
    return _blend(luma(x), x, factor)


def sharpness(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend with the image smoothed by ``[[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13``; 1 keeps the image.

    The border of one pixel is not smoothed.
    """
    if min(x.shape[2:]) < 3:
        return x
    wide = x.to(torch.int32)
    rows = wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]
    block = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = ((2 * (block + 4 * wide[:, :, 1:-1, 1:-1]) + 13) // 26).to(torch.uint8)
    return _blend(smooth, x, factor)


def luma(x: torch.Tensor) -> torch.Tensor:
    """Rec. 601 luma ``[B, 1, H, W]`` in Pillow's 16-bit fixed point."""
    if x.shape[1] == 1:
        return x
    wide = x.to(torch.int32)
    red, green, blue = wide[:, :1], wide[:, 1:2], wide[:, 2:]
    return ((19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16).to(torch.uint8)


def _blend(base: torch.Tensor, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """``floor(clamp(base + factor (x - base)))`` in float32."""
    base = base.to(torch.float32)
    mixed = base + _per_sample(factor).to(torch.float32) * (x.to(torch.float32) - base)
    return mixed.clamp(0, 255).to(torch.uint8)


def _look_up(table: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``table[b, c, x[b, c]]``, ``table [B, C, 256]``."""
    return table.to(torch.uint8).gather(2, x.flatten(2).long()).view_as(x)


def _per_sample(value: torch.Tensor) -> torch.Tensor:
    return value.view(-1, 1, 1, 1)
