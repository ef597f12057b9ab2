"""The teacher ``cnn``: a small analogue network on single images.

::

    x [B, C, H, W] -> (conv, batch norm, ReLU, pooling) x N -> grid of averages -> dropout -> linear -> [B, K]

On event data it sees the mean over time of the frames.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from snn_deploy.core.registry import TEACHERS
from snn_deploy.models.options import CnnOptions


@TEACHERS.register("cnn")
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
