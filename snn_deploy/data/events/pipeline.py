"""The way from recordings to frames that every event data set takes, and its options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.contract import MAX_COUNT
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.events import views
from snn_deploy.data.events.frames import Accumulator, Bounds, Extent, centred, count_bounds, time_bounds
from snn_deploy.data.events.recording import NEVER, Events, Sensor, denoise, quiet
from snn_deploy.data.events.views import View
from snn_deploy.data.options.frames import MAX_TIME, FrameOptions

REVISION = 3
"""Goes up when this pipeline makes other frames from the same recordings; part of every cache key."""

MAX_SAMPLE = 1 << 28
"""Entries ``T C H W`` of one sample: 1 GiB of exact counts while it is made."""


class Cut(NamedTuple):
    """The events of a recording with ``start <= t < stop`` (microseconds), which are one sample.

    Its frames divide the time between its first and its last event, or all of the cut if it is ``exact``.
    Windows of a stated length begin at ``start`` if it is stated, else at the first event. With ``frames``,
    T + 1 times of another clock, frame k holds ``frames[k] <= t < frames[k + 1]``.
    """

    label: int
    start: int = NEVER
    stop: int = MAX_TIME + 1
    exact: bool = False
    frames: tuple[int, ...] | None = None


_WHOLE = (Cut(label=0),)


class Made(NamedTuple):
    """Frames of a recording, none of whose entries had more than 255 events, and how many events it has."""

    frames: NDArray[np.uint8]
    events: int


def view_of(sensor: Sensor, options: FrameOptions) -> View:
    """What the frames show of a sensor.

    Raises:
        ConfigError: the crop or the size is larger than the sensor.
    """
    view = views.whole(sensor)
    if options.crop is not None:
        view = views.crop(view, options.crop, options.crop)
    if options.downsample > 1:
        view = views.downsample(view, options.downsample)
    if options.resize is not None:
        view = views.resize(view, *options.resize)
    if options.polarity == "merged":
        view = views.merge_polarities(view)
    return view


class Binner:
    """Makes frames of the recordings of one sensor.

    Args:
        sensor: the camera's field of view.
        timesteps: number of frames T.
        options: how recordings become frames.

    Attributes:
        outside: events of counted samples that lie in no frame, so far.

    Raises:
        ConfigError: a sample would have more than 2^28 entries, or a crop or size is larger than the sensor.
    """

    def __init__(self, sensor: Sensor, timesteps: int, options: FrameOptions) -> None:
        self.sensor = sensor
        self.view = view_of(sensor, options)
        self.shape = (timesteps, *self.view.sensor)
        self._counted = sensor if options.centre else self.view.sensor
        self._timesteps = timesteps
        self.outside = 0
        self._options = options
        if (entries := timesteps * self._counted.size) > MAX_SAMPLE:
            raise ConfigError(
                f"A sample of shape {(timesteps, *self._counted)} has {entries} entries; the limit is "
                f"{MAX_SAMPLE}.",
                hint="Lower timesteps"
                + ("." if options.centre else ", or set data.downsample, data.resize or data.crop."),
            )

    @property
    def divides_whole(self) -> bool:
        """Whether frames divide all events of a sample as they are: nothing is taken away, moved or joined,
        and no length is stated."""
        options = self._options
        return (
            self._counted == self.sensor == self.view.sensor
            and not options.centre
            and options.denoise_us is None
            and options.window is None
        )

    @property
    def by_time(self) -> bool:
        """Whether frames are of equal time, not of equal count."""
        return self._options.binning == "time"

    @property
    def binary(self) -> bool:
        """Whether an entry says that there were events, not how many."""
        return self._options.binary

    def bounds(self, extent: Extent) -> Bounds:
        """Of the frames that divide what lies between, by time or by count."""
        return (time_bounds if self.by_time else count_bounds)(extent, self._timesteps, self._options.window)

    def shown(self, parts: Iterable[Events]) -> Iterator[Events]:
        """What is left of a recording before it is binned; what is centred is cropped and joined after."""
        within = self._options.denoise_us
        if within is not None:
            last = quiet(self.sensor)
            parts = (denoise(events, self.sensor, within, last) for events in parts)
        yield from parts if self._counted == self.sensor else map(self.view, parts)

    def measure(self, parts: Iterable[Events], cuts: Sequence[Cut]) -> list[Extent]:
        """The extent of each cut of a recording given by its ``shown`` parts.

        Raises:
            DataError: a cut's events are not in order of time, or it states the times of another number of
                frames.
        """
        wanted = self._timesteps + 1
        for cut in cuts:
            if cut.frames is not None and len(cut.frames) != wanted:
                raise DataError(
                    f"{len(cut.frames)} times of frames are stated; "
                    f"{self._timesteps} frames have {wanted} bounds"
                )
        counts, firsts, lasts = [0] * len(cuts), [0] * len(cuts), [NEVER] * len(cuts)
        for events in parts:
            if not len(events):
                continue
            for index, cut in enumerate(cuts):
                if not len(part := _within(events, cut)):
                    continue
                first, last = int(part.t[0]), int(part.t[-1])
                if first < lasts[index]:
                    raise DataError(f"time goes back from {lasts[index]} to {first} us")
                firsts[index] = firsts[index] if counts[index] else first
                lasts[index] = last
                counts[index] += len(part)
        return [Extent(n, a, b if n else a) for n, a, b in zip(counts, firsts, lasts, strict=True)]

    def count(
        self, parts: Iterable[Events], cuts: Sequence[Cut], extents: Sequence[Extent]
    ) -> Iterator[NDArray[np.int32]]:
        """Exact event counts ``[T, C, H, W]`` of each of the ``cuts``, which are in order of their start."""
        waiting = list(zip(cuts, extents, strict=True))
        begun: list[tuple[Cut, Extent, Accumulator]] = []
        for events in parts:
            if not len(events):
                continue
            first, last = int(events.t[0]), int(events.t[-1])
            while waiting and waiting[0][0].start <= last:
                cut, extent = waiting.pop(0)
                begun.append((cut, extent, self._accumulator(cut, extent)))
            for cut, _, accumulator in begun:
                if cut.stop > first:
                    accumulator.add(_within(events, cut))
            while begun and begun[0][0].stop <= last:
                yield self._seen(*begun.pop(0)[1:])
        begun += [(cut, extent, self._accumulator(cut, extent)) for cut, extent in waiting]
        for _, extent, accumulator in begun:
            yield self._seen(extent, accumulator)

    def frames(self, events: Events) -> tuple[NDArray[np.uint8], int]:
        """Frames ``[T, C, H, W]`` of a whole recording that is in memory, and how many entries were
        limited to 255."""
        parts = list(self.shown([events]))
        (counts,) = self.count(parts, _WHOLE, self.measure(parts, _WHOLE))
        return self.entries(counts)

    def _seen(self, extent: Extent, accumulator: Accumulator) -> NDArray[np.int32]:
        counts = accumulator.counts()
        self.outside += extent.events - int(counts.sum(dtype=np.int64))
        return self.view.frames(centred(counts)) if self._options.centre else counts

    def _accumulator(self, cut: Cut, extent: Extent) -> Accumulator:
        if cut.frames is not None:
            return Accumulator(np.array(cut.frames, np.int64), self._counted, by_time=True)
        if cut.exact:
            extent = Extent(extent.events, cut.start, cut.stop)
        if self.by_time and self._options.window is not None and cut.start != NEVER:
            extent = extent._replace(first=cut.start)
        return Accumulator(self.bounds(extent), self._counted, by_time=self.by_time)

    def entries(self, counts: NDArray[np.int32]) -> tuple[NDArray[np.uint8], int]:
        """Frames as they are kept, uint8, and how many entries were limited to 255."""
        if self.binary:
            return (counts > 0).view(np.uint8), 0
        limited = 0
        if counts.max() > MAX_COUNT:
            limited = int(np.count_nonzero(counts > MAX_COUNT))
            counts = np.minimum(counts, MAX_COUNT)
        return counts.astype(np.uint8), limited


def _within(events: Events, cut: Cut) -> Events:
    first, last = events.t[0], events.t[-1]
    if cut.start <= first and last < cut.stop:
        return events
    if cut.stop <= first or last < cut.start:
        return events[:0]
    start, stop = np.searchsorted(events.t, (cut.start, cut.stop))
    return events[start:stop]
