"""``camera``: any set of still images as recordings of a simulated event camera, and so as event data.

The recordings go through the pipeline of recorded sets. They stand under a name of their own, such as
``camera of fashion-mnist``: what is reached on them is no result on a public benchmark.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.camera import Camera, record
from snn_deploy.data.events.camera_noise import Noise
from snn_deploy.data.events.pipeline import Binner
from snn_deploy.data.loading.cache import Put, Tensors
from snn_deploy.data.loading.loaders import in_order
from snn_deploy.data.loading.progress import Counted
from snn_deploy.data.options.sets import CameraOptions
from snn_deploy.data.sets.recorded import assemble, cached_frames
from snn_deploy.data.sets.remarks import outside_note
from snn_deploy.data.types import DataSet, Split
from snn_deploy.processes.world import ALONE, world_of_environment

LUMA = (0.299, 0.587, 0.114)
"""Intensity of red, green and blue (ITU-R BT.601), of the stored values (our choice: a screen would show
their power of 2.2)."""

MARGIN = 3 / 34
"""Radius of the path, and room around the image, as a share of the side: images of 28 pixels on 34, as in
N-MNIST."""

LEAST_ZOOM = 0.5
"""With less, points that are interpolated between two pixels would pass over others."""

_BLOCK = 1 << 15
"""Sensor pixels that are simulated at once: their state stays in the cache of a core."""
_AHEAD = 2


@DATASETS.register("camera")
def camera(options: CameraOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """Any set of still images, also your own, before a simulated event camera.

    Args:
        options: the images, the camera, and how its recordings become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    Raises:
        DataError: the images are not there or not usable.
        ConfigError: the camera would not see all of an image, or its settings do not fit together.
    """
    images = images_of(options)
    name = f"camera of {images.name}"
    settings = camera_for(options, images.shape)
    content = cached_frames(
        name,
        options,
        timesteps,
        cache,
        {"images": images.digest, "camera": asdict(settings)},
        lambda put: _film(images, settings, options, timesteps, put),
    )
    splits = (images.train, images.validation, images.test)
    ends = np.cumsum([len(split) for split in splits])
    parts = [np.arange(end - len(split), end) for split, end in zip(splits, ends, strict=True)]
    notes = [
        f"Images of '{images.name}' before a simulated event camera, {settings.size}x{settings.size} pixels: "
        "not a public benchmark.",
        *images.notes,
        *outside_note(*content.tensors["events"].tolist()),
    ]
    return assemble(name, content, parts, options, images.classes, notes, settings.sensor)


def images_of(options: CameraOptions) -> DataSet:
    """The images that are shown, of intensities from 0 to 1.

    Raises:
        DataError: they are not there or not usable.
    """
    try:
        return DATASETS.get(options.of).factory(options.image_options(), timesteps=1)  # type: ignore[no-any-return]
    except DataError as error:
        hint = (error.hint or "").replace("data.name=", "data.of=").replace("-o data.", "-o data.images.")
        raise DataError(
            error.message, hint=hint.replace("data.images.of=", "data.of="), problems=error.problems
        ) from None


def camera_for(options: CameraOptions, shape: tuple[int, int, int]) -> Camera:
    """The camera for images ``(C, h, w)``.

    Raises:
        ConfigError: it would look at single points of the image, with others between them unseen.
    """
    radius = MARGIN * options.side if options.radius is None else options.radius
    longest = max(shape[1:])
    zoom = (options.side - 2 * radius) / longest if options.zoom is None else options.zoom
    if zoom < LEAST_ZOOM:
        raise ConfigError(
            f"Images of {shape[1]}x{shape[2]} pixels would be shown at {zoom:.2f} sensor pixels for one of "
            f"theirs; below {LEAST_ZOOM}, pixels are passed over.",
            hint="Raise data.side, lower data.radius, or make the images smaller (data.images.size).",
        )
    return Camera(
        size=options.side,
        zoom=zoom,
        radius=radius,
        duration=options.duration_us,
        steps=options.steps,
        threshold=options.threshold,
        dark=options.dark,
        path=options.path,
        loops=options.loops,
        threshold_off=options.threshold_off,
        noise=Noise(options.mismatch, options.noise_hz, options.refractory_us, options.camera_seed),
    )


class Block(NamedTuple):
    """Frames ``[n, T, C, H, W]`` of some recordings, how many entries were limited, how many events they
    have, and how many lie in no frame."""

    frames: NDArray[np.uint8]
    limited: int
    events: int
    outside: int


def _film(images: DataSet, camera: Camera, options: CameraOptions, timesteps: int, put: Put) -> Tensors:
    """Put the frames of all recordings, in the order of train, validation and test."""
    splits = (images.train, images.validation, images.test)
    progress = Counted(f"camera of {images.name}", "recordings", sum(len(split) for split in splits))
    limited, events, outside = 0, 0, 0
    for block in blocks(splits, camera, options, timesteps):
        put(block.frames)
        progress.add(len(block.frames))
        limited += block.limited
        events += block.events
        outside += block.outside
    return {
        "labels": torch.cat([split.labels for split in splits]),
        "limited": torch.tensor([limited]),
        "events": torch.tensor([outside, events]),
    }


def blocks(
    splits: tuple[Split, ...], camera: Camera, options: CameraOptions, timesteps: int
) -> Iterator[Block]:
    """Blocks in order, made by as many threads as there are cores for this process."""
    threads = options.workers or world_of_environment().cores
    waiting: deque[Future[Block]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="camera") as pool:
        for intensity, numbers in _shown(splits, max(1, _BLOCK // camera.size**2)):
            if len(waiting) >= _AHEAD * threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(_block, intensity, numbers, camera, options, timesteps))
        while waiting:
            yield waiting.popleft().result()


def _shown(splits: tuple[Split, ...], size: int) -> Iterator[tuple[NDArray[np.float64], range]]:
    """Intensities ``[n, h, w]`` of the images of all splits, and their numbers."""
    begun = 0
    for split in splits:
        for indices, inputs in in_order(split, size, ALONE):
            yield _intensity(inputs[0]), range(begun, begun + len(indices))
            begun += len(indices)


def _intensity(images: torch.Tensor) -> NDArray[np.float64]:
    """Intensity ``[B, h, w]``, from 0 to 1, of images ``[B, C, h, w]`` in grey or colour."""
    if images.shape[1] == 1:
        return images[:, 0].to(torch.float64).numpy()
    weights = torch.tensor(LUMA, dtype=torch.float64)
    return torch.einsum("bchw,c->bhw", images.to(torch.float64), weights).numpy()


def _block(
    intensity: NDArray[np.float64], numbers: range, camera: Camera, options: CameraOptions, timesteps: int
) -> Block:
    binner = Binner(camera.sensor, timesteps, options)
    recordings = record(intensity, camera, numbers)
    frames = np.empty((len(recordings), *binner.shape), np.uint8)
    limited = 0
    for number, events in enumerate(recordings):
        frames[number], over = binner.frames(events)
        limited += over
    return Block(frames, limited, sum(map(len, recordings)), binner.outside)
