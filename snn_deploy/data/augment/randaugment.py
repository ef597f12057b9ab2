"""RandAugment (Cubuk et al. 2020): ``operations`` random image operations of one ``magnitude`` per image.

Every operation is drawn with equal chance, with replacement, from the fourteen of the paper: identity and
those of :mod:`~snn_deploy.data.augment.autoaugment` without inversion, at the strength ``m = magnitude / 10``
of that module. Signs are drawn with equal chance.
"""

from __future__ import annotations

import torch

from snn_deploy.data.augment.autoaugment import BINS, OPERATIONS, Draw, apply
from snn_deploy.data.augment.constants import constant
from snn_deploy.data.options.images import RandAugmentOptions
from snn_deploy.processes.share import drawn

CHOICES = (*(number for number, name in enumerate(OPERATIONS) if name != "invert"), -1)
"""Indices into ``OPERATIONS``; -1 is the identity."""


def randaugment(x: torch.Tensor, generator: torch.Generator, options: RandAugmentOptions) -> torch.Tensor:
    """Augment images uint8 ``[B, C, H, W]``, C = 1 or 3; each draws operations of its own."""
    for operation in draw(len(x), generator, options, x.device):
        x = apply(x, operation)
    return x


def draw(
    samples: int, generator: torch.Generator, options: RandAugmentOptions, device: torch.device
) -> list[Draw]:
    """What happens to each of ``samples`` images. Draws ``2 operations samples`` numbers."""
    where = generator.device

    def numbers(below: int) -> torch.Tensor:
        return drawn(
            generator,
            samples,
            lambda n: torch.randint(below, (options.operations, n), generator=generator, device=where),
            axis=1,
        )

    chosen, sign = numbers(len(CHOICES)), numbers(2) * 2 - 1
    operation = constant(CHOICES, where, torch.int64)[chosen]
    level = torch.full((samples,), options.magnitude / 10 * (BINS - 1), dtype=torch.float64, device=where)
    return [
        Draw(*(value.to(device) for value in (operation[place], level, sign[place])))
        for place in range(options.operations)
    ]
