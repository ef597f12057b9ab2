"""What a network is shown of a sensor: a table from the sensor's addresses to those of a frame.

Cropping, joining pixels and forgetting polarity only change where an event is counted, so any sequence of
them is one table look-up per event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.events.recording import Events, Sensor

Grid = NDArray[np.int64]

HIDDEN = -1


@dataclass(frozen=True, slots=True)
class View:
    """A sensor as it is shown.

    Attributes:
        sensor: the field of view that is shown, ``(C, H, W)``.
        table: the address shown for each address of the camera, int32; :data:`HIDDEN` where there is none.
    """

    sensor: Sensor
    table: NDArray[np.int32]

    def __call__(self, events: Events) -> Events:
        """The events that can be seen, at their new addresses."""
        address = self.table[events.address]
        seen = address >= 0
        if seen.all():
            return Events(events.t, address)
        return Events(events.t[seen], address[seen])

    def frames(self, counts: NDArray[np.int32]) -> NDArray[np.int32]:
        """Frames ``[T, C, H, W]`` of the camera's field of view as they are shown."""
        seen = self.table >= 0
        shown = torch.zeros(len(counts), self.sensor.size, dtype=torch.int32)
        flat = torch.from_numpy(counts.reshape(len(counts), -1)[:, seen])
        shown.index_add_(1, torch.from_numpy(self.table[seen]), flat)
        return shown.numpy().reshape(len(counts), *self.sensor)


def whole(sensor: Sensor) -> View:
    """Every pixel and both polarities, as they are."""
    return View(sensor, np.arange(sensor.size, dtype=np.int32))


def crop(view: View, height: int, width: int) -> View:
    """The central ``height x width`` pixels (an odd margin leaves the larger part below and right).

    Raises:
        ConfigError: the window is larger than the sensor.
    """
    old = view.sensor
    if not (1 <= height <= old.height and 1 <= width <= old.width):
        raise ConfigError(f"Cannot crop {old.height}x{old.width} to {height}x{width} pixels.")
    p, y, x = _grid(old)
    y, x = y - (old.height - height) // 2, x - (old.width - width) // 2
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return _then(view, old._replace(height=height, width=width), p, y, x, inside)


def downsample(view: View, factor: int) -> View:
    """Blocks of ``factor x factor`` pixels become one; every event stays. A last, smaller block is a pixel
    too: the new size is ``ceil(size / factor)``."""
    if factor < 1:
        raise ConfigError(f"A down-sampling factor of {factor} is not positive.")
    old = view.sensor
    p, y, x = _grid(old)
    new = old._replace(height=-(-old.height // factor), width=-(-old.width // factor))
    return _then(view, new, p, y // factor, x // factor)


def resize(view: View, height: int, width: int) -> View:
    """Pixel ``(y, x)`` becomes ``(floor(y height / H), floor(x width / W))``; every event stays.

    Raises:
        ConfigError: a side would grow.
    """
    old = view.sensor
    if not (1 <= height <= old.height and 1 <= width <= old.width):
        raise ConfigError(
            f"Cannot resize {old.height}x{old.width} to {height}x{width} pixels.",
            hint="Events can be joined, not invented: no side may grow.",
        )
    p, y, x = _grid(old)
    new = old._replace(height=height, width=width)
    return _then(view, new, p, y * height // old.height, x * width // old.width)


def merge_polarities(view: View) -> View:
    """One channel that counts ON and OFF events alike."""
    p, y, x = _grid(view.sensor)
    return _then(view, view.sensor._replace(channels=1), np.zeros_like(p), y, x)


def transpose(view: View) -> View:
    """Rows become columns: the image is mirrored at its falling diagonal."""
    p, y, x = _grid(view.sensor)
    return _then(view, view.sensor._replace(height=view.sensor.width, width=view.sensor.height), p, x, y)


def _grid(sensor: Sensor) -> tuple[Grid, Grid, Grid]:
    p, y, x = (axis.reshape(-1) for axis in np.indices(sensor))
    return p, y, x


def _then(
    view: View, new: Sensor, p: Grid, y: Grid, x: Grid, inside: NDArray[np.bool_] | None = None
) -> View:
    step = ((p * new.height + y) * new.width + x).astype(np.int32)
    if inside is not None:
        step[~inside] = HIDDEN
    return View(new, np.where(view.table >= 0, step[view.table], np.int32(HIDDEN)))
