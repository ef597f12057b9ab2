"""A simulated event camera that looks at a still image while it moves along a closed path.

Log intensity and change detection (the model of a DVS pixel of Lichtsteiner, Posch and Delbruck 2008,
simulated as in ESIM, Rebecq, Gehrig and Scaramuzza 2018)::

    L(u, t) = ln(I(u - d(t)) + e)            I in [0, 1], d(t) = displacement, e = dark level
    ON  at the time when  L >= L_ref + C     then L_ref += C
    OFF at the time when  L <= L_ref - C'    then L_ref -= C'

``L_ref`` starts at ``L(u, 0)``. Signal and reference are kept in units of ``C`` from there; with ``C' = C``
the reference stays on whole numbers. ``L`` is computed at ``steps + 1`` equally spaced times and taken as
linear between them; a time stamp is where that line crosses a level, rounded to a microsecond. What a
real pixel does besides is added by :mod:`snn_deploy.data.events.camera_noise`; by default nothing, so that
the same image always gives the same events.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.events.camera_noise import QUIET, Noise, background, contrast, rested
from snn_deploy.data.events.camera_path import Path, closed_path
from snn_deploy.data.events.recording import Events, Sensor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Camera:
    """Settings of the camera; the values are our choice.

    Attributes:
        size: pixels per side of the square sensor.
        zoom: sensor pixels per image pixel.
        radius: largest displacement, in sensor pixels.
        duration: time for the whole path, in microseconds.
        steps: number of intervals in which log intensity is linear, of 2 us at least.
        threshold: contrast threshold ``C``, in natural log units.
        dark: dark level ``e``.
        path, loops: the way of the camera, and how many times round.
        threshold_off: contrast threshold ``C'``; by default ``C``.
        noise: what real pixels do besides.
    """

    size: int = 16
    zoom: float = 1.75
    radius: float = 1.0
    duration: int = 300_000
    steps: int = 96
    threshold: float = 0.3
    dark: float = 0.1
    path: Path = "diamond"
    loops: int = 1
    threshold_off: float | None = None
    noise: Noise = QUIET

    def __post_init__(self) -> None:
        if self.duration < 2 * self.steps:
            raise ConfigError(
                f"{self.steps} steps in {self.duration} us: a step takes 2 us at least.",
                hint="Give fewer steps or a longer duration.",
            )

    @property
    def sensor(self) -> Sensor:
        return Sensor(channels=2, height=self.size, width=self.size)


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
    shape = [1, 1, 1]
    shape[axis] = size
    low, high = (
        images.take(index, axis, mode="clip") * weight.reshape(shape)
        for index, weight in _neighbours(images.shape[axis], size, zoom, shift)
    )
    low += high
    return low


@functools.lru_cache(maxsize=4096)
def _neighbours(length: int, size: int, zoom: float, shift: float) -> tuple[tuple[Ints, Floats], ...]:
    """Lower and upper neighbours of all points among ``length`` pixels, and their weights; 0 outside."""
    position = (np.arange(size) + 0.5 - size / 2 - shift) / zoom + length / 2 - 0.5
    low = np.floor(position).astype(np.int64)
    fraction = position - low
    return tuple(
        (index, weight * ((index >= 0) & (index < length)))
        for index, weight in ((low, 1.0 - fraction), (low + 1, fraction))
    )


class Crossings(NamedTuple):
    """Pixels whose reference moves within one interval.

    Attributes:
        step: number of the interval, from 1.
        place: ``sample S^2 + pixel``, ``[M]``.
        before, after: signal at its ends.
        level, reached: reference at its ends.
    """

    step: int
    place: Ints
    before: Floats
    after: Floats
    level: Floats
    reached: Floats


def record(images: Floats, camera: Camera, numbers: Sequence[int] | None = None) -> list[Events]:
    """Show each of ``images [N, h, w]`` (intensity 0 to 1) to the camera: N recordings, ordered in time,
    at equal times by pixel (row by row).

    Args:
        images: what is shown.
        camera: its settings.
        numbers: of the images in their data set, which choose the noise of each; by default 0, 1, ...
    """
    pixels = camera.size**2
    place, t, late, p = _events(list(_crossings(images, camera)), camera)
    sample, pixel = np.divmod(place, pixels)
    sources = range(len(images)) if numbers is None else numbers
    extra = background(camera.noise, sources, pixels, camera.duration)
    # One number orders all: by sample, time and pixel; what one pixel does within a microsecond in the order
    # of the intervals, of which at most two meet there.
    span = camera.duration + 1
    keys = np.concatenate([(((sample * span + t) * pixels + pixel) * 2 + late) * 2 + p, extra])
    keys.sort()
    rest, p = np.divmod(keys, 2)
    moment, pixel = np.divmod(rest >> 1, pixels)
    sample, t = np.divmod(moment, span)
    if camera.noise.refractory:
        kept = rested(sample * pixels + pixel, t, camera.noise.refractory)
        sample, pixel, t, p = sample[kept], pixel[kept], t[kept], p[kept]
    events = Events(t, (p * pixels + pixel).astype(np.int32))
    ends = np.searchsorted(sample, np.arange(len(images) + 1))
    return [events[start:end] for start, end in pairwise(ends)]


def _crossings(images: Floats, camera: Camera) -> Iterator[Crossings]:
    """Where the reference moves, interval by interval."""
    path = closed_path(camera.path, camera.steps, camera.radius, camera.loops)
    unit = camera.threshold * contrast(camera.noise, camera.size**2)
    down = _down(camera)
    start = _log_intensity(images, camera, path[0])
    before = np.zeros_like(start)
    level = np.zeros_like(start)
    for step in range(1, camera.steps + 1):
        after = _log_intensity(images, camera, path[step])
        after -= start
        after /= unit
        reached = _reached(level, after, down)
        place = np.flatnonzero(reached != level)
        states = (values.ravel()[place] for values in (before, after, level, reached))
        yield Crossings(step, place, *states)
        before, level = after, reached


def _down(camera: Camera) -> float:
    """The OFF threshold in units of the ON threshold."""
    return 1.0 if camera.threshold_off is None else camera.threshold_off / camera.threshold


def _reached(level: Floats, signal: Floats, down: float) -> Floats:
    """The reference after the signal came to ``signal``, both in units of C.

    With equal thresholds the nearest whole number to ``level`` that is within 1 of the signal, on its side of
    the reference; else as many steps of 1 up, or of ``down`` down, as the signal has passed.
    """
    if down == 1.0:
        up = np.floor(signal)
        np.maximum(level, up, out=up)
        return np.minimum(up, np.ceil(signal), out=up)
    up = np.maximum(np.floor(signal - level), 0.0)
    off = np.maximum(np.floor((level - signal) / down), 0.0)
    moved: Floats = level + up - down * off
    return moved


def _log_intensity(images: Floats, camera: Camera, displacement: Floats) -> Floats:
    intensity = view(images, camera, displacement)
    intensity += camera.dark
    return np.log(intensity, out=intensity).reshape(len(images), -1)


def _events(moves: Sequence[Crossings], camera: Camera) -> tuple[Ints, Ints, Ints, Ints]:
    """Of each event its place, its time in microseconds, whether it is at the very beginning of its interval,
    and its polarity."""
    interval = camera.duration / camera.steps
    step = np.repeat([move.step for move in moves], [len(move.place) for move in moves])
    place, before, after, level, reached = (
        np.concatenate([move[field] for move in moves]) for field in range(1, len(Crossings._fields))
    )
    change = reached - level
    size = np.where(change > 0, 1.0, -_down(camera))
    count = np.rint(change / size).astype(np.int64)
    first = np.cumsum(count) - count
    which = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(which)) - first[which] + 1
    at = level[which] + size[which] * nth
    fraction = (at - before[which]) / (after - before)[which]
    t = np.rint((step[which] - 1 + fraction) * interval).astype(np.int64)
    begins = t == np.rint((step[which] - 1) * interval)
    return place[which], t, begins.astype(np.int64), (change[which] > 0).astype(np.int64)
