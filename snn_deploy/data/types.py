"""What a data set is to the rest of the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch

from snn_deploy.core.contract import EventFrames, ImageSteps


class Split(Protocol):
    """One part of a data set, read in batches. Time is the first axis of a batch."""

    @property
    def labels(self) -> torch.Tensor:
        """All labels, int64 ``[N]``."""

    def __len__(self) -> int: ...

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Inputs of the samples ``indices``: float32 ``[T, B, C, H, W]``."""


@runtime_checkable
class Ahead(Protocol):
    """A split that takes time to read samples, and can begin before they are asked for."""

    def expect(self, indices: torch.Tensor) -> None:
        """Of these samples batches will be asked for soon, in this order; others are no longer expected."""


def expect(split: Split, *batches: torch.Tensor) -> None:
    """Tell ``split``, if it wants to know, that these ``batches`` of indices come next."""
    if isinstance(split, Ahead):
        split.expect(torch.cat(batches))


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set with fixed splits.

    Attributes:
        name: registry name.
        shape: shape of one frame, ``(C, H, W)``.
        classes: class names in the order of the labels.
        train, validation, test: the splits. The best checkpoint is chosen on ``validation`` only.
        digest: SHA-256 over content, settings and split; recorded with every run.
        augment: batched transform ``(x_tbchw, generator) -> x_tbchw`` for training, on x's device. It takes
            batches of :attr:`training`, and draws what differs from sample to sample through
            :func:`snn_deploy.processes.share.drawn`, so that batches can be divided.
        notes: what a reader must know about this data (subset, substitute, split rule).
        steady: whether the first frames of a longer input are a valid input of their own: true of still
            images, repeated or rate coded; false of recordings, of which they are only the beginning.
        made: how events or images become its frames; None where nobody knows.
        source: the training samples as ``augment`` wants them, in the order of ``train``; None when that is
            ``train`` itself. Image sets give pixels here, which are augmented before they are encoded.
    """

    name: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    digest: str
    augment: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None
    notes: tuple[str, ...] = field(default=())
    steady: bool = False
    made: EventFrames | ImageSteps | None = None
    source: Split | None = None

    @property
    def training(self) -> Split:
        """What to train on: batches of this split go through ``augment`` if there is one."""
        return self.train if self.source is None else self.source
