"""A picture of a few inputs, as TensorBoard shows it."""

from __future__ import annotations

import torch


def picture(x: torch.Tensor) -> torch.Tensor:
    """Samples ``x [T, B, *shape]`` side by side, ``[3, H, B W]`` in 0 .. 1.

    Events (2, H, W): the sum over steps, OFF red and ON blue. Images of 1 or 3 channels: the mean over steps.
    Other maps: the mean over steps and channels. Vectors (N,): N rows, T columns. Each sample is scaled to
    its own largest value; our choice.
    """
    x = x.detach().float().cpu()
    if x.ndim == 5 and x.shape[2] == 2:
        off, on = x.sum(0).unbind(1)
        shown = torch.stack([off, torch.zeros_like(on), on], 1)
    elif x.ndim == 5:
        shown = x.mean(0) if x.shape[2] in {1, 3} else x.mean(0).mean(1, keepdim=True)
    else:
        shown = x.flatten(2).permute(1, 2, 0)[:, None]
    shown = shown - shown.flatten(1).min(1).values.clamp(max=0)[:, None, None, None]
    largest = shown.flatten(1).max(1).values
    shown = shown / torch.where(largest > 0, largest, 1.0)[:, None, None, None]
    return torch.cat(list(shown.expand(-1, 3, -1, -1)), 2)
