from __future__ import annotations

import math

import numpy as np
import pytest

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.events.camera_path import closed_path

SIDES = {"diamond": (4, math.sqrt(2)), "triangle": (3, math.sqrt(3)), "circle": (0, 2 * math.pi)}
"""Number of straight lines, and the length of one (of all, of the circle), for a radius of 1."""


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("loops", [1, 3])
def test_paths_are_closed_within_their_radius_and_of_constant_speed(name, loops):
    steps, radius = 120, 2.5
    path = closed_path(name, steps * loops, radius, loops)
    assert path.shape == (steps * loops + 1, 2)
    assert path[0].tolist() == path[-1].tolist() == [0.0, radius]
    far = np.linalg.norm(path, axis=1)
    assert far.max() == pytest.approx(radius)
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(lengths, lengths[0])
    sides, length = SIDES[name]
    assert lengths.sum() == pytest.approx(loops * radius * length * max(sides, 1), rel=1e-3)
    for loop in range(1, loops):
        np.testing.assert_allclose(path[loop * steps], path[0], atol=1e-12)


def test_triangle_has_three_corners():
    path = closed_path("triangle", 6, 2.0)
    corners = [(0, 2), (math.sqrt(3), -1), (-math.sqrt(3), -1), (0, 2)]
    np.testing.assert_allclose(path[::2], corners, atol=1e-12)
    np.testing.assert_allclose(path[1], np.mean(corners[:2], axis=0), atol=1e-12)


def test_circle_by_hand():
    np.testing.assert_allclose(
        closed_path("circle", 4, 1.0), [(0, 1), (1, 0), (0, -1), (-1, 0), (0, 1)], atol=1e-12
    )


def test_unknown_path():
    with pytest.raises(ConfigError, match="Unknown path 'square'"):
        closed_path("square", 4, 1.0)
