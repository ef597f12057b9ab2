"""The networks: a spiking student and the ordinary network that teaches it."""

from __future__ import annotations

from spikingjelly.activation_based import layer, neuron
from torch import nn


class Student(nn.Module):
    """``[T, B, C, H, W] -> [T, B, K]``: a convolution, a layer of neurons, and spikes for each class."""

    def __init__(self, in_shape: tuple[int, int, int], classes: int, width: int = 8) -> None:
        super().__init__()
        channels, height, size = in_shape
        self.conv = layer.Conv2d(channels, width, 3, padding=1, step_mode="m")
        self.hidden = neuron.LIFNode(step_mode="m")
        self.pool = layer.AvgPool2d(2, step_mode="m")
        self.flatten = layer.Flatten(step_mode="m")
        self.score = layer.Linear(width * (height // 2) * (size // 2), classes, step_mode="m")
        self.out = neuron.IFNode(step_mode="m")

    def forward(self, x):
        x = self.pool(self.hidden(self.conv(x)))
        return self.out(self.score(self.flatten(x)))


class Teacher(nn.Sequential):
    """``[B, C, H, W] -> [B, K]``, no spikes."""

    def __init__(self, in_shape: tuple[int, int, int], classes: int, width: int = 16) -> None:
        channels, height, size = in_shape
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(width * height * size, classes),
        )
