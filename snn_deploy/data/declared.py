"""What the data of a recipe look like to a network, told without reading them."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import DATASETS, Options
from snn_deploy.data.events.pipeline import view_of
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.data.options.images import ImageOptions
from snn_deploy.data.options.sets import (
    CameraOptions,
    EventFolderOptions,
    ImageFolderOptions,
    TimeSeriesOptions,
)

SENSORS = {
    "digits-dvs": 10,
    "nmnist": 10,
    "cifar10-dvs": 10,
    "dvs-gesture": 11,
    "dvs128-objects": 5,
    "n-caltech101": 101,
    "shd": 20,
}
"""Number of classes of the sets whose modules say their field of view."""

IMAGES = {
    "mnist": ((1, 28, 28), 10),
    "fashion-mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
}

ANY_CLASSES = 10
"""Stands for a number of classes that only the files tell."""


class Declared(NamedTuple):
    """Shape of a frame ``(C, H, W)``; number of classes, None where only the files tell; whether the data are
    steady (:class:`~snn_deploy.data.types.DataSet`)."""

    shape: tuple[int, int, int]
    classes: int | None
    steady: bool = False


def declared(name: str, options: Options) -> Declared:
    """What the data set ``name`` gives with these options.

    Raises:
        ConfigError: only the data tell: a set of the user's own, or of another distribution; or a crop or a
            size is larger than the sensor.
    """
    if isinstance(options, ImageOptions):
        steady = options.encoding != "latency"
        if name in IMAGES:
            return Declared(*IMAGES[name], steady)
        if isinstance(options, ImageFolderOptions):
            return Declared((3, options.size, options.size), None, steady)
    if isinstance(options, TimeSeriesOptions):
        return Declared((1, 1, options.dimensions), None)
    if isinstance(options, CameraOptions):
        seen = Sensor(2, options.side, options.side)
        return _shown(seen, options, declared(options.of, options.image_options()).classes)
    if isinstance(options, EventFolderOptions):
        return _shown(Sensor(2, options.height, options.width), options, None)
    if name in SENSORS and isinstance(options, FrameOptions):
        module: Any = sys.modules[DATASETS.get(name).factory.__module__]
        seen = module.SENSOR if hasattr(module, "SENSOR") else module.CAMERA.sensor
        return _shown(seen, options, SENSORS[name])
    raise ConfigError(f"What the data set '{name}' looks like is known when it is read.")


def _shown(sensor: Sensor, options: FrameOptions, classes: int | None) -> Declared:
    shown = view_of(sensor, options).sensor
    return Declared((shown.channels, shown.height, shown.width), classes)
