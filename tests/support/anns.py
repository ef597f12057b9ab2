"""Small ANNs, with batch norm that has seen data, and images that they separate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional


class PlainNet(nn.Module):
    """Convolutions with batch norm, ReLU and max pooling, two dense layers: ``[B, 1, 12, 12] -> [B, 4]``."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.2)
        self.hidden = nn.Linear(width * 36, 16)
        self.scores = nn.Linear(16, 4)

    def forward(self, x):
        x = self.pool(functional.relu(self.norm1(self.conv1(x))))
        x = functional.relu(self.norm2(self.conv2(x)))
        x = functional.relu(self.hidden(self.drop(x.flatten(1))))
        return self.scores(x)


class ResidualNet(nn.Module):
    """A stem, a block with an identity shortcut, one with an option-A shortcut, global average pooling."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.one, self.two = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.three = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.head = nn.Linear(2 * width, 4)
        self.width = width

    def forward(self, x):
        x = functional.relu(self.norm(self.stem(x)))
        x = functional.relu(self.two(functional.relu(self.one(x))) + x)
        shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.width // 2, self.width // 2))
        x = functional.relu(self.three(x) + shortcut)
        return self.head(x.mean((2, 3)))


def seen(module: nn.Module, seed: int = 0) -> nn.Module:
    """``module`` in eval mode, its batch norms with statistics and factors of their own."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for value, low, high in (
                (part.running_mean, -0.5, 0.5),
                (part.running_var, 0.5, 2.0),
                (part.weight.data, 0.5, 1.5),
                (part.bias.data, -0.3, 0.3),
            ):
                value.uniform_(low, high, generator=generator)
    return module.eval()


def images(count: int, seed: int = 0, noise: float = 0.25) -> tuple[torch.Tensor, torch.Tensor]:
    """``[N, 1, 12, 12]`` images of a bright quarter among noise, and which quarter, ``[N]``."""
    generator = torch.Generator().manual_seed(seed)
    x = noise * torch.rand(count, 1, 12, 12, generator=generator)
    y = torch.randint(0, 4, (count,), generator=generator)
    for image, label in zip(x, y.tolist(), strict=True):
        row, column = 6 * (label // 2), 6 * (label % 2)
        image[0, row : row + 6, column : column + 6] += 0.4 * torch.rand(6, 6, generator=generator)
    return x, y


def trained(make: Callable[[], nn.Module], steps: int = 120, seed: int = 0) -> nn.Module:
    """What ``make`` gives after ``steps`` of Adam on :func:`images`, in eval mode; the same every time."""
    torch.manual_seed(seed)
    module = make()
    x, y = images(512, seed=seed)
    optimiser = torch.optim.Adam(module.train().parameters(), 5e-3)
    for step in range(steps):
        part = torch.arange(64) + 64 * (step % 8)
        loss = functional.cross_entropy(module(x[part]), y[part])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module.eval()
