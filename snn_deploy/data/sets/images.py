"""What all sets of still images share: options, how pixels become inputs, splits, and the data set.

Images lie as uint8 on the device and become float32 batch by batch. An input is made of pixels by dividing
by 255, normalising each channel, and encoding over T steps::

    train, validation, test     pixels -> normalise -> encode, without random numbers: what a network sees
    training, with augment      pixels -> crop, flip, AutoAugment, RandAugment -> normalise
                                -> erase, cutout -> encode

So that an image is augmented once and not step by step, and not after it became spikes, the batches that
``DataSet.augment`` takes are pixels: uint8 ``[T, B, C, H, W]`` with T views of one image, read from
``DataSet.training``. It is None where there is nothing random to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from snn_deploy.core.contract import ImageSteps
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.augment import encode
from snn_deploy.data.augment.constants import constant
from snn_deploy.data.augment.images import augment_inputs, augment_pixels
from snn_deploy.data.options.images import Encoding, ImageAugmentOptions, ImageOptions
from snn_deploy.data.types import DataSet, Split


class Normalization(NamedTuple):
    """Mean and standard deviation of each channel, of intensities from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


NORMALIZATIONS = {
    "cifar10": Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": Normalization((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "mnist": Normalization((0.1307,), (0.3081,)),
    "fashion-mnist": Normalization((0.2860,), (0.3530,)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Statistics of the training images of the public sets."""


@dataclass(frozen=True, slots=True)
class View:
    """How a network is shown pixels."""

    timesteps: int
    encoding: Encoding
    normalization: Normalization | None

    def normalized(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(pixels / 255 - mean) / std`` of uint8 ``[B, C, H, W]``; float32."""
        x = pixels.to(torch.float32, memory_format=torch.contiguous_format) / 255
        if self.normalization is None:
            return x
        mean, std = (constant(numbers, x.device).view(-1, 1, 1) for numbers in self.normalization)
        return x.sub_(mean).div_(std)

    def show(self, pixels: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
        """Inputs ``[T, B, C, H, W]`` of the images that are numbered ``samples [B]`` in the data set."""
        x = self.normalized(pixels)
        if self.encoding == "rate":
            return encode.repeatable_rate(x, self.timesteps, samples)
        if self.encoding == "latency":
            return encode.latency(x, self.timesteps)
        return encode.direct(x, self.timesteps)


@dataclass(frozen=True, slots=True)
class TrainingView:
    """``DataSet.augment`` of image sets: pixels of ``DataSet.training`` become augmented inputs.

    Attributes:
        view: how images are shown in the end.
        options: what is done to them.
        size: their height and width in the end.
    """

    view: View
    options: ImageAugmentOptions
    size: tuple[int, int]

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Inputs float32 ``[T, B, C, H, W]`` of pixels uint8 ``[T, B, C, H', W']`` that are equal over T.

        Raises:
            TypeError: ``x`` holds inputs instead of pixels.
        """
        if x.dtype != torch.uint8:
            raise TypeError(f"augment takes pixels, batches of DataSet.training, not {x.dtype} inputs")
        pixels = augment_pixels(x[0], generator, self.options, self.size)
        images = augment_inputs(self.view.normalized(pixels), generator, self.options)
        if self.view.encoding == "rate":
            return encode.rate(images, len(x), generator)
        if self.view.encoding == "latency":
            return encode.latency(images, len(x))
        return encode.direct(images, len(x))


Show = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Makes a batch ``[T, B, C, H, W]`` of pixels uint8 ``[B, C, H, W]`` and the samples' numbers ``[B]``."""


def show_pixels(pixels: torch.Tensor, samples: torch.Tensor, timesteps: int = 1) -> torch.Tensor:
    """The pixels themselves, for ``DataSet.augment``."""
    return encode.direct(pixels, timesteps)


class Images(Split, Protocol):
    """A split that can be shown in another way."""

    def shown(self, show: Show) -> Split:
        """The same samples, as batches that ``show`` makes."""


@dataclass(frozen=True, slots=True)
class ImageSplit:
    """Images in memory, as uint8. Implements ``Split``.

    Attributes:
        pixels: uint8 ``[N, C, H, W]``.
        labels: int64 ``[N]``.
        samples: their numbers in the data set, int64 ``[N]``.
        show: makes a batch of pixels.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    samples: torch.Tensor
    show: Show = show_pixels

    def __len__(self) -> int:
        return len(self.labels)

    def shown(self, show: Show) -> ImageSplit:
        return replace(self, show=show)

    @property
    def nbytes(self) -> int:
        """Bytes of its images."""
        return self.pixels.nbytes

    def to(self, device: torch.device | str) -> ImageSplit:
        """This split resident on ``device``, as uint8; batches are then made there."""
        return ImageSplit(self.pixels.to(device), self.labels.to(device), self.samples.to(device), self.show)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """The samples ``indices [B]`` as ``show`` makes them, ``[T, B, C, H, W]``."""
        rows = indices.to(self.pixels.device)
        return self.show(self.pixels.index_select(0, rows), self.samples.index_select(0, rows))


def in_memory(
    images: NDArray[np.uint8], labels: NDArray[np.int64], parts: Sequence[NDArray[np.int64]]
) -> list[ImageSplit]:
    """One split for each of ``parts`` of ``images [N, C, H, W]``."""
    return [
        ImageSplit(torch.from_numpy(images[p]), torch.from_numpy(labels[p]), torch.from_numpy(p))
        for p in parts
    ]


def hold_out(labels: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide the samples into kept ones and ``count`` held-out ones, without random numbers.

    Each class gives its share, rounded so that exactly ``count`` are taken (largest remainders, the first
    of equal ones), spread evenly over its order: of ``m`` samples those ``j`` for which
    ``floor((j + 1) q / m) > floor(j q / m)``, with q to be taken.

    Returns:
        Sorted sample numbers: kept, held out.

    Raises:
        DataError: fewer than ``count + 1`` samples.
    """
    if count >= len(labels):
        raise DataError(f"{count} of {len(labels)} training images held out for validation leave none.")
    classes, place, members = np.unique(labels, return_inverse=True, return_counts=True)
    quota, remainder = np.divmod(members * count, len(labels))
    quota[np.argsort(-remainder, kind="stable")[: count - quota.sum()]] += 1
    held = np.zeros(len(labels), bool)
    for index in range(len(classes)):
        rows = np.flatnonzero(place == index)
        order = np.arange(len(rows) + 1) * quota[index] // len(rows)
        held[rows[np.diff(order) > 0]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def array_digest(*arrays: NDArray[Any]) -> str:
    """SHA-256 over types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def assemble(
    name: str,
    parts: Sequence[Images],
    shape: tuple[int, int, int],
    classes: Sequence[str],
    options: ImageOptions,
    timesteps: int,
    content: Any,
    notes: Sequence[str],
    source: Images | None = None,
    resize: int | None = None,
) -> DataSet:
    """The data set of three parts.

    Args:
        name: registry name.
        parts: train, validation, test.
        shape: of an image, ``(C, H, W)``.
        classes: names in the order of labels.
        options: how images are shown and augmented.
        timesteps: number of steps T.
        content: JSON-ready values that stand for images, labels and parts.
        notes: what a reader must know.
        source: the training images as augmentation wants them, when not as in ``parts``.
        resize: pixels to which the shorter side of an image is brought first.

    Raises:
        ConfigError: the normalisation is for another number of channels.
    """
    normalization = None if options.normalize is None else NORMALIZATIONS[options.normalize]
    if normalization is not None and len(normalization.mean) != shape[0]:
        raise ConfigError(
            f"data.normalize={options.normalize} is for {len(normalization.mean)} channels; "
            f"the images of '{name}' have {shape[0]}.",
            hint="Set data.normalize=null, or the statistics of a set with as many channels.",
        )
    mean, std = normalization or ((), ())
    view = View(timesteps, options.encoding, normalization)
    wanted = options.augment or ImageAugmentOptions()
    random = options.encoding == "rate" or wanted != ImageAugmentOptions()
    settings = [name, timesteps, options.model_dump(mode="json", exclude={"root"}), content]
    train, validation, test = parts
    pixels = partial(show_pixels, timesteps=timesteps)
    return DataSet(
        name=name,
        shape=shape,
        classes=tuple(classes),
        train=train.shown(view.show),
        validation=validation.shown(view.show),
        test=test.shown(view.show),
        digest=hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        augment=TrainingView(view, wanted, shape[1:]) if random else None,
        notes=tuple(notes),
        steady=options.encoding != "latency",
        made=ImageSteps(options.encoding, mean, std, resize),
        source=(source or train).shown(pixels) if random else None,
    )
