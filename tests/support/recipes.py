"""What the data of a recipe look like to a network, without the data."""

from __future__ import annotations

from typing import Any

from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import view_of
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.data.options.sets import ImageFolderOptions
from snn_deploy.data.sets.cifar10_dvs import SENSOR as DVS128
from snn_deploy.recipes.recipe import Recipe

Shape = tuple[int, int, int]

IMAGES: dict[str, tuple[Shape, int]] = {"cifar10": ((3, 32, 32), 10), "cifar100": ((3, 32, 32), 100)}
SENSORS = {
    "digits-dvs": (Sensor(2, 16, 16), 10),
    "nmnist": (Sensor(2, 34, 34), 10),
    "cifar10-dvs": (DVS128, 10),
    "dvs-gesture": (DVS128, 11),
    "dvs128-objects": (DVS128, 5),
}


def declared(recipe: Recipe) -> tuple[Shape, int]:
    """Shape of a frame and number of classes."""
    name, options = recipe.data.name, recipe.data.resolve(DATASETS)
    if name in IMAGES:
        return IMAGES[name]
    if isinstance(options, ImageFolderOptions):
        return (3, options.size, options.size), 1000
    sensor, classes = SENSORS[name]
    view: Any = view_of(sensor, options).sensor if isinstance(options, FrameOptions) else sensor
    return (view.channels, view.height, view.width), classes
