"""What a training step is fed: inputs for every number of steps, and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from snn_deploy.data.seeds import derived_seed
from snn_deploy.data.types import DataSet, Split


class Batch(NamedTuple):
    """``inputs [T, B, C, H, W]`` by T and ``labels [B]`` of the same samples, on the device."""

    inputs: dict[int, torch.Tensor]
    labels: torch.Tensor


class Batches:
    """Augmented training batches.

    Their random numbers come from a stream of their own, so that methods which draw different amounts of
    noise see the same augmentations at the same seed. All binnings of a sample are augmented alike.

    Args:
        data: gives the augmentation.
        train: the training split for each number of steps, in the same order of samples.
        device: where batches go.
        seed: of the run.
    """

    def __init__(self, data: DataSet, train: Mapping[int, Split], device: torch.device, seed: int) -> None:
        self._augment = data.augment
        self._train = train
        self._device = device
        self._labels = next(iter(train.values())).labels
        self.generator = torch.Generator(device).manual_seed(derived_seed("augmentation", seed))

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._labels)

    def make(self, indices: torch.Tensor) -> Batch:
        """The batch of the samples ``indices [B]``."""
        labels = self._labels[indices].to(self._device)
        state = self.generator.get_state()
        inputs = {}
        for steps, split in self._train.items():
            x = split.batch(indices).to(self._device, non_blocking=True)
            if self._augment is not None:
                self.generator.set_state(state)
                x = self._augment(x, self.generator)
            inputs[steps] = x
        return Batch(inputs, labels)
