"""The options of data sets of still images: how pixels become inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from snn_deploy.core.registry import Options

Policy = Literal["cifar10", "imagenet"]


class RandAugmentOptions(Options):
    """RandAugment.

    Attributes:
        operations: per image, the paper's N.
        magnitude: of each, the paper's M; 10 is the strongest.
    """

    operations: int = Field(default=2, ge=1, le=8)
    magnitude: float = Field(default=9, ge=0, le=10)


def _check_shares(shares: tuple[float, float]) -> tuple[float, float]:
    low, high = shares
    if not 0 < low <= high <= 1:
        raise ValueError("two shares of the image's area, 0 < smallest <= largest <= 1")
    return shares


Shares = Annotated[tuple[float, float], AfterValidator(_check_shares)]


class ImageAugmentOptions(Options):
    """What is done to training images, in this order; normalisation comes before erasing and cutout.

    Attributes:
        resized_crop: cut out a rectangle of a share of the area in this range and resize it.
        crop_padding: cut out the full size from the image with a black border of this many pixels.
        flip: mirror half of the images left to right.
        autoaugment: AutoAugment with the policy found for this data set.
        randaugment: RandAugment.
        erasing: probability that a rectangle is set to 0.
        erasing_area: its share of the area.
        cutout: side of a square set to 0 in every image.
    """

    resized_crop: Shares | None = None
    crop_padding: int = Field(default=0, ge=0, le=64)
    flip: bool = False
    autoaugment: Policy | None = None
    randaugment: RandAugmentOptions | None = None
    erasing: float = Field(default=0.0, ge=0, le=1)
    erasing_area: Shares = (0.02, 0.4)
    cutout: int = Field(default=0, ge=0)


Encoding = Literal["direct", "rate", "latency"]
Statistics = Literal["cifar10", "cifar100", "mnist", "fashion-mnist", "imagenet"]


class ImageOptions(Options):
    """Options of every set of still images.

    Attributes:
        root: folder of the files.
        encoding: ``direct`` repeats the image, ``rate`` and ``latency`` make spikes of it.
        normalize: whose mean and standard deviation each channel is brought to 0 and 1 by; null for none.
            Only with direct encoding: the others read intensities from 0 to 1.
        augment: random changes of training batches.
    """

    root: Path | None = None
    encoding: Encoding = "direct"
    normalize: Statistics | None = None
    augment: ImageAugmentOptions | None = None

    @model_validator(mode="after")
    def _intensities(self) -> Self:
        if self.encoding != "direct" and self.normalize is not None:
            raise ValueError(f"{self.encoding} coding reads intensities from 0 to 1: set normalize to null")
        return self
