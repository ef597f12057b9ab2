"""The teacher ``cnn``: a small analogue network on single images.

::

    x [B, C, H, W] -> (conv, batch norm, ReLU) x N -> average over positions -> dropout -> linear -> [B, K]

On event data it sees the mean over time of the frames.
"""

from __future__ import annotations

from collections import OrderedDict

from pydantic import Field
from torch import nn

from snn_deploy.registry import TEACHERS, Options


class ConvOptions(Options):
    """One 3x3 convolution, padded by 1."""

    channels: int = Field(ge=1, le=8192)
    stride: int = Field(default=1, ge=1, le=16)


class CnnOptions(Options):
    """The convolutions in order, and the dropout before the last layer."""

    blocks: tuple[ConvOptions, ...] = Field(min_length=1, max_length=64)
    dropout: float = Field(default=0.0, ge=0, lt=1)


@TEACHERS.register("cnn", options=CnnOptions)
def cnn(options: CnnOptions, *, in_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """A small analogue convolutional network."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = in_shape[0]
    for number, block in enumerate(options.blocks, start=1):
        layers[f"block{number}"] = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(channels, block.channels, 3, block.stride, padding=1, bias=False),
                norm=nn.BatchNorm2d(block.channels),
                relu=nn.ReLU(),
            )
        )
        channels = block.channels
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(options.dropout)
    layers["linear"] = nn.Linear(channels, classes)
    return nn.Sequential(layers)
