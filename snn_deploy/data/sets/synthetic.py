"""``digits-dvs``: real handwritten digits in front of a simulated event camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.camera import Camera, record
from snn_deploy.data.events.pipeline import Binner
from snn_deploy.data.events.recording import Events
from snn_deploy.data.loading.cache import Put, Tensors
from snn_deploy.data.options.sets import DigitsDvsOptions
from snn_deploy.data.sets.recorded import assemble, cached_frames
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

SHARES = (0.60, 0.15, 0.25)
"""Train, validation, test."""

CAMERA = Camera()
_CHUNK = 128  # images recorded at once: their state fits in the cache of a core


@DATASETS.register("digits-dvs")
def digits_dvs(options: DigitsDvsOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """1,797 real 8x8 digits seen by a simulated event camera, 16x16 pixels; embedded, no download.

    Args:
        options: how recordings become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    The images are scikit-learn's ``load_digits`` (Alpaydin and Kaynak 1998, UCI "Optical recognition of
    handwritten digits", test part). The camera's settings and the split are our choice.
    """
    content = cached_frames(
        "digits-dvs",
        options,
        timesteps,
        cache,
        {"camera": asdict(CAMERA)},
        lambda put: _build(options, timesteps, put),
    )
    parts = stratified_split(content.tensors["labels"].numpy(), SHARES)
    notes = (
        "scikit-learn's 1,797 handwritten digits through a simulated event camera: not a public benchmark.",
        "Fixed stratified split "
        + ", ".join(f"{len(p)} {n}" for p, n in zip(parts, ("train", "validation", "test"), strict=True))
        + "; the same writers are in all three.",
    )
    classes = [str(digit) for digit in range(10)]
    return assemble("digits-dvs", content, parts, options, classes, notes, CAMERA.sensor)


def recordings(images: NDArray[np.float64]) -> Iterator[Events]:
    """The recording of each image ``[N, 8, 8]`` (intensity 0 to 1), in order."""
    for start in range(0, len(images), _CHUNK):
        yield from record(images[start : start + _CHUNK], CAMERA)


def _build(options: DigitsDvsOptions, timesteps: int, put: Put) -> Tensors:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    binner = Binner(CAMERA.sensor, timesteps, options)
    limited = 0
    for events in recordings(images.reshape(-1, 8, 8) / 16.0):
        frame, over = binner.frames(events)
        put(frame[None])
        limited += over
    return {"labels": torch.from_numpy(labels.astype(np.int64)), "limited": torch.tensor([limited])}
