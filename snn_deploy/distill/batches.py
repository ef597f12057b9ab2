"""What a training step is fed: inputs for every number of steps, and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import one_hot

from snn_deploy.core.errors import SnnDeployError
from snn_deploy.data.augment.mixing import Mix, draw_cutmix, draw_mixup, mixed
from snn_deploy.data.loading.seeds import derived_seed
from snn_deploy.data.types import DataSet, Split, expect
from snn_deploy.processes.share import BatchGenerator, Share, divide
from snn_deploy.processes.world import World
from snn_deploy.recipes.recipe import MixSpec


class Batch(NamedTuple):
    """``inputs [T, B, C, H, W]`` by T, and ``labels`` of the same samples: class numbers ``[B]``, or class
    probabilities ``[B, K]`` of mixed ones. All on the device."""

    inputs: dict[int, torch.Tensor]
    labels: torch.Tensor


class Batches:
    """Augmented and mixed training batches.

    Their random numbers come from streams of their own, so that methods which draw different amounts of
    noise see the same batches at the same seed. All binnings of a sample are augmented and mixed alike.

    Args:
        data: gives the augmentation.
        train: the training split for each number of steps, in the same order of samples.
        device: where batches go.
        seed: of the run.
        mix: how samples are mixed after augmentation, if they are.
    """

    def __init__(
        self,
        data: DataSet,
        train: Mapping[int, Split],
        device: torch.device,
        seed: int,
        mix: MixSpec | None = None,
    ) -> None:
        self._augment = data.augment
        self._train = train
        self._device = device
        self._labels = next(iter(train.values())).labels
        self._classes = len(data.classes)
        self._mix = mix
        self._augmentation = BatchGenerator(device)
        self._augmentation.manual_seed(derived_seed("augmentation", seed))
        self._mixing = torch.Generator().manual_seed(derived_seed("mixing", seed))

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._labels)

    @property
    def samples_at(self) -> torch.device:
        """Where indices of samples are best made: where all the samples are, else on the CPU."""
        devices = {split.labels.device for split in self._train.values()}
        return devices.pop() if len(devices) == 1 else torch.device("cpu")

    def expect(self, batches: Sequence[torch.Tensor], world: World) -> None:
        """Whole ``batches`` of indices that come next: what this process takes of them is read ahead."""
        parts = [part for part in batches if len(part)]
        own = [part[s.start : s.stop] for part in parts for s in divide(len(part), 1, world)]
        for split in self._train.values():
            expect(split, *own)

    def make(self, indices: torch.Tensor, epoch: int, share: Share | None = None) -> Batch:
        """The batch of the samples ``indices [B]`` in the ``epoch``, counted from 0, or a ``share`` of it.

        Of the rest of the batch only those samples are read that are mixed into the share.

        Raises:
            DataError: samples cannot be read.
        """
        mix = self._draw(len(indices), epoch)
        share = share or Share(0, len(indices), len(indices))
        own, positions = slice(share.start, share.stop), None
        chosen = indices[own]
        if mix is not None and len(share) < share.total:
            partners = mix.order[own]
            positions = torch.cat([torch.arange(share.start, share.stop), partners])
            chosen = torch.cat([chosen, indices[partners.to(indices.device)]])
            mix = mix._replace(order=torch.arange(len(positions)).roll(len(share)))
        self._augmentation.draw_for(share, positions)
        inputs = self._augmented(chosen)
        labels = self._labels[chosen.to(self._labels.device)].to(self._device)
        if mix is None:
            return Batch(inputs, labels)
        targets = one_hot(labels, self._classes).float()
        mix = mix._replace(order=mix.order.to(self._device))
        pairs = {steps: mixed(x, targets, mix) for steps, x in inputs.items()}
        first = slice(len(share))
        return Batch(
            {steps: x[:, first] for steps, (x, _) in pairs.items()}, next(iter(pairs.values()))[1][first]
        )

    def _augmented(self, indices: torch.Tensor) -> dict[int, torch.Tensor]:
        state = self._augmentation.get_state()
        inputs = {}
        for steps, split in self._train.items():
            try:
                x = split.batch(indices).to(self._device, non_blocking=True)
            except SnnDeployError as error:
                error.alone = True
                raise
            if self._augment is not None:
                self._augmentation.set_state(state)
                x = self._augment(x, self._augmentation)
            inputs[steps] = x
        return inputs

    def _draw(self, samples: int, epoch: int) -> Mix | None:
        spec = self._mix
        if spec is None or (spec.epochs is not None and epoch >= spec.epochs):
            return None
        happens, way = torch.rand(2, generator=self._mixing).tolist()
        if happens >= spec.probability:
            return None
        if spec.cutmix and (not spec.mixup or way < 0.5):
            return draw_cutmix(samples, spec.cutmix, self._mixing)
        return draw_mixup(samples, spec.mixup, self._mixing)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Where the streams of random numbers stand."""
        return {"augmentation": self._augmentation.get_state(), "mixing": self._mixing.get_state()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue where ``state`` was taken."""
        self._augmentation.set_state(state["augmentation"])
        self._mixing.set_state(state["mixing"])
