"""Augmentation of batches of event frames, on the device they are on.

Everything keeps counts whole: pixels are moved to the nearest pixel, not interpolated, so frames of 0 and 1
stay frames of 0 and 1. A change of place is the same for all T frames of a sample.

``nda`` is in the manner of neuromorphic data augmentation (Li, Kim, Park, Geller and Panda 2022): of roll,
rotation, shear and cutout, each sample gets one, drawn with equal chance, at a strength drawn uniformly up to
its limit. The limits are our choice: roll by 1/16 of a side, rotation and shear by 15 degrees, a square of
1/4 of the shorter side. Unlike the paper's, it has no CutMix, which changes labels: see ``train.mix`` of
recipes; the paper's flip is our ``flip``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn.functional import affine_grid, grid_sample, pad

from snn_deploy.data.augment.constants import constant
from snn_deploy.data.options.frames import AugmentOptions
from snn_deploy.processes.share import drawn

NDA_ROLL = 1 / 16
NDA_ANGLE = 15.0
NDA_HOLE = 1 / 4

_NDA = ("roll", "rotate", "shear", "cutout")


def augment(x: torch.Tensor, generator: torch.Generator, options: AugmentOptions) -> torch.Tensor:
    """Change the batch ``x [T, B, C, H, W]`` as ``options`` say; all randomness comes from ``generator``.

    The generator may be on another device than ``x``: what it draws is moved. What is not asked for draws
    nothing.
    """
    if options.flip:
        x = random_flip(x, generator)
    if options.rotate or options.zoom:
        x = random_turn(x, generator, options.rotate, options.zoom)
    if options.nda:
        x = random_nda(x, generator)
    if options.shift:
        x = random_shift(x, generator, options.shift)
    if options.cutout:
        x = cut_out(x, *_holes(x, generator, options.cutout))
    if options.time_jitter:
        x = random_time_jitter(x, generator, options.time_jitter)
    if options.drop:
        x = random_drop(x, generator, options.drop)
    return x


def random_flip(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror each sample left and right with probability 1/2."""
    mirrored = _uniform(generator, x)[0] < 0.5
    return torch.where(mirrored.view(1, -1, 1, 1, 1), x.flip(-1), x)


def random_turn(x: torch.Tensor, generator: torch.Generator, degrees: float, zoom: float) -> torch.Tensor:
    """Turn each sample about its centre by an angle uniform in ``+- degrees``, magnified by a factor uniform
    in ``1 +- zoom``; see :func:`transform`."""
    angle, factor = 2 * _uniform(generator, x, 2) - 1
    return transform(x, turning(angle * math.radians(degrees)) / (1 + zoom * factor).view(-1, 1, 1))


