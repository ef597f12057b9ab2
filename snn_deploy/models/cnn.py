"""The teacher ``cnn``: a small analogue network on single images.

::

    x [B, C, H, W] -> (conv, batch norm, ReLU, pooling) x N -> grid of averages -> dropout -> linear -> [B, K]

On event data it sees the mean over time of the frames.
"""

from __future__ import annotations

from collections import OrderedDict

from pydantic import Field
from torch import nn

from snn_deploy.core.registry import TEACHERS, Options


class ConvOptions(Options):
    """One 3x3 convolution, padded by 1. ``pool`` is the side of the average pooling window, 1 for none."""

    channels: int = Field(ge=1, le=8192)
    stride: int = Field(default=1, ge=1, le=16)
    pool: int = Field(default=1, ge=1, le=64)


class CnnOptions(Options):
    """The convolutions in order; the side of the grid of averages that is left of the image, 1 where the
    place of a feature shall not matter; and the dropout before the last layer."""

    blocks: tuple[ConvOptions, ...] = Field(min_length=1, max_length=64)
    grid: int = Field(default=1, ge=1, le=64)
    dropout: float = Field(default=0.0, ge=0, lt=1)


@TEACHERS.register("cnn", options=CnnOptions)
def cnn(options: CnnOptions, *, in_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """A small analogue convolutional network."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = in_shape[0]
    for number, block in enumerate(options.blocks, start=1):
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv=nn.Conv2d(channels, block.channels, 3, block.stride, padding=1, bias=False),
            norm=nn.BatchNorm2d(block.channels),
            relu=nn.ReLU(),
        )
        if block.pool > 1:
            parts["pool"] = nn.AvgPool2d(block.pool)
        layers[f"block{number}"] = nn.Sequential(parts)
        channels = block.channels
    layers["pool"] = nn.AdaptiveAvgPool2d(options.grid)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(options.dropout)
    layers["linear"] = nn.Linear(channels * options.grid**2, classes)
    return nn.Sequential(layers)
