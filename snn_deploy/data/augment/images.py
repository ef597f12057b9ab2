"""Augmentation of batches of images on the device they are on, every sample by its own random numbers.

All randomness comes from the generator that is passed in, in a fixed order; it may be on another device than
the images, what it draws is moved. The global random number generators are not touched.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import grid_sample

from snn_deploy.data.augment.autoaugment import autoaugment
from snn_deploy.data.augment.frames import random_shift
from snn_deploy.data.augment.randaugment import randaugment
from snn_deploy.data.options.images import ImageAugmentOptions
from snn_deploy.processes.share import drawn

ASPECT_CROP = (3 / 4, 4 / 3)
ASPECT_ERASE = (0.3, 1 / 0.3)


def augment_pixels(
    x: torch.Tensor, generator: torch.Generator, options: ImageAugmentOptions, size: tuple[int, int]
) -> torch.Tensor:
    """The transforms that read intensities: uint8 ``[B, C, H, W]`` to uint8 ``[B, C, *size]``.

    Without ``resized_crop`` the images already have this size.
    """
    if options.resized_crop is not None:
        x = random_resized_crop(x, generator, size, options.resized_crop)
    if options.crop_padding:
        x = random_crop(x, generator, options.crop_padding)
    if options.flip:
        x = random_flip(x, generator)
    if options.autoaugment is not None:
        x = autoaugment(x, generator, options.autoaugment)
    if options.randaugment is not None:
        x = randaugment(x, generator, options.randaugment)
    return x


def augment_inputs(x: torch.Tensor, generator: torch.Generator, options: ImageAugmentOptions) -> torch.Tensor:
    """The transforms that remove parts of normalised images ``[B, C, H, W]``: 0 is then the mean colour."""
    if options.erasing:
        x = random_erasing(x, generator, options.erasing, options.erasing_area)
    if options.cutout:
        x = cutout(x, generator, options.cutout)
    return x


def random_crop(x: torch.Tensor, generator: torch.Generator, padding: int) -> torch.Tensor:
    """Cut ``[H, W]`` out of the image with ``padding`` zeros on each side, each place equally likely."""
    return random_shift(x[None], generator, padding)[0]


def random_flip(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror left to right with probability 1/2."""
    mirrored = _uniform(1, len(x), generator, x.device)[0] < 0.5
    return torch.where(_wide(mirrored), x.flip(-1), x)


def random_resized_crop(
    x: torch.Tensor, generator: torch.Generator, size: tuple[int, int], area: tuple[float, float]
) -> torch.Tensor:
    """Cut out a random rectangle and resize it to ``size`` (Szegedy et al. 2015, section 6).

    Its share of the area is uniform in ``area``, the logarithm of its aspect ratio (width over height)
    uniform between those of 3/4 and 4/3, its place uniform. A side longer than the image is shortened to it
    (our choice; the usual code draws again). Bilinear without low-pass filter.
    """
    B, _, H, W = x.shape
    width, height = _random_sides(B, generator, x.device, H, W, area, ASPECT_CROP)
    place = _uniform(2, B, generator, x.device)
    left, top = place[0] * (W - width), place[1] * (H - height)
    rows = top[:, None] + (torch.arange(size[0], device=x.device) + 0.5) / size[0] * height[:, None]
    columns = left[:, None] + (torch.arange(size[1], device=x.device) + 0.5) / size[1] * width[:, None]
    grid = torch.stack(
        [
            (2 * columns / W - 1)[:, None, :].expand(B, *size),
            (2 * rows / H - 1)[:, :, None].expand(B, *size),
        ],
        dim=-1,
    )
    resized = grid_sample(x.to(torch.float32), grid, padding_mode="border", align_corners=False)
    return resized.round().clamp(0, 255).to(torch.uint8)


def random_erasing(
    x: torch.Tensor, generator: torch.Generator, probability: float, area: tuple[float, float]
) -> torch.Tensor:
    """Set a random rectangle to 0 with ``probability`` (Zhong et al. 2020, algorithm 1).

    Its share of the area is uniform in ``area``, its aspect ratio between 0.3 and 1/0.3, its place uniform.
    Our choices, as in PyTorch's version: uniform in the logarithm of the ratio, and 0 instead of noise.
    Sides are rounded to pixels, at least 1; a side longer than the image is shortened, not drawn again.
    """
    B, _, H, W = x.shape
    width, height = (
        side.round().clamp(min=1) for side in _random_sides(B, generator, x.device, H, W, area, ASPECT_ERASE)
    )
    happens, place_x, place_y = _uniform(3, B, generator, x.device)
    left = (place_x * (W - width + 1)).floor()
    top = (place_y * (H - height + 1)).floor()
    inside = _rectangle(top, left, height, width, H, W) & (happens < probability)[:, None, None]
    return torch.where(inside[:, None], 0, x)


def cutout(x: torch.Tensor, generator: torch.Generator, side: int) -> torch.Tensor:
    """Set a square to 0 whose centre is any pixel with equal chance (DeVries and Taylor 2017).

    Rows ``centre - side // 2`` to ``centre - side // 2 + side - 1``; what is outside the image is cut off.
    """
    B, _, H, W = x.shape
    place = _uniform(2, B, generator, x.device)
    top = (place[0] * H).floor() - side // 2
    left = (place[1] * W).floor() - side // 2
    length = torch.full_like(top, side)
    return torch.where(_rectangle(top, left, length, length, H, W)[:, None], 0, x)


def _random_sides(
    samples: int,
    generator: torch.Generator,
    device: torch.device,
    height: int,
    width: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Widths and heights ``[B]`` of random rectangles, at most those of the image."""
    share, shape = _uniform(2, samples, generator, device)
    pixels = (area[0] + share * (area[1] - area[0])) * (height * width)
    low, high = (math.log(ratio) for ratio in aspect)
    ratio = torch.exp(low + shape * (high - low))
    return (pixels * ratio).sqrt().clamp(max=width), (pixels / ratio).sqrt().clamp(max=height)


def _rectangle(
    top: torch.Tensor, left: torch.Tensor, height: torch.Tensor, width: torch.Tensor, H: int, W: int
) -> torch.Tensor:
    """Which pixels ``[B, H, W]`` are inside."""
    row = torch.arange(H, device=top.device) - top[:, None]
    column = torch.arange(W, device=top.device) - left[:, None]
    rows = (row >= 0) & (row < height[:, None])
    columns = (column >= 0) & (column < width[:, None])
    return rows[:, :, None] & columns[:, None, :]


def _uniform(count: int, samples: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """``[count, samples]``."""
    where = generator.device
    return drawn(
        generator, samples, lambda n: torch.rand((count, n), generator=generator, device=where), axis=1
    ).to(device)


def _wide(value: torch.Tensor) -> torch.Tensor:
    return value.view(-1, 1, 1, 1)
