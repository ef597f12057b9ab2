"""AutoAugment (Cubuk et al. 2019): learned policies of two image operations each, drawn per image.

A policy is a list of 25 sub-policies; an image gets one of them, and each of its two operations
``(name, probability, magnitude bin)`` happens with its probability. Operations are Pillow's, their ranges
those of the paper's appendix, with the magnitude ``m = bin / 9`` between no effect and full effect::

    shear-x, shear-y          slope       +- 0.3 m, about the upper left corner
    translate-x, translate-y  pixels      +- trunc(150 / 331 m side)
    rotate                    degrees     +- 30 m, about the centre
    color, contrast, brightness, sharpness  factor  1 +- 0.9 m
    solarize                  threshold   256 (1 - m)
    posterize                 bits        8 - round(4 m)
    invert, equalize, autocontrast        without magnitude

Signs are drawn with equal chance, as PyTorch training scripts do. (The authors' TensorFlow code draws
them for geometry only and counts the factors of the enhancements from 0.1 to 1.9.) What enters the image
is grey 128, our choice, near the mean colour that the authors' code puts there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from snn_deploy.data.augment import image_ops
from snn_deploy.data.augment.constants import constant
from snn_deploy.data.options.images import Policy
from snn_deploy.processes.share import drawn

_Step = tuple[str, float, int]

FILL = 128
BINS = 10
GEOMETRY = ("shear-x", "shear-y", "translate-x", "translate-y", "rotate")

POLICIES: dict[Policy, tuple[tuple[_Step, _Step], ...]] = {
    "cifar10": (
        (("invert", 0.1, 0), ("contrast", 0.2, 6)),
        (("rotate", 0.7, 2), ("translate-x", 0.3, 9)),
        (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
        (("shear-y", 0.5, 8), ("translate-y", 0.7, 9)),
        (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
        (("shear-y", 0.2, 7), ("posterize", 0.3, 7)),
        (("color", 0.4, 3), ("brightness", 0.6, 7)),
        (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
        (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
        (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
        (("color", 0.7, 7), ("translate-x", 0.5, 8)),
        (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
        (("translate-y", 0.4, 3), ("sharpness", 0.2, 6)),
        (("brightness", 0.9, 6), ("color", 0.2, 8)),
        (("solarize", 0.5, 2), ("invert", 0.0, 0)),
        (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
        (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
        (("color", 0.9, 9), ("equalize", 0.6, 0)),
        (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
        (("brightness", 0.1, 3), ("color", 0.7, 0)),
        (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
        (("translate-y", 0.9, 9), ("translate-y", 0.7, 9)),
        (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
        (("equalize", 0.8, 0), ("invert", 0.1, 0)),
        (("translate-y", 0.7, 9), ("autocontrast", 0.9, 0)),
    ),
    "imagenet": (
        (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
        (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
        (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
        (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
        (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
        (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
        (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
        (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
        (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
        (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
        (("rotate", 0.8, 8), ("color", 0.4, 0)),
        (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
        (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
        (("invert", 0.6, 0), ("equalize", 1.0, 0)),
        (("color", 0.6, 4), ("contrast", 1.0, 8)),
        (("rotate", 0.8, 8), ("color", 1.0, 2)),
        (("color", 0.8, 8), ("solarize", 0.8, 7)),
        (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
        (("shear-x", 0.6, 5), ("equalize", 1.0, 0)),
        (("color", 0.4, 0), ("equalize", 0.6, 0)),
        (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
        (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
        (("invert", 0.6, 0), ("equalize", 1.0, 0)),
        (("color", 0.6, 4), ("contrast", 1.0, 8)),
        (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    ),
}

_ENHANCE: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "color": image_ops.color,
    "contrast": image_ops.contrast,
    "brightness": image_ops.brightness,
    "sharpness": image_ops.sharpness,
}
_PLAIN: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "invert": image_ops.invert,
    "equalize": image_ops.equalize,
    "autocontrast": image_ops.autocontrast,
}
OPERATIONS = (*GEOMETRY, *_ENHANCE, *_PLAIN, "solarize", "posterize")


class Draw(NamedTuple):
    """What happens to each image at one of the two places of its sub-policy, all ``[B]``.

    ``operation`` is an index into ``OPERATIONS``, -1 for none; ``bin`` from 0 to 9, whole in a policy;
    ``sign`` -1 or 1.
    """

    operation: torch.Tensor
    bin: torch.Tensor
    sign: torch.Tensor


def autoaugment(x: torch.Tensor, generator: torch.Generator, policy: Policy) -> torch.Tensor:
    """Augment images uint8 ``[B, C, H, W]``, C = 1 or 3; each draws a sub-policy of its own."""
    for place, operation in enumerate(draw(len(x), generator, policy, x.device)):
        x = apply(x, operation, tuple(dict.fromkeys(steps[place][0] for steps in POLICIES[policy])))
    return x


def draw(samples: int, generator: torch.Generator, policy: Policy, device: torch.device) -> list[Draw]:
    """The two operations of each of ``samples`` images. Draws ``5 samples`` numbers."""
    where = generator.device
    policies = len(POLICIES[policy])
    chosen = drawn(
        generator, samples, lambda n: torch.randint(policies, (n,), generator=generator, device=where)
    )
    coin = drawn(generator, samples, lambda n: torch.rand((2, n), generator=generator, device=where), axis=1)
    sign = drawn(
        generator, samples, lambda n: torch.randint(2, (2, n), generator=generator, device=where), axis=1
    )
    sign = sign * 2 - 1
    draws = []
    for place in range(2):
        steps = [steps[place] for steps in POLICIES[policy]]
        operation = constant(tuple(OPERATIONS.index(name) for name, _, _ in steps), where, torch.int64)[
            chosen
        ]
        probability = constant(tuple(p for _, p, _ in steps), where)[chosen]
        level = constant(tuple(bin_ for _, _, bin_ in steps), where, torch.int64)[chosen]
        operation = torch.where(coin[place] < probability, operation, -1)
        draws.append(Draw(*(t.to(device) for t in (operation, level, sign[place]))))
    return draws


def apply(x: torch.Tensor, drawn: Draw, operations: tuple[str, ...] = OPERATIONS) -> torch.Tensor:
    """Do to each image what was drawn for it; only ``operations`` can occur."""
    m = drawn.bin.double() / (BINS - 1)
    if set(operations) & set(GEOMETRY):
        matrix = geometry(drawn, x.shape[2], x.shape[3]).to(torch.float32)
        x = _where(x, _mask(drawn, GEOMETRY), lambda x, matrix: image_ops.warp(x, matrix, FILL), matrix)
    for name in operations:
        mask = _mask(drawn, (name,))
        if name in _ENHANCE:
            x = _where(x, mask, _ENHANCE[name], 1 + 0.9 * (drawn.sign * m))
        elif name in _PLAIN:
            x = _where(x, mask, _PLAIN[name])
        elif name == "solarize":
            x = _where(x, mask, image_ops.solarize, 256 * (1 - m))
        elif name == "posterize":
            x = _where(x, mask, image_ops.posterize, 8 - (4 * m).round().long())
    return x


def geometry(drawn: Draw, height: int, width: int) -> torch.Tensor:
    """Maps from places in the result to places in the image, ``[B, 2, 3]``; identity for other operations."""
    amount = drawn.sign * drawn.bin.double() / (BINS - 1)
    shear_x, shear_y, shift_x, shift_y, turn = (
        torch.where(drawn.operation == OPERATIONS.index(name), amount, 0) for name in GEOMETRY
    )
    angle = turn * (30 * torch.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    centre_x, centre_y = width / 2, height / 2
    limit = 150 / 331
    u = (
        cos,
        0.3 * shear_x - sin,
        centre_x * (1 - cos) + centre_y * sin + (limit * width * shift_x).trunc(),
    )
    v = (
        0.3 * shear_y + sin,
        cos,
        centre_y * (1 - cos) - centre_x * sin + (limit * height * shift_y).trunc(),
    )
    return torch.stack([torch.stack(u, 1), torch.stack(v, 1)], 1)


def _mask(drawn: Draw, names: tuple[str, ...]) -> torch.Tensor:
    first = OPERATIONS.index(names[0])
    if len(names) == 1:
        return drawn.operation == first
    assert OPERATIONS[first : first + len(names)] == names
    return (drawn.operation >= first) & (drawn.operation < first + len(names))


def _where(
    x: torch.Tensor, mask: torch.Tensor, operation: Callable[..., torch.Tensor], *parameters: torch.Tensor
) -> torch.Tensor:
    """``operation`` on the images in ``mask [B]``.

    A CPU works on these images only. An accelerator works on all and picks: there that costs less than
    asking it which they are.
    """
    if x.device.type != "cpu":
        return torch.where(mask.view(-1, 1, 1, 1), operation(x, *parameters), x)
    chosen = mask.nonzero()[:, 0]
    if not len(chosen):
        return x
    return x.index_copy(0, chosen, operation(x[chosen], *(p[chosen] for p in parameters)))
