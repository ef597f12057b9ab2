"""Mix pairs of samples and their labels: mixup and CutMix.

::

    mixup    x' = l x + (1 - l) x[p]                    y' = l y + (1 - l) y[p]
    CutMix   x' = x[p] inside a rectangle, else x       y' = s y + (1 - s) y[p]

``p`` is a random permutation of the batch and ``l ~ Beta(alpha, alpha)``, one per batch. The rectangle has
the image's aspect and ``1 - l`` of its area, its centre is uniform over the image, what lies outside is cut
off; ``1 - s`` is the share of the area that is left.

Zhang, Cisse, Dauphin and Lopez-Paz, ICLR 2018, equation 1; Yun et al., ICCV 2019, section 3.1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Mix(NamedTuple):
    """What is drawn for a batch: partners ``order [B]``, ``l``, and the centre ``(y, x)`` of the rectangle in
    units of the sides; None for mixup."""

    order: torch.Tensor
    l: float  # noqa: E741 - the equation's name
    centre: tuple[float, float] | None = None


def draw_mixup(samples: int, alpha: float, generator: torch.Generator) -> Mix:
    """Draw for mixup; ``alpha`` is above 0, 1 is uniform, smaller values mix less."""
    order = torch.randperm(samples, generator=generator)
    # The first component of a Dirichlet(alpha, alpha) variable is a Beta(alpha, alpha) variable.
    share = torch._sample_dirichlet(torch.full((2,), alpha, dtype=torch.float64), generator=generator)[0]
    return Mix(order, float(share))


def draw_cutmix(samples: int, alpha: float, generator: torch.Generator) -> Mix:
    """Draw for CutMix; see :func:`draw_mixup`."""
    mix = draw_mixup(samples, alpha, generator)
    y, x = torch.rand(2, generator=generator).tolist()
    return mix._replace(centre=(y, x))


def mixed(x: torch.Tensor, y: torch.Tensor, mix: Mix) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs ``x [T, B, C, H, W]`` and class probabilities ``y [B, K]``, mixed."""
    order = mix.order.to(x.device)
    if mix.centre is None:
        return torch.lerp(x[:, order], x, mix.l), torch.lerp(y[order], y, mix.l)
    rows, columns = rectangle(mix, x.shape[3], x.shape[4])
    pasted = x.clone()
    pasted[..., rows, columns] = x[:, order, :, rows, columns]
    share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (x.shape[3] * x.shape[4])
    return pasted, torch.lerp(y[order], y, share)


def rectangle(mix: Mix, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns that come from the partner."""
    assert mix.centre is not None
    side = (1 - mix.l) ** 0.5
    found = []
    for place, size in zip(mix.centre, (height, width), strict=True):
        length, centre = int(size * side), int(size * place)
        start = max(centre - length // 2, 0)
        found.append(slice(start, max(start, min(centre - length // 2 + length, size))))
    return found[0], found[1]
