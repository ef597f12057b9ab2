"""Pixels as SVG paths: horizontal runs, so that a picture is one short path per colour."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from snn_deploy.report.shown import ShownInput, ShownLayer

Bytes = NDArray[np.uint8]


def frames(shown: ShownInput, place: int) -> Bytes:
    """Frames of one sample, ``[frames, C, H, W]``."""
    data = np.frombuffer(base64.b64decode(shown.values[place]), np.uint8)
    return data.reshape(shown.frames, *shown.shape)


def fired(layer: ShownLayer, place: int, steps: int) -> Bytes:
    """Spikes of one sample as 0 or 1, ``[steps, rows]``."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(layer.spikes[place]), np.uint8))
    return bits[: steps * len(layer.rows)].reshape(steps, len(layer.rows))


def runs(mask: NDArray[np.bool_]) -> str:
    """``mask [H, W]`` as a path of horizontal runs through the middle of rows, for a stroke of width 1."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, begins = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    return "".join(f"M{a} {y}.5h{b - a}" for y, a, b in zip(rows, begins, ends, strict=True))


def levels(values: Bytes, count: int) -> list[str]:
    """``values [H, W]`` as one path for each of ``count`` levels of equal width; what is 0 has none."""
    level = np.ceil(values.astype(np.float32) * count / 255).astype(int)
    return [runs(level == k) for k in range(1, count + 1)]


def colours(values: Bytes) -> list[tuple[str, str]]:
    """``values [3, H, W]`` as a path for each colour of four bits a channel."""
    coded = (values >> 4).astype(int)
    keys = coded[0] << 8 | coded[1] << 4 | coded[2]
    return [(f"#{key:03x}", runs(keys == key)) for key in np.unique(keys)]


def cloud(events: Bytes, at_most: int) -> tuple[str, str, tuple[float, float]]:
    """Events ``[frames, 2, H, W]`` in space and time, seen from the side: dots of OFF and ON, and the size.

    Time runs to the right, x comes out of the page. An event of step t at (x, y) lies at
    (t w + x / 2, y + (W - x) / 3), w such that all steps take twice the width W; our choice.
    """
    steps, _, height, width = events.shape
    w = 2 * width / max(steps, 1)
    found = [np.argwhere(events[:, polarity]) for polarity in (0, 1)]
    thin = max(1, -(-sum(map(len, found)) // at_most))
    paths = [
        "".join(_dot(t * w + x / 2, y + (width - x) / 3) for t, y, x in points[::thin]) for points in found
    ]
    return paths[0], paths[1], (2.5 * width + w, height + width / 3 + 1)


def _dot(u: float, v: float) -> str:
    return f"M{u:.1f} {v:.1f}h0"


def spread(count: int, at_most: int) -> list[int]:
    """Indices evenly spread over ``count``."""
    kept = min(count, at_most)
    return [i * count // kept for i in range(kept)]
