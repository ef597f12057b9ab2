"""The closed paths along which a simulated camera moves before a still image."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import ConfigError

Path = Literal["diamond", "triangle", "circle"]


def closed_path(path: Path, steps: int, radius: float, loops: int = 1) -> NDArray[np.float64]:
    """Displacements ``(dy, dx)`` ``[steps + 1, 2]``: ``loops`` times round, at constant speed, back to
    exactly where it began.

    ============ =========================================================================================
    ``diamond``  from its right corner over the bottom, left and top one, ``radius`` from its centre: four
                 straight lines, as CIFAR10-DVS was recorded (Li et al. 2017)
    ``triangle`` equilateral, from the right corner on: three straight lines, as the three saccades of
                 N-MNIST (Orchard et al. 2015; theirs has two equal sides)
    ``circle``   from its right end downwards: no corner, no rest
    ============ =========================================================================================

    Raises:
        ConfigError: no such path.
    """
    if path == "circle":
        angle = np.linspace(0.0, 2 * math.pi * loops, steps + 1)
        around = radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        around[-1] = around[0]
        return around
    if path not in _CORNERS:
        raise ConfigError(f"Unknown path '{path}'.", hint="diamond, triangle or circle")
    once = radius * np.array(_CORNERS[path])
    corners = np.concatenate([np.tile(once, (loops, 1)), once[:1]])
    along = np.linspace(0.0, len(corners) - 1.0, steps + 1)
    places = np.arange(float(len(corners)))
    return np.stack([np.interp(along, places, corners[:, axis]) for axis in range(2)], axis=1)


_CORNERS = {
    "diamond": [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)],
    "triangle": [(0.0, 1.0), (math.sqrt(0.75), -0.5), (-math.sqrt(0.75), -0.5)],
}
