"""Augmentation of batches of event frames, on the device they are on."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.nn.functional import pad

from snn_deploy.registry import Options


class AugmentOptions(Options):
    """What is done to a training batch.

    Attributes:
        shift: a sample moves by up to this many pixels in x and in y.
        drop: probability that an entry of a frame loses its events.
    """

    shift: int = Field(default=0, ge=0, le=64)
    drop: float = Field(default=0.0, ge=0, lt=1)


def augment(x: torch.Tensor, generator: torch.Generator, options: AugmentOptions) -> torch.Tensor:
    """Shift, then drop. ``x`` is ``[T, B, C, H, W]``; all randomness comes from ``generator``.

    The generator may be on another device than ``x``: what it draws is moved. Augmentation itself draws
    ``2 B`` integers for a shift and one number per entry of ``x`` for a drop, always in this order.
    """
    if options.shift:
        x = random_shift(x, generator, options.shift)
    if options.drop:
        x = random_drop(x, generator, options.drop)
    return x


def random_shift(x: torch.Tensor, generator: torch.Generator, most: int) -> torch.Tensor:
    """Move each sample by ``(dy, dx)``, both uniform in ``-most .. most``, the same for all its T frames.

    What leaves the field of view is lost; what enters is empty.
    """
    _, B, _, H, W = x.shape
    shift = torch.randint(0, 2 * most + 1, (2, B, 1), generator=generator, device=generator.device)
    shift = shift.to(x.device)
    rows = torch.arange(H, device=x.device) + shift[0]
    columns = torch.arange(W, device=x.device) + shift[1]
    sample = torch.arange(B, device=x.device)
    # Index B, H and W together, with T and C kept whole: [B, H, W, T, C].
    padded = pad(x, (most, most, most, most)).permute(1, 3, 4, 0, 2)
    shifted = padded[sample[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted.permute(3, 0, 4, 1, 2).contiguous()


def random_drop(x: torch.Tensor, generator: torch.Generator, probability: float) -> torch.Tensor:
    """Set each entry to 0 with ``probability``, independently: in frames of 0 and 1, each event."""
    draw = torch.rand(x.shape, generator=generator, device=generator.device).to(x.device)
    return x * (draw >= probability)
