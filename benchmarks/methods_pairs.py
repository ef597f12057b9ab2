"""Recordings beside the images they were made of: a student sees the events, its teacher the image.

The data set ``pairs`` is N-MNIST with MNIST in a third channel (file ``n`` of N-MNIST shows image ``n - 1``
of MNIST's same part). The student ``recording-cnn`` is ``spiking-cnn`` on the first two channels, the teacher
``image-cnn`` is ``cnn`` on the third, so no student sees an image. Images lie in the middle of the sensor.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.functional import pad

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import DATASETS, STUDENTS, TEACHERS, Options
from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.data.options.sets import IdxOptions, NmnistOptions
from snn_deploy.data.sets.images import ImageSplit
from snn_deploy.data.sets.mnist import mnist
from snn_deploy.data.sets.nmnist import PUBLIC_SIZE, SENSOR, list_recordings, nmnist
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.types import DataSet
from snn_deploy.models.cnn import cnn
from snn_deploy.models.options import CnnOptions, SpikingCnnOptions
from snn_deploy.models.spiking_cnn import SpikingCnn, spiking_cnn

EVENTS = SENSOR.channels
MARGIN = 3
"""Pixels around an image."""


class PairsOptions(Options):
    """Options of ``pairs``.

    Attributes:
        recordings, images: options of ``nmnist`` and ``mnist``.
        use: train on ``recordings`` with their images, or on the ``images`` of MNIST that have no recording
            here, without events.
    """

    recordings: dict[str, Any] = {}
    images: dict[str, Any] = {}
    use: Literal["recordings", "images"] = "recordings"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Frames and, in the last channel, images. Implements ``Split``."""

    recordings: ArraySplit
    images: ImageSplit

    @property
    def labels(self) -> torch.Tensor:
        return self.recordings.labels

    def __len__(self) -> int:
        return len(self.recordings)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """``[T, B, 3, H, W]``."""
        return torch.cat([self.recordings.batch(indices), self.images.batch(indices)], 2)


@dataclass(frozen=True, slots=True)
class Images:
    """Images in the last channel beside no events, shown once: for a network that takes the mean over time.
    Implements ``Split``."""

    images: ImageSplit

    @property
    def labels(self) -> torch.Tensor:
        return self.images.labels

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """``[1, B, 3, H, W]``."""
        return pad(self.images.batch(indices)[:1], (0, 0, 0, 0, EVENTS, 0))


@DATASETS.register("pairs", options=PairsOptions)
def pairs(options: PairsOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """N-MNIST with the images of MNIST that were recorded.

    Raises:
        DataError: the files of one of them are missing or damaged, or their digits do not agree.
    """
    recorded = NmnistOptions.model_validate(options.recordings)
    seen = nmnist(recorded, timesteps=timesteps, cache=cache)
    shown = mnist(IdxOptions.model_validate({"normalize": None, **options.images}), timesteps=timesteps)
    images, count = _in_order(shown), len(shown.train) + len(shown.validation)
    root = (recorded.root or default_root("NMNIST")).expanduser()
    numbers = torch.tensor(
        [
            int(path.stem) - 1 + (count if part == "Test" else 0)
            for part in PUBLIC_SIZE
            for path, _ in list_recordings(root / part)
        ]
    )
    paired = [_pairs(split, images, numbers) for split in (seen.train, seen.validation, seen.test)]
    splits: list[Pairs] | list[Images] = paired
    note = "The image of MNIST that was recorded stands beside each recording, for the teacher alone."
    if options.use == "images":
        splits = [_without(split, images, numbers) for split in (shown.train, shown.validation, shown.test)]
        note = "Images of MNIST without a recording here."
    content = f"pairs {seen.digest} {shown.digest} {options.use}"
    return replace(
        seen,
        name="N-MNIST with MNIST",
        shape=(EVENTS + 1, *seen.shape[1:]),
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        digest=hashlib.sha256(content.encode()).hexdigest(),
        notes=(*seen.notes, note),
    )


def _in_order(shown: DataSet) -> ImageSplit:
    """All images with a black border, in the order of the files."""
    parts = (shown.train, shown.validation, shown.test)
    splits = [part for part in parts if isinstance(part, ImageSplit)]
    samples = torch.cat([split.samples for split in splits])
    order = samples.argsort()
    pixels = pad(torch.cat([split.pixels for split in splits])[order], (MARGIN,) * 4)
    return ImageSplit(pixels, torch.cat([s.labels for s in splits])[order], samples[order], splits[0].show)


def _pairs(split: Any, images: ImageSplit, numbers: torch.Tensor) -> Pairs:
    rows = numbers[split.rows]
    if not torch.equal(images.labels[rows], split.labels):
        raise DataError("The recordings of N-MNIST are not of the images of MNIST that their names say.")
    return Pairs(split, _rows(images, rows))


def _without(split: Any, images: ImageSplit, numbers: torch.Tensor) -> Images:
    """Those of ``split`` but the ``numbers``, of all ``images``."""
    return Images(_rows(images, split.samples[~torch.isin(split.samples, numbers)]))


def _rows(images: ImageSplit, rows: torch.Tensor) -> ImageSplit:
    return ImageSplit(images.pixels[rows], images.labels[rows], images.samples[rows], images.show)


class Channels(nn.Module):
    """``count`` channels of the input from number ``start``."""

    def __init__(self, start: int, count: int) -> None:
        super().__init__()
        self.start, self.count = start, count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., C, H, W]``."""
        return x.narrow(-3, self.start, self.count).contiguous()


@STUDENTS.register("recording-cnn", options=SpikingCnnOptions)
def recording_cnn(
    options: SpikingCnnOptions, *, in_shape: tuple[int, int, int], classes: int, timesteps: int
) -> SpikingCnn:
    """``spiking-cnn`` on the events of ``pairs``."""
    shape = (EVENTS, *in_shape[1:])
    student = spiking_cnn(options, in_shape=shape, classes=classes, timesteps=timesteps)
    layers = OrderedDict(events=Channels(0, EVENTS), **dict(student.named_children()))
    return SpikingCnn(layers, student.logit_scale)


@TEACHERS.register("image-cnn", options=CnnOptions)
def image_cnn(options: CnnOptions, *, in_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """``cnn`` on the images of ``pairs``."""
    network = cnn(options, in_shape=(1, *in_shape[1:]), classes=classes)
    return nn.Sequential(OrderedDict(image=Channels(EVENTS, 1), **dict(network.named_children())))
