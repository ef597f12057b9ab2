"""A simulated event camera that looks at a still image while it moves along a closed path.

Log intensity and change detection (the model of a DVS pixel of Lichtsteiner, Posch and Delbruck 2008,
simulated as in ESIM, Rebecq, Gehrig and Scaramuzza 2018)::

    L(u, t) = ln(I(u - d(t)) + e)            I in [0, 1], d(t) = displacement, e = dark level
    ON  at the time when  L >= L_ref + C     then L_ref += C
    OFF at the time when  L <= L_ref - C     then L_ref -= C

``L_ref`` starts at ``L(u, 0)``, so it stays on the levels ``L(u, 0) + n C`` with integer ``n``, and only
``n`` is kept. ``L`` is computed at ``steps + 1`` equally spaced times and taken as linear between them;
a time stamp is where that line crosses a level, rounded to a microsecond. There is no noise and no
random number: the same image always gives the same events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snn_deploy.data.events.recording import Events, Sensor

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """Settings of the camera; the values are our choice.

    Attributes:
        size: pixels per side of the square sensor.
        zoom: sensor pixels per image pixel.
        radius: half diagonal of the diamond-shaped path, in sensor pixels.
        duration: time for the path once round, in microseconds.
        steps: number of intervals in which log intensity is linear.
        threshold: contrast threshold ``C``, in natural log units.
        dark: dark level ``e``.
    """

    size: int = 16
    zoom: float = 1.75
    radius: float = 1.0
    duration: int = 300_000
    steps: int = 96
    threshold: float = 0.3
    dark: float = 0.1

    @property
    def sensor(self) -> Sensor:
        return Sensor(channels=2, height=self.size, width=self.size)


def diamond_path(steps: int, radius: float) -> Floats:
    """Displacements ``(dy, dx)`` ``[steps + 1, 2]`` once round a diamond, at constant speed, from its
    right corner over the bottom, left and top one back to exactly where it began."""
    corners = radius * np.array([(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0), (0.0, 1.0)])
    along = np.linspace(0.0, 4.0, steps + 1)
    return np.stack([np.interp(along, np.arange(5.0), corners[:, axis]) for axis in range(2)], axis=1)


def view(images: Floats, camera: Camera, displacement: Floats) -> Floats:
    """What the sensor sees of ``images [N, h, w]``, magnified and displaced by ``(dy, dx)``: ``[N, S, S]``.

    Bilinear interpolation between pixel centres; outside the image it is dark (0). The image's centre
    is on the sensor's centre at displacement 0.
    """
    for axis, shift in ((1, displacement[0]), (2, displacement[1])):
        images = _resample(images, axis, camera.size, camera.zoom, float(shift))
    return images


def _resample(images: Floats, axis: int, size: int, zoom: float, shift: float) -> Floats:
    """Linear interpolation of one axis at ``size`` points, ``zoom`` points per pixel."""
    length = images.shape[axis]
    position = (np.arange(size) + 0.5 - size / 2 - shift) / zoom + length / 2 - 0.5
    low = np.floor(position).astype(np.int64)
    fraction = position - low
    shape = [1, 1, 1]
    shape[axis] = size

    def part(index: NDArray[np.int64], weight: Floats) -> Floats:
        inside = (index >= 0) & (index < length)
        values = np.take(images, np.clip(index, 0, length - 1), axis=axis)
        weighted: Floats = values * (weight * inside).reshape(shape)
        return weighted

    return part(low, 1.0 - fraction) + part(low + 1, fraction)


def record(images: Floats, camera: Camera) -> list[Events]:
    """Show each of ``images [N, h, w]`` (intensity 0 to 1) to the camera: N recordings, ordered in time,
    at equal times by pixel (row by row)."""
    path = diamond_path(camera.steps, camera.radius)
    start = _log_intensity(images, camera, path[0])
    before = np.zeros_like(start)
    level = np.zeros_like(start)
    chunks = []
    for step in range(1, camera.steps + 1):
        after = (_log_intensity(images, camera, path[step]) - start) / camera.threshold
        crossed = np.minimum(np.maximum(level, np.floor(after)), np.ceil(after))
        chunks.append(_crossings(before, after, level, crossed, step, camera))
        before, level = after, crossed
    sample, pixel, t, p = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    order = np.lexsort((pixel, t, sample))
    address = (p[order] * camera.size**2 + pixel[order]).astype(np.int32)
    events = Events(t[order], address)
    ends = np.cumsum(np.bincount(sample, minlength=len(images)))
    return [events[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _log_intensity(images: Floats, camera: Camera, displacement: Floats) -> Floats:
    intensity = view(images, camera, displacement)
    return np.log(intensity + camera.dark).reshape(len(images), -1)


def _crossings(
    before: Floats, after: Floats, level: Floats, crossed: Floats, step: int, camera: Camera
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Events of one interval: sample, pixel, t, p. Signal and levels ``[N, S*S]`` are in units of C."""
    change = (crossed - level).astype(np.int64)
    sample, pixel = np.nonzero(change)
    count = np.abs(change[sample, pixel])
    sample, pixel = np.repeat(sample, count), np.repeat(pixel, count)
    nth = np.arange(len(sample)) - np.repeat(np.cumsum(count) - count, count) + 1
    at = (sample, pixel)
    reached = level[at] + np.sign(change[at]) * nth
    fraction = (reached - before[at]) / (after[at] - before[at])
    t = np.rint((step - 1 + fraction) * (camera.duration / camera.steps)).astype(np.int64)
    return sample, pixel, t, (change[at] > 0).astype(np.int64)
