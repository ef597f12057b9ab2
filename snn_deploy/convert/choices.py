"""How a network is converted: what a user can choose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

MaxPooling = Literal["or", "average"]


@dataclass(frozen=True, slots=True)
class Choices:
    """Attributes:
    images: calibration images, of the training split.
    judged: share of them that chooses between rounds and corrects nothing.
    rounds: of choosing thresholds and correcting weights per layer; 0 leaves weights as they are, and takes
    the
        thresholds that are best for an even current.
    each_channel: one threshold per channel instead of per layer.
    penalty, step: of the corrections, see :mod:`snn_deploy.convert.weights`: the share of a residual that is
        taken at once.
    max_pool: what stands for the maximum of a window: ``or``: a neuron that fires when one of the window
    does;
        ``average``: the mean. Both are approximations.
    at_once: images that are run together.
    """

    images: int = 256
    judged: float = 0.25
    rounds: int = 3
    each_channel: bool = True
    penalty: float = 1e-2
    step: float = 0.7
    max_pool: MaxPooling = "or"
    at_once: int = 32

    def parts(self, begin: int, end: int) -> Iterator[slice]:
        """The images ``begin`` to ``end`` in parts."""
        return (slice(i, min(i + self.at_once, end)) for i in range(begin, end, self.at_once))


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How an ANN is fine-tuned.

    Attributes:
        epochs: over the training split.
        seed: of the order of images and of augmentation.
        lr: largest rate of AdamW; a cosine falls from it to 0.
        batch_size: images in a step.
        tau: temperature of the logits.
    """

    epochs: int
    seed: int = 0
    lr: float = 7e-4
    batch_size: int = 128
    tau: float = 2.0
