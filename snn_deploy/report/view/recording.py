"""A few samples: their inputs as pictures, and the spikes of every layer over the steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.report import format as fmt
from snn_deploy.report.model import ReportData
from snn_deploy.report.shown import Decisions, Recording, ShownLayer, ShownSample
from snn_deploy.report.view import pixels

STRIP = 8
"""Frames of a strip."""
DOTS = 1500
LEVELS = 8
RUNS = 24_000
"""Characters that the static pictures of all layers may take, about; our choice."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Paths with a colour: a class, or a colour of its own; ``width`` x ``height`` pixels."""

    paths: tuple[tuple[str, str, str], ...]
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class SampleView:
    """One sample: frames of its input, its events in space and time, and what was decided."""

    place: int
    title: str
    verdict: str
    tone: str
    glyph: str
    strip: tuple[Picture, ...]
    cloud: Picture | None
    values: str
    decided: str


@dataclass(frozen=True, slots=True)
class RasterView:
    """Spikes of one layer: in the first sample as a ``path``, and the bits of all samples for the script."""

    layer: str
    rows: int
    path: str
    height: int
    note: str
    numbers: str
    bits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordingView:
    """Everything about the samples shown."""

    samples: tuple[SampleView, ...]
    rasters: tuple[RasterView, ...]
    steps: int
    remark: str
    kind: str
    shape: str
    frames: int
    merged: int
    note: str
    names: str


def recording_view(data: ReportData) -> RecordingView | None:
    """The view; None without a recording."""
    found = data.recording
    if found is None:
        return None
    remark = ""
    if found.steps < found.steps_in_all:
        remark = f"The first {fmt.number(found.steps)} of {fmt.number(found.steps_in_all)} steps are shown."
    rasters = [_raster(layer, found) for layer in found.layers]
    return RecordingView(
        samples=tuple(_sample(data, found, place) for place in range(len(found.samples))),
        rasters=tuple(_thinned(rasters, found)),
        steps=found.steps,
        remark=remark,
        kind=found.input.kind,
        shape=",".join(map(str, found.input.shape)),
        frames=found.input.frames,
        merged=found.input.steps_per_frame,
        note=found.input.note,
        names="\t".join(data.decisions.names) if data.decisions else "",
    )


def _sample(data: ReportData, found: Recording, place: int) -> SampleView:
    sample = found.samples[place]
    values = pixels.frames(found.input, place)
    verdict, tone, glyph = _verdict(sample, data.decisions)
    if found.input.kind == "channels":
        strip = [_channels(values)]
    else:
        strip = [_frame(found, values, i) for i in pixels.spread(len(values), STRIP)]
    return SampleView(
        place=place,
        title=f"sample {fmt.number(sample.number)}",
        verdict=verdict,
        tone=tone,
        glyph=glyph,
        strip=tuple(strip),
        cloud=_cloud(values) if found.input.kind == "events" and len(values) > 1 else None,
        values=found.input.values[place],
        decided=",".join(map(str, sample.decided)) if data.decisions else "",
    )


def _verdict(sample: ShownSample, decisions: Decisions | None) -> tuple[str, str, str]:
    if decisions is None:
        return "", "off", ""
    last = sample.decided[-1]
    since = len(sample.decided)
    while since > 1 and sample.decided[since - 2] == last:
        since -= 1
    name = (lambda k: decisions.names[k]) if decisions.names else str
    text = f"decided {name(last)}, from step {since} on"
    if sample.label is None:
        return text, "off", ""
    right = sample.label == last
    return f"is {name(sample.label)}, {text}", "ok" if right else "bad", "✓" if right else "✗"


def _frame(found: Recording, values: pixels.Bytes, number: int) -> Picture:
    frame = values[number]
    _, height, width = frame.shape
    text = "every step"
    if len(values) > 1:
        text = fmt.steps(number, found.input.steps_per_frame, found.steps)
    if found.input.kind == "grey":
        return _grey(frame[0], text)
    if found.input.kind == "colour":
        return Picture(tuple(("", *coloured) for coloured in pixels.colours(frame)), width, height, text)
    return _events(pixels.runs(frame[0] > 0), pixels.runs(frame[1] > 0), width, height, text)


def _grey(values: pixels.Bytes, text: str) -> Picture:
    paths = [(f"g{k}", "", path) for k, path in enumerate(pixels.levels(values, LEVELS), 1) if path]
    return Picture(tuple(paths), values.shape[1], values.shape[0], text)


def _events(off: str, on: str, width: float, height: float, text: str) -> Picture:
    paths = [("off-event", "", off), ("on-event", "", on)]
    return Picture(tuple(p for p in paths if p[2]), width, height, text)


def _channels(values: pixels.Bytes) -> Picture:
    """Values [frames, 1, 1, N] as a picture of N rows and one column a frame."""
    return _grey(np.ascontiguousarray(values[:, 0, 0].T), "values over steps")


def _cloud(values: pixels.Bytes) -> Picture:
    off, on, (width, height) = pixels.cloud(values, DOTS)
    return _events(off, on, width, height, "events in space and time")


def _raster(layer: ShownLayer, found: Recording) -> RasterView:
    rows = len(layer.rows)
    note = f"{fmt.number(layer.neurons)} neurons"
    if rows < layer.neurons:
        note = f"{fmt.number(rows)} of {note}, spread over the layer"
    return RasterView(
        layer=layer.layer,
        rows=rows,
        path=pixels.runs(pixels.fired(layer, 0, found.steps).T > 0),
        height=min(max(2 * rows, 40), 260),
        note=note,
        numbers="" if rows == layer.neurons else ",".join(map(str, layer.rows)),
        bits=layer.spikes,
    )


def _thinned(rasters: list[RasterView], found: Recording) -> list[RasterView]:
    """Static pictures with fewer rows, where all together they would make the page large."""
    share = max(RUNS // max(len(rasters), 1), 2000)
    return [
        raster
        if len(raster.path) <= share
        else _every(raster, layer, found.steps, -(-len(raster.path) // share))
        for raster, layer in zip(rasters, found.layers, strict=True)
    ]


def _every(raster: RasterView, layer: ShownLayer, steps: int, nth: int) -> RasterView:
    mask = pixels.fired(layer, 0, steps).T > 0
    mask[[row for row in range(len(mask)) if row % nth]] = False
    return replace(
        raster, path=pixels.runs(mask), note=f"{raster.note}; without script one in {nth} is drawn"
    )
