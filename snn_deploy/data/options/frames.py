"""The options of data sets of recordings: how events become frames."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from snn_deploy.core.contract import EventFrames
from snn_deploy.core.registry import Options

MAX_TIME = 2**53
"""Largest time stamp (microseconds, 285 years): exact in float64 and far from overflow in int64."""


class AugmentOptions(Options):
    """What is done to a training batch, in this order; each sample draws its own.

    Attributes:
        flip: mirror left and right, half of the samples.
        rotate: turn by up to this many degrees either way.
        zoom: magnify by a factor from ``1 - zoom`` to ``1 + zoom``.
        nda: one of roll, rotation, shear and cutout.
        shift: move by up to this many pixels in x and in y.
        cutout: empty a square of this side, at any place.
        time_jitter: delay the series of each pixel by up to this many frames either way.
        drop: an entry of a frame loses its events with a probability that is drawn for each sample, up to
            this.
    """

    flip: bool = False
    rotate: float = Field(default=0.0, ge=0, le=180)
    zoom: float = Field(default=0.0, ge=0, lt=1)
    nda: bool = False
    shift: int = Field(default=0, ge=0, le=64)
    cutout: int = Field(default=0, ge=0, le=1024)
    time_jitter: int = Field(default=0, ge=0, le=64)
    drop: float = Field(default=0.0, ge=0, lt=1)


class FrameOptions(Options):
    """How recordings become frames, in this order.

    Attributes:
        denoise_us: drop events without an earlier event on a neighbouring pixel within this time.
        centre: move each sample so that the median row and column of its events are in the middle of the
            sensor. Its frames are divided before, so with a crop they may hold different numbers of events.
        crop: keep the central ``crop x crop`` pixels.
        downsample: join blocks of this many by this many pixels.
        resize: join pixels to an image of this height and width; instead of ``downsample``.
        polarity: ``on-off`` gives two channels (OFF, ON), ``merged`` one.
        binning: T frames of equal ``time`` or of equal ``count`` of events.
        window: every frame has this length, in microseconds or in events, from the beginning of a sample,
            which is its stated start if it has one, else its first event; what comes after T frames is left
            out and counted in the notes. By default the frames divide the whole sample.
        binary: an entry is 1 where there were events (spikes); else it counts them, up to 255.
        augment: random changes of training batches.
    """

    mirrored: ClassVar[bool] = False
    """Whether the mirror image of a sample belongs to the same class."""

    denoise_us: int | None = Field(default=None, ge=1)
    centre: bool = False
    crop: int | None = Field(default=None, ge=1)
    downsample: int = Field(default=1, ge=1, le=64)
    resize: tuple[int, int] | None = None
    polarity: Literal["on-off", "merged"] = "on-off"
    binning: Literal["time", "count"] = "time"
    window: int | None = Field(default=None, ge=1, le=MAX_TIME)
    binary: bool = True
    augment: AugmentOptions | None = None

    @model_validator(mode="after")
    def _consistent(self) -> FrameOptions:
        if self.resize is not None and self.downsample > 1:
            raise ValueError("resize and downsample are two ways to one thing; give one of them")
        if self.augment is not None and self.augment.flip and not self.mirrored:
            raise ValueError("augment.flip: a mirrored sample of these data would be of another class")
        return self

    @classmethod
    def like(cls, made: EventFrames) -> FrameOptions:
        """The options by which frames are made so."""
        return FrameOptions(
            **{name: value for name, value in asdict(made).items() if name in FrameOptions.model_fields}
        )

    def made(self, sensor: tuple[int, int, int]) -> EventFrames:
        """How events of ``sensor`` become frames, as a part of the input contract."""
        known = {field.name for field in fields(EventFrames)}
        return EventFrames(sensor=sensor, **self.model_dump(include=known))

    def content(self) -> dict[str, Any]:
        """The options that change frames."""
        return self.model_dump(mode="json", include=set(FrameOptions.model_fields) - {"augment"})


ClockRule = Literal["refuse", "continue"]


def _named_once(columns: tuple[str, ...] | dict[str, str] | None) -> tuple[str, ...] | dict[str, str] | None:
    wanted = sorted("xypt")
    if isinstance(columns, dict) and sorted(columns) != wanted:
        raise ValueError("the names of x, y, p and t, and of nothing else")
    if isinstance(columns, tuple) and sorted(c for c in columns if c != "_") != wanted:
        raise ValueError("x, y, p and t once each, in the order of the file, and '_' for others")
    return columns


FileColumns: TypeAlias = Annotated[tuple[str, ...] | dict[str, str] | None, AfterValidator(_named_once)]
"""Which column of a file is which: in their order, ``_`` for one to pass over, or each by its name."""
TimeUnit: TypeAlias = Literal["us", "ms", "s", "ns"]


class RecordedOptions(FrameOptions):
    """Options of data sets that lie on a disk.

    Attributes:
        root: folder of the recordings.
        skip_damaged: leave out damaged recordings, count them and name them in the notes of the data; by
            default one damaged recording stops everything.
        clock: what becomes of a recording whose clock is set back by more than 500 us: it is damaged
            (``refuse``), or the clock goes on (``continue``).
        download: fetch what is missing from its publisher into ``root``. Never happens otherwise.
    """

    root: Path | None = None
    skip_damaged: bool = False
    clock: ClockRule = "refuse"
    download: bool = False
