"""Residual networks in the layouts of public checkpoints, as teachers.

::

    resnet20, resnet56          conv1 bn1 layer{1,2,3}.i.{conv,bn}{1,2} linear
    imagenet-resnet18, 34, 50   conv1 bn1 layer{1..4}.i.{conv,bn}{1,2[,3]} [layer.i.downsample.{0,1}] fc

The first are those of He et al., CVPR 2016, section 4.2, for images of 32x32: 16, 32 and 64 channels, n = 3
or 9 blocks per layer, and shortcuts without weights (option A), which take every second position and
pad channels with zeros, half of them before and half after. The others are the networks of that paper's
table 1 with projections (option B) and, in the bottleneck of depth 50, the stride in the 3x3 convolution;
weights published for torchvision and timm have this layout. Checkpoints are safetensors:
``teacher.checkpoint``.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from snn_deploy.core.registry import TEACHERS, Options
from snn_deploy.models.parts import Shape

IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class PaddedShortcut(nn.Module):
    """Every second position; zero channels before and after, to ``outputs`` channels. No weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self._pad = (outputs - inputs) // 2, outputs - inputs - (outputs - inputs) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *self._pad))


class PublicBlock(nn.Module):
    """``relu(bn conv .. relu bn conv x + shortcut(x))`` with the public names of the parts."""

    def __init__(self, convs: list[nn.Conv2d], shortcut: nn.Module | None) -> None:
        super().__init__()
        for number, conv in enumerate(convs, start=1):
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(conv.out_channels))
        self._convs = len(convs)
        self.downsample = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for number in range(1, self._convs + 1):
            y = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(y))
            if number < self._convs:
                y = functional.relu(y)
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class PublicResNet(nn.Module):
    """``[B, C, H, W] -> [B, K]``; ``head`` is the name of the last layer."""

    def __init__(
        self, stem: nn.Conv2d, pool: nn.Module, layers: list[nn.Sequential], head: str, k: int
    ) -> None:
        super().__init__()
        self.conv1 = stem
        self.bn1 = nn.BatchNorm2d(stem.out_channels)
        self._pool = pool
        self._layers, self._head = len(layers), head
        for number, layer in enumerate(layers, start=1):
            self.add_module(f"layer{number}", layer)
        last = [m for m in layers[-1].modules() if isinstance(m, nn.BatchNorm2d)][-1]
        self.add_module(head, nn.Linear(last.num_features, k))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._pool(functional.relu(self.bn1(self.conv1(x))))
        for number in range(1, self._layers + 1):
            x = self.get_submodule(f"layer{number}")(x)
        logits: torch.Tensor = self.get_submodule(self._head)(x.mean((2, 3)))
        return logits


def cifar_resnet(n: int, options: Options, *, in_shape: Shape, classes: int) -> PublicResNet:
    """Depth ``6 n + 2`` for small images."""
    layers, inputs = [], 16
    for width in (16, 32, 64):
        blocks = []
        for place in range(n):
            stride = 2 if place == 0 and width > 16 else 1
            shortcut = PaddedShortcut(inputs, width) if stride == 2 else None
            blocks.append(PublicBlock([_conv(inputs, width, 3, stride), _conv(width, width, 3)], shortcut))
            inputs = width
        layers.append(nn.Sequential(*blocks))
    return PublicResNet(_conv(in_shape[0], 16, 3), nn.Identity(), layers, "linear", classes)


def imagenet_resnet(depth: int, options: Options, *, in_shape: Shape, classes: int) -> PublicResNet:
    """The residual networks for photographs."""
    layers, inputs = [], 64
    for number, count in enumerate(IMAGENET_BLOCKS[depth]):
        width, blocks = 64 << number, []
        outputs = 4 * width if depth == 50 else width
        for place in range(count):
            stride = 2 if place == 0 and number else 1
            convs = [_conv(inputs, width, 3, stride), _conv(width, width, 3)]
            if depth == 50:
                convs = [_conv(inputs, width, 1), _conv(width, width, 3, stride), _conv(width, outputs, 1)]
            shortcut = None
            if stride != 1 or inputs != outputs:
                shortcut = nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
            blocks.append(PublicBlock(convs, shortcut))
            inputs = outputs
        layers.append(nn.Sequential(*blocks))
    stem = _conv(in_shape[0], 64, 7, 2)
    return PublicResNet(stem, nn.MaxPool2d(3, 2, 1), layers, "fc", classes)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


for _name, _n in (("resnet20", 3), ("resnet56", 9)):
    TEACHERS.register(_name)(partial(cifar_resnet, _n))
for _depth in IMAGENET_BLOCKS:
    TEACHERS.register(f"imagenet-resnet{_depth}")(partial(imagenet_resnet, _depth))
