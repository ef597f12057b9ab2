"""What a stream is told of its events: how they become frames, and which columns a recording has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from snn_deploy.core.contract import EventFrames
from snn_deploy.core.documents import validation_problems
from snn_deploy.core.errors import ConfigError, DataError, Problem
from snn_deploy.data.events.recording import Events, Sensor
from snn_deploy.data.events.timeline import Timeline
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.chosen import read_any
from snn_deploy.data.formats.layout import Layout
from snn_deploy.data.options.frames import ClockRule, FileColumns, FrameOptions, TimeUnit
from snn_deploy.recipes.recipe import apply_override
from snn_deploy.tasks.contract import making
from snn_deploy.tasks.source import Source

EVENT_CHANNELS = 2
"""Of frames of events, OFF and ON, unless polarities are merged."""

PART = 1024
"""Events that are pushed at once (our choice)."""


class StreamOptions(FrameOptions):
    """Options of a stream: those of frames, and of a recording those of ``event-folder`` that name columns.

    Attributes:
        columns, time_unit: see :class:`~snn_deploy.data.options.sets.EventFolderOptions`.
        clock: see :class:`~snn_deploy.data.options.frames.RecordedOptions`.
    """

    columns: FileColumns = None
    time_unit: TimeUnit | None = None
    clock: ClockRule = "refuse"


def stream_options(
    source: Source, overrides: Sequence[str] = ()
) -> tuple[StreamOptions | None, Sensor | None]:
    """The options that the network was trained with, changed by ``data.KEY=VALUE``, and its camera where that
    is known. Of a network that was trained on what are no events there are none, unless they are stated.

    Raises:
        ConfigError: other keys, or values that they do not take; all at once.
    """
    trained, camera = _trained_with(source)
    if trained is None and not overrides:
        return None, camera
    names = {name for name in FrameOptions.model_fields if name != "augment"}
    content: dict[str, Any] = {"data": {} if trained is None else trained.model_dump(include=names)}
    problems = []
    for override in overrides:
        if not override.startswith("data."):
            problems.append(Problem(override, "cannot be set here", "data.KEY=VALUE"))
        elif fault := apply_override(content, override):
            problems.append(fault)
    if not problems:
        try:
            return StreamOptions.model_validate(content["data"]), camera
        except ValidationError as error:
            problems += validation_problems(error, StreamOptions, "data")
    raise ConfigError("The stream cannot be read so.", problems=problems)


def _trained_with(source: Source) -> tuple[FrameOptions | None, Sensor | None]:
    """How events become its frames, and of which camera: as its input contract says, else by the default
    options, of any; no options where its frames are not of events."""
    made = making(source)
    if isinstance(made, EventFrames):
        return FrameOptions.like(made), Sensor(*made.sensor)
    shape = source.plan.shapes[source.plan.input]
    trained_on_frames = source.recipe is not None and shape[0] != EVENT_CHANNELS
    return (None if made is not None or trained_on_frames else FrameOptions()), None


def recorded(path: Path, options: StreamOptions, sensor: Sensor, skip: int = 0) -> Iterator[Events]:
    """The events of a recording in order of time, in small parts, without the first ``skip``.

    Raises:
        DataError: it is missing or damaged, or its clock was set back (see
            :mod:`snn_deploy.data.events.timeline`).
    """
    if not path.is_file():
        raise DataError(f"There is no recording '{path}'.")
    layout = Layout.of(options.columns, options.time_unit)
    for events in checked(read_any(path, layout), sensor, Timeline(options.clock)):
        begin, skip = min(skip, len(events)), max(0, skip - len(events))
        for first in range(begin, len(events), PART):
            part = slice(first, first + PART)
            yield Events(events.t[part], events.address[part])
