"""A tiny data set, networks and recipe for tests of training: seconds, not minutes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.data.types import DataSet
from snn_deploy.processes.share import drawn
from snn_deploy.recipes.recipe import Recipe, parse_recipe

CLASSES = 3
SHAPE = (2, 6, 6)

RECIPE = """
name: toy
timesteps: 3
data: {name: digits-dvs}
teacher:
  name: cnn
  blocks: [{channels: 4, stride: 2}]
  train: {epochs: 2, batch_size: 16, lr: 0.01}
student:
  name: spiking-cnn
  blocks: [{channels: 4, stride: 2}]
  neuron: {kind: lif, v_threshold: 0.2}
method: {name: tser}
train: {epochs: 3, batch_size: 16, lr: 0.01, warmup_epochs: 1, checkpoint_seconds: 1000}
"""


def toy_recipe(*overrides: str) -> Recipe:
    """The toy recipe with dotted overrides."""
    return parse_recipe(RECIPE, overrides)


def toy_data(timesteps: int = 3, sizes: Sequence[int] = (40, 12, 12), seed: int = 0) -> DataSet:
    """Random spikes, each class denser in other pixels; learnable in a few epochs, harder than one."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(sizes)
    labels = torch.arange(total) % CLASSES
    rates = 0.1 + 0.6 * torch.rand((CLASSES, 1, *SHAPE), generator=generator)
    rows = torch.randperm(total, generator=generator).split(list(sizes))
    draw = torch.rand((total, timesteps, *SHAPE), generator=generator)
    frames = (draw < rates[labels]).to(torch.uint8)
    train, validation, test = (ArraySplit(frames, part, labels[part]) for part in rows)
    return DataSet(
        name="toy",
        shape=SHAPE,
        classes=("a", "b", "c"),
        train=train,
        validation=validation,
        test=test,
        digest=f"toy {timesteps} {tuple(sizes)} {seed}",
        augment=flip_some,
    )


def flip_some(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror random samples; draws from ``generator`` only."""
    chosen = drawn(generator, x.shape[1], lambda n: torch.rand(n, generator=generator)) < 0.3
    return torch.where(chosen[None, :, None, None, None], x.flip(-1), x)
