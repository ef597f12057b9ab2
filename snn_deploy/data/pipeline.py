"""The way from recordings to frames that every event data set takes, and its options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from snn_deploy.data.arrays import ArraySplit
from snn_deploy.data.augment import AugmentOptions, augment
from snn_deploy.data.cache import Cached, Tensors
from snn_deploy.data.events import (
    EVENT_DTYPE,
    Events,
    Sensor,
    crop,
    denoise,
    downsample,
    merge_polarities,
)
from snn_deploy.data.frames import accumulate, count_edges, time_edges
from snn_deploy.data.types import DataSet
from snn_deploy.errors import ConfigError
from snn_deploy.registry import Options

REVISION = 1
"""Goes up when this pipeline makes other frames from the same recordings; part of every cache key."""

MAX_COUNT = 255
MAX_BYTES = 8 << 30


class FrameOptions(Options):
    """How recordings become frames, in this order.

    Attributes:
        denoise_us: drop events without an earlier event on a neighbouring pixel within this time.
        crop: keep the central ``crop x crop`` pixels.
        downsample: join blocks of this many by this many pixels.
        polarity: ``on-off`` gives two channels (OFF, ON), ``merged`` one.
        binning: T frames of equal ``time`` or of equal ``count`` of events.
        binary: an entry is 1 where there were events (spikes); else it counts them, up to 255.
        augment: random changes of training batches.
    """

    denoise_us: int | None = Field(default=None, ge=1)
    crop: int | None = Field(default=None, ge=1)
    downsample: int = Field(default=1, ge=1, le=64)
    polarity: Literal["on-off", "merged"] = "on-off"
    binning: Literal["time", "count"] = "time"
    binary: bool = True
    augment: AugmentOptions | None = None

    def content(self) -> dict[str, Any]:
        """The options that change frames."""
        return self.model_dump(mode="json", include=set(FrameOptions.model_fields) - {"augment"})


def select(events: Events, sensor: Sensor, options: FrameOptions) -> tuple[Events, Sensor]:
    """What is left of a recording, and on which sensor, before it is binned."""
    if options.denoise_us is not None:
        events = denoise(events, sensor, options.denoise_us)
    if options.crop is not None:
        events, sensor = crop(events, sensor, options.crop, options.crop)
    if options.downsample > 1:
        events, sensor = downsample(events, sensor, options.downsample)
    if options.polarity == "merged":
        events, sensor = merge_polarities(events, sensor)
    return events, sensor


def to_counts(events: Events, sensor: Sensor, timesteps: int, options: FrameOptions) -> NDArray[np.int64]:
    """Exact event counts of one recording, ``[T, C, H, W]``."""
    events, sensor = select(events, sensor, options)
    edges = (time_edges if options.binning == "time" else count_edges)(events, timesteps)
    return accumulate(events, edges, sensor)


def build_frames(
    recordings: Iterable[Events], total: int, sensor: Sensor, timesteps: int, options: FrameOptions
) -> tuple[NDArray[np.uint8], int]:
    """Frames of ``total`` recordings, uint8 ``[N, T, C, H, W]``, and how many entries were limited to 255.

    One recording is in memory at a time.

    Raises:
        ConfigError: the frames need more than 8 GiB, or the crop is larger than the sensor.
    """
    _, seen = select(np.empty(0, EVENT_DTYPE), sensor, options)
    shape = (total, timesteps, *seen)
    if (size := int(np.prod([float(n) for n in shape]))) > MAX_BYTES:
        raise ConfigError(
            f"Frames of {total} recordings need {size / 2**30:.1f} GiB; the limit is {MAX_BYTES >> 30} GiB.",
            hint="Lower timesteps, or set data.downsample or data.crop.",
        )
    frames = np.zeros(shape, np.uint8)
    limited = 0
    for frame, events in zip(frames, recordings, strict=True):
        counts = to_counts(events, sensor, timesteps, options)
        if options.binary:
            np.greater(counts, 0, out=frame, casting="unsafe")
        else:
            limited += int(np.count_nonzero(counts > MAX_COUNT))
            np.minimum(counts, MAX_COUNT, out=frame, casting="unsafe")
    return frames, limited


def pack(frames: NDArray[np.uint8], labels: NDArray[np.int64], limited: int) -> Tensors:
    """What is cached of a data set."""
    return {
        "frames": torch.from_numpy(frames),
        "labels": torch.from_numpy(labels),
        "limited": torch.tensor([limited]),
    }


def assemble(
    name: str,
    content: Cached,
    parts: Sequence[NDArray[np.int64]],
    options: FrameOptions,
    notes: Sequence[str],
) -> DataSet:
    """The data set of cached ``content`` with the samples ``parts`` = train, validation, test."""
    frames, labels = content.tensors["frames"], content.tensors["labels"]
    rows = [torch.from_numpy(part) for part in parts]
    settings = {
        "name": name,
        "content": content.digest,
        "augment": options.model_dump(mode="json")["augment"],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part in parts:
        digest.update(f"{len(part)}\n".encode() + part.tobytes())
    limited = int(content.tensors["limited"])
    if limited:
        notes = [
            *notes,
            f"{limited} frame entries had more than {MAX_COUNT} events and were limited to that.",
        ]
    channels, height, width = frames.shape[2:]
    train, validation, test = (ArraySplit(frames, part, labels[part]) for part in rows)
    return DataSet(
        name=name,
        shape=(channels, height, width),
        classes=tuple(str(digit) for digit in range(10)),
        train=train,
        validation=validation,
        test=test,
        digest=digest.hexdigest(),
        augment=partial(augment, options=options.augment) if options.augment else None,
        notes=tuple(notes),
    )
