"""The input contract: what a network is fed with, and how events or images become that; as data and in words.

The words are made of the data, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

MAX_COUNT = 255
"""Most events that an entry of a frame counts."""
Sizes: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EventFrames:
    """Frames of events, made in the order of these fields; ``sensor`` is ``(C, H, W)``, C = 2 for OFF, ON.

    See :class:`snn_deploy.data.options.frames.FrameOptions` for the fields.
    """

    sensor: tuple[int, int, int]
    denoise_us: int | None
    centre: bool
    crop: int | None
    downsample: int
    resize: tuple[int, int] | None
    polarity: Literal["on-off", "merged"]
    binning: Literal["time", "count"]
    window: int | None
    binary: bool
    kind: Literal["events"] = "events"


@dataclass(frozen=True, slots=True)
class ImageSteps:
    """Still images as T steps: pixels / 255, then ``(x - mean) / std`` of each channel, then ``encoding``.

    ``resize`` is the length that an image's shorter side is brought to; its centre is shown.
    """

    encoding: Literal["direct", "rate", "latency"]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: int | None = None
    kind: Literal["images"] = "images"


Made: TypeAlias = Annotated[EventFrames | ImageSteps, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Values:
    """What the entries of a frame may be.

    Attributes:
        kind: 0 and 1, whole numbers from 0, or any.
        low, high: least and largest.
        stated: whether that follows from how frames are made; else it was only seen in samples.
    """

    kind: Literal["binary", "counts", "real"]
    low: float
    high: float
    stated: bool


@dataclass(frozen=True, slots=True)
class Contract:
    """What a network is fed with: ``[T, samples, *shape]``, time first.

    Attributes:
        shape: of a frame, ``(channels, rows, columns)`` if it has three axes.
        timesteps: T.
        values: of its entries.
        channels: what each one holds; empty where nobody knows.
        made: how frames are made; None where the samples were frames.
        trained: whether the network was trained on frames that were made so; else samples of its proof were.
        words: all this in sentences.
    """

    shape: Sizes
    timesteps: int
    values: Values
    channels: tuple[str, ...]
    made: Made | None
    trained: bool
    words: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def make_contract(
    shape: Sizes, timesteps: int, made: EventFrames | ImageSteps | None, seen: Values, *, trained: bool
) -> Contract:
    """The contract of frames ``shape`` that are ``made`` so; ``seen`` are the values of the samples of the
    proof, which count where nothing is known of the making."""
    values = seen if made is None else values_of(made)
    channels = () if made is None else channels_of(made, shape[0])
    plain = Contract(shape, timesteps, values, channels, made, trained)
    return replace(plain, words=tuple(words(plain)))


def values_of(made: EventFrames | ImageSteps) -> Values:
    """What entries of frames that are made so may be."""
    if isinstance(made, EventFrames):
        kind: Literal["binary", "counts"] = "binary" if made.binary else "counts"
        return Values(kind, 0.0, 1.0 if made.binary else float(MAX_COUNT), stated=True)
    if made.encoding != "direct":
        return Values("binary", 0.0, 1.0, stated=True)
    pairs = list(zip(made.mean, made.std, strict=True)) or [(0.0, 1.0)]
    low, high = min(-m / s for m, s in pairs), max((1 - m) / s for m, s in pairs)
    return Values("real", low, high, stated=True)


def seen_values(low: float, high: float, *, whole: bool) -> Values:
    """What samples between ``low`` and ``high`` show; ``whole``: all are whole numbers.

    Raises:
        ValueError: bounds that are not finite.
    """
    if not (isfinite(low) and isfinite(high)):
        raise ValueError("bounds that are not finite")
    if whole and low >= 0:
        return Values("binary" if high <= 1 else "counts", low, high, stated=False)
    return Values("real", low, high, stated=False)


def channels_of(made: EventFrames | ImageSteps, count: int) -> tuple[str, ...]:
    """What each of ``count`` channels holds."""
    if isinstance(made, ImageSteps):
        return ("red", "green", "blue") if count == 3 else ("grey",) if count == 1 else ()
    if count == 2:
        return ("OFF events (polarity 0)", "ON events (polarity 1)")
    return ("events of both polarities" if made.sensor[0] == 2 else "events",)


def words(contract: Contract) -> Iterator[str]:
    """The contract in sentences."""
    axes = ", ".join(map(str, contract.shape))
    named = " (channels, rows, columns)" if len(contract.shape) == 3 else ""
    yield f"{contract.timesteps} frames a sample: [{contract.timesteps}, samples, {axes}], time first{named}."
    if contract.channels:
        yield "Channels: " + "; ".join(f"{n}: {what}" for n, what in enumerate(contract.channels)) + "."
    yield _entries(contract)
    if contract.made is None:
        yield "The samples of the proof were frames: how events or images become frames is not known."
        return
    if not contract.trained:
        yield "The samples of the proof were made as follows; what it was trained on is not known."
    yield from (_of_events if isinstance(contract.made, EventFrames) else _of_images)(contract)


def _entries(contract: Contract) -> str:
    values = contract.values
    bounds = f"{values.low:.4g} to {values.high:.4g}"
    if not values.stated:
        what = {"binary": "0 and 1", "counts": f"whole numbers, {bounds}", "real": bounds}[values.kind]
        return f"Entries seen in the samples: {what}."
    if values.kind == "real":
        return f"Entries: {bounds}."
    if values.kind == "counts":
        return f"Entries count events, up to {values.high:g}."
    return "Entries are 0 or 1" + (
        ": 1 where there was an event." if isinstance(contract.made, EventFrames) else "."
    )


def _of_events(contract: Contract) -> Iterator[str]:
    made, steps = contract.made, contract.timesteps
    assert isinstance(made, EventFrames)
    _, rows, columns = made.sensor
    if rows > 1:
        yield f"The sensor has {rows} rows and {columns} columns; row 0 is y = 0, column 0 is x = 0."
    if made.denoise_us is not None:
        yield (f"Events without an earlier neighbour within {made.denoise_us:,} us are left out.")
    if made.centre:
        yield "Each sample is moved so that the median row and column of its events are in the middle."
    if made.crop is not None:
        yield f"The central {made.crop} x {made.crop} pixels are kept."
    if made.downsample > 1:
        yield f"Blocks of {made.downsample} x {made.downsample} pixels are joined to one."
    if made.resize is not None:
        yield f"Pixels are joined to {made.resize[0]} rows and {made.resize[1]} columns."
    rest = f"; what comes after {steps} frames is left out."
    if made.binning == "time":
        yield (
            f"A sample, from its first to its last event, is cut into {steps} frames of equal time."
            if made.window is None
            else f"A frame lasts {made.window:,} us, from a sample's stated start or first event{rest}"
        )
    else:
        yield (
            f"The events of a sample are divided into {steps} frames of equal number."
            if made.window is None
            else f"A frame holds {made.window:,} events{rest}"
        )


def _of_images(contract: Contract) -> Iterator[str]:
    made = contract.made
    assert isinstance(made, ImageSteps)
    if made.resize is not None:
        size = " x ".join(map(str, contract.shape[1:]))
        yield f"The shorter side of an image is brought to {made.resize} pixels, the central {size} shown."
    yield "Pixels from 0 to 255 are divided by 255" + (
        "."
        if not made.mean
        else f", then brought to (x - mean) / std, channel by channel: mean {_list(made.mean)}, "
        f"std {_list(made.std)}."
    )
    yield {
        "direct": "Every frame is the image.",
        "rate": "In each frame an entry is 1 with the probability of the intensity.",
        "latency": "Each entry is 1 in one frame, floor((1 - x)(T - 1) + 1/2) for the intensity x > 0.",
    }[made.encoding]


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