def turning(angle: torch.Tensor) -> torch.Tensor:
    """Matrices ``[B, 2, 2]`` that turn ``(x, y)`` by ``angle [B]`` in radians, from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def transform(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """What is shown at each pixel comes from the pixel nearest to ``matrix [B, 2, 2]`` times its place.

    Places are ``(x, y)`` from the image's centre, in pixels; what comes from outside is empty. ``x`` is
    ``[T, B, C, H, W]``.
    """
    T, B, C, H, W = x.shape
    # affine_grid counts places from -1 to 1 on each side, so that sides of different length must be undone.
    scale = constant(((1.0, H / W), (W / H, 1.0)), x.device)
    theta = torch.cat([matrix * scale, torch.zeros(B, 2, 1, device=x.device)], 2)
    grid = affine_grid(theta, [B, T * C, H, W], align_corners=False)
    images = x.transpose(0, 1).reshape(B, T * C, H, W)
    turned = grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return turned.view(B, T, C, H, W).transpose(0, 1).contiguous()


def random_shift(x: torch.Tensor, generator: torch.Generator, most: int) -> torch.Tensor:
    """Move each sample by ``(dy, dx)``, both uniform in ``-most .. most``, the same for all its T frames.

    What leaves the field of view is lost; what enters is empty.
    """
    where = generator.device
    shift = drawn(
        generator,
        x.shape[1],
        lambda samples: torch.randint(-most, most + 1, (2, samples), generator=generator, device=where),
        axis=1,
    )
    return moved(x, shift.to(x.device), most)


def moved(x: torch.Tensor, shift: torch.Tensor, most: int) -> torch.Tensor:
    """Pixel ``(i, j)`` of sample ``b`` shows what was at ``(i + shift[0, b], j + shift[1, b])``, all of whose
    magnitudes are at most ``most``."""
    _, B, _, H, W = x.shape
    rows = torch.arange(H, device=x.device) + shift[0, :, None] + most
    columns = torch.arange(W, device=x.device) + shift[1, :, None] + most
    sample = torch.arange(B, device=x.device)
    # Index B, H and W together, with T and C kept whole: [B, H, W, T, C].
    padded = pad(x, (most, most, most, most)).permute(1, 3, 4, 0, 2)
    shifted = padded[sample[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted.permute(3, 0, 4, 1, 2).contiguous()


def cut_out(x: torch.Tensor, top: torch.Tensor, left: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """Empty the square of ``side [B]`` pixels whose upper left corner is at ``(top [B], left [B])``,
    as far as it lies in the image."""
    row = torch.arange(x.shape[3], device=x.device)
    column = torch.arange(x.shape[4], device=x.device)
    rows = (row >= top[:, None]) & (row < (top + side)[:, None])
    columns = (column >= left[:, None]) & (column < (left + side)[:, None])
    hole = rows[:, :, None] & columns[:, None, :]
    return x.masked_fill(hole[:, None], 0)


class _Holes(NamedTuple):
    top: torch.Tensor
    left: torch.Tensor
    side: torch.Tensor


def _holes(x: torch.Tensor, generator: torch.Generator, side: int) -> _Holes:
    """Squares whose centres are uniform over the image."""
    _, B, _, H, W = x.shape
    place = _uniform(generator, x, 2)
    top, left = (place[0] * H).long() - side // 2, (place[1] * W).long() - side // 2
    return _Holes(top, left, torch.full((B,), side, device=x.device))


def random_nda(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One of four changes for each sample; see the module's text. Draws ``6 B`` numbers."""
    _, B, _, H, W = x.shape
    chosen, first, second, third, top, left = _uniform(generator, x, 6)
    kind = (chosen * len(_NDA)).long()
    first, second = 2 * first - 1, 2 * second - 1
    angle = first * math.radians(NDA_ANGLE)
    matrix = torch.eye(2, device=x.device).repeat(B, 1, 1)
    matrix = torch.where((kind == _NDA.index("rotate")).view(-1, 1, 1), turning(angle), matrix)
    matrix[:, 0, 1] = torch.where(kind == _NDA.index("shear"), angle.tan(), matrix[:, 0, 1])
    x = transform(x, matrix)
    rolls = kind == _NDA.index("roll")
    x = _rolled(
        x, (rolls * first * NDA_ROLL * H).round().long(), (rolls * second * NDA_ROLL * W).round().long()
    )
    side = ((kind == _NDA.index("cutout")) * third * (NDA_HOLE * min(H, W) + 1)).long()
    return cut_out(x, (top * H).long() - side // 2, (left * W).long() - side // 2, side)


def _rolled(x: torch.Tensor, dy: torch.Tensor, dx: torch.Tensor) -> torch.Tensor:
    """Move samples by ``dy [B]`` and ``dx [B]``; what leaves on one side enters on the other."""
    _, B, _, H, W = x.shape
    rows = (torch.arange(H, device=x.device) - dy[:, None]) % H
    columns = (torch.arange(W, device=x.device) - dx[:, None]) % W
    sample = torch.arange(B, device=x.device)
    images = x.permute(1, 3, 4, 0, 2)
    return (
        images[sample[:, None, None], rows[:, :, None], columns[:, None, :]]
        .permute(3, 0, 4, 1, 2)
        .contiguous()
    )


def random_time_jitter(x: torch.Tensor, generator: torch.Generator, most: int) -> torch.Tensor:
    """Delay the T entries of each pixel and polarity by a number of frames uniform in ``-most .. most``, as
    if the latency of pixels differed. What leaves the T frames is lost; what enters is empty."""
    T = x.shape[0]
    _, B, *pixels = x.shape
    where = generator.device
    delay = drawn(
        generator,
        B,
        lambda samples: torch.randint(-most, most + 1, (samples, *pixels), generator=generator, device=where),
    )
    source = torch.arange(T, device=x.device).view(-1, 1, 1, 1, 1) - delay.to(x.device)
    return x.gather(0, source.clamp(0, T - 1)).masked_fill((source < 0) | (source >= T), 0)


def random_drop(x: torch.Tensor, generator: torch.Generator, largest: float) -> torch.Tensor:
    """Set each entry to 0, independently: in frames of 0 and 1, each event. The probability is uniform in
    ``[0, largest)`` for each sample, so that samples lose different shares (random drop of Gu, Sng, Hu and Yu
    2021, who draw it from nine values)."""
    probability = largest * _uniform(generator, x)
    return x * (_uniform(generator, x, len(x), *x.shape[2:]) >= probability.view(1, -1, 1, 1, 1))


def _uniform(generator: torch.Generator, x: torch.Tensor, count: int = 1, *more: int) -> torch.Tensor:
    """``[count, B, *more]`` for the batch ``x``."""
    where = generator.device
    return drawn(
        generator,
        x.shape[1],
        lambda samples: torch.rand((count, samples, *more), generator=generator, device=where),
        axis=1,
    ).to(x.device)
