"""What pixels of a real event camera do besides: thresholds that differ, events without cause, rest.

::

    mismatch     the thresholds of a pixel are C m with m ~ N(1, mismatch^2), at least 0.1; the same in all
                 recordings
    rate         each pixel has ON and OFF events that nothing caused: a Poisson process, both alike
    refractory   an event less than this after the last one of its pixel is not seen; the reference moves
                 all the same

The effects are those of ESIM and v2e (Rebecq et al. 2018; Hu, Liu and Delbruck 2021), without v2e's leak and
its dependence on light. Nothing depends on which images are shown together: an image's noise is drawn from
its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_LEAST = 0.1
_SENSOR, _IMAGE = 0, 1


@dataclass(frozen=True, slots=True)
class Noise:
    """None by default.

    Attributes:
        mismatch: relative standard deviation of the thresholds from pixel to pixel.
        rate: events without cause, per pixel and second.
        refractory: rest of a pixel after an event, in microseconds.
        seed: chooses the sensor and the noise of each recording.
    """

    mismatch: float = 0.0
    rate: float = 0.0
    refractory: int = 0
    seed: int = 0


QUIET = Noise()


def contrast(noise: Noise, pixels: int) -> NDArray[np.float64] | float:
    """The factor ``m`` of the thresholds of each pixel, ``[P]``; 1 where all are alike."""
    if not noise.mismatch:
        return 1.0
    drawn = np.random.default_rng([noise.seed, _SENSOR]).standard_normal(pixels)
    return np.maximum(1.0 + noise.mismatch * drawn, _LEAST)


def background(noise: Noise, numbers: Sequence[int], pixels: int, duration: int) -> Ints:
    """Events without cause of the images ``numbers``, at any time from 0 to ``duration``: keys
    ``((n (duration + 1) + t) P + pixel) 4 + p``, with ``n`` the image's place in ``numbers``."""
    if not noise.rate:
        return np.empty(0, np.int64)
    keys = []
    for place, number in enumerate(numbers):
        random = np.random.default_rng([noise.seed, _IMAGE, number])
        count = random.poisson(noise.rate * pixels * duration / 1e6)
        where = random.integers(0, (duration + 1) * pixels, count)
        keys.append((place * (duration + 1) * pixels + where) * 4 + random.integers(0, 2, count))
    return np.concatenate(keys)


def rested(place: Ints, t: Ints, refractory: int) -> NDArray[np.bool_]:
    """Which events are seen by pixels that rest for ``refractory`` microseconds after each that is seen.

    Args:
        place: number of each event's pixel in its recording, ``[E]``.
        t: microseconds, in order for each pixel.
        refractory: the rest; an event exactly that long after is seen.
    """
    order = np.argsort(place, kind="stable")
    places, times = place[order], t[order]
    span = int(times.max(initial=0)) + refractory + 1
    key = places * span + times
    after = np.searchsorted(key, key + refractory)  # the first event that can be seen after each
    seen = np.zeros(len(key), bool)
    events = np.flatnonzero(np.diff(places, prepend=-1))
    while len(events):
        seen[events] = True
        following = after[events]
        inside = following < len(key)
        events, following = events[inside], following[inside]
        events = following[places[following] == places[events]]
    kept = np.zeros(len(key), bool)
    kept[order] = seen
    return kept
