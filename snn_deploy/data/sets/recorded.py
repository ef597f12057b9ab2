"""Data sets made of recordings: what is read, how it is divided, and what becomes of damaged files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_deploy.core.contract import MAX_COUNT
from snn_deploy.core.errors import DataError, Problem
from snn_deploy.data.augment.frames import augment
from snn_deploy.data.events.frames import Extent
from snn_deploy.data.events.pipeline import REVISION, Binner, Cut
from snn_deploy.data.events.recording import NEVER, Events, Sensor
from snn_deploy.data.events.timeline import Timeline
from snn_deploy.data.formats.layout import UnknownLayoutError
from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.data.loading.cache import FRAMES, Build, Cached, Put, Tensors, cache_dir, cached
from snn_deploy.data.loading.progress import Counted
from snn_deploy.data.options.frames import ClockRule, FrameOptions, RecordedOptions
from snn_deploy.data.sets.recordings import Cuts, Recording, made_at_once
from snn_deploy.data.sets.remarks import TIMES, damage, skip_note, time_notes
from snn_deploy.data.types import DataSet

Ints = NDArray[np.int64]


class Samples(NamedTuple):
    """Of each sample its label, the number of its recording in the list, and where its cut starts (the
    earliest time of all for a whole recording); int64 ``[N]``."""

    labels: Ints
    recording: Ints
    start: Ints


SHOWN = 5000
"""Recordings of which progress is shown while frames are made."""

Divide = Callable[[Samples], Sequence[Ints]]
"""Sample indices of train, validation and test."""


def recorded_set(
    name: str,
    recordings: Sequence[Recording],
    sensor: Sensor,
    options: RecordedOptions,
    divide: Divide,
    *,
    timesteps: int,
    classes: Sequence[str],
    notes: Sequence[str],
    cache: Path | None,
    where: str,
    reading: object = None,
) -> DataSet:
    """The data set of ``recordings``, binned or read from the cache.

    Args:
        name: registry name.
        recordings: in a fixed order.
        sensor: field of view of all of them.
        options: how they become frames.
        divide: how samples are divided.
        timesteps: number of frames T.
        classes: class names in the order of the labels.
        notes: what a reader must know about the data.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.
        where: the folder or file, for messages.
        reading: what else decides how files are read; part of the cache's key.

    Raises:
        DataError: recordings are damaged (all are named), or a part of the set would be empty.
    """
    known = {
        "sensor": sensor,
        "skip_damaged": options.skip_damaged,
        "clock": options.clock,
        "reading": reading,
        "recordings": [[r.name, *r.identity, _cuts_key(r.cuts)] for r in recordings],
    }
    binner = Binner(sensor, timesteps, options)
    content = cached_frames(
        name,
        options,
        timesteps,
        cache,
        known,
        lambda put: build_frames(
            recordings, binner, put, where=where, skip_damaged=options.skip_damaged, clock=options.clock
        ),
    )
    tensors = content.tensors
    parts = divide(Samples(*(tensors[field].numpy() for field in Samples._fields)))
    for part, indices in zip(("train", "validation", "test"), parts, strict=True):
        if not len(indices):
            raise DataError(f"'{where}' leaves no sample for the {part} part of '{name}'.")
    skipped = [recordings[index].name for index in tensors["skipped"].tolist()]
    told = [*notes, *skip_note(skipped, len(recordings)), *time_notes(tensors["times"])]
    return assemble(name, content, parts, options, classes, told, sensor)


def cached_frames(
    name: str,
    options: FrameOptions,
    timesteps: int,
    cache: Path | None,
    known: Mapping[str, Any],
    build: Build,
) -> Cached:
    """The frames that ``build`` makes of recordings, or those of the cache, in whose key ``known`` stands for
    the recordings."""
    key = {
        "data": name,
        "revision": REVISION,
        "timesteps": timesteps,
        "frames": options.content(),
        **known,
    }
    return cached(cache or cache_dir(), f"{name.replace(' ', '-')}-t{timesteps}", key, build)


def _cuts_key(cuts: tuple[Cut, ...] | Cuts) -> Any:
    return repr(cuts) if callable(cuts) else list(cuts)


def build_frames(
    recordings: Sequence[Recording],
    binner: Binner,
    put: Put,
    *,
    where: str,
    skip_damaged: bool = False,
    clock: ClockRule = "refuse",
) -> Tensors:
    """Put the frames of all samples; labels and what else is known of them.

    A recording of more than one part is read again after it was checked and measured.

    Returns:
        ``labels``, ``recording``, ``start`` int64 ``[N]``; ``skipped``, the numbers of damaged recordings;
        ``limited``, how many entries had more than 255 events; ``times``, see :data:`TIMES`.

    Raises:
        DataError: recordings are damaged and ``skip_damaged`` is not set, or all of them are.
    """
    rows: list[tuple[int, int, int]] = []
    damaged: dict[int, Problem] = {}
    limited, unknown = 0, False
    times = dict.fromkeys(TIMES, 0)
    progress = Counted("frames", "recordings", len(recordings)) if len(recordings) >= SHOWN else None
    for number, recording in enumerate(recordings):
        if progress is not None:
            progress.add(1)
        if (at_once := made_at_once(recording, binner)) is not None:
            cut, made = at_once
            if skip_damaged or not damaged:
                put(made.frames[None])
                times["events"] += made.events
                rows.append((cut.label, number, cut.start))
            continue
        try:
            parts, cuts, extents, timeline = _measured(recording, binner, clock)
        except DataError as error:
            what = "; ".join(map(str, error.problems)) or error.message
            damaged[number] = Problem(recording.name, what)
            unknown |= isinstance(error, UnknownLayoutError)
            continue
        if damaged and not skip_damaged:
            continue
        times["late"] += timeline.late
        times["restarts"] += timeline.restarts
        times["gaps"] += timeline.gaps
        times["events"] += sum(extent.events for extent in extents)
        for cut, counts in zip(cuts, binner.count(parts, cuts, extents), strict=True):
            frame, over = binner.entries(counts)
            put(frame[None])
            limited += over
            rows.append((cut.label, number, cut.start))
    if damaged and (not skip_damaged or len(damaged) == len(recordings)):
        raise damage(list(damaged.values()), len(recordings), where, unknown=unknown)
    columns = np.array(rows, np.int64).reshape(-1, 3).T.copy()
    return {
        **{name: torch.from_numpy(c) for name, c in zip(Samples._fields, columns, strict=True)},
        "skipped": torch.tensor(list(damaged), dtype=torch.int64),
        "limited": torch.tensor([limited]),
        "times": torch.tensor(list((times | {"outside": binner.outside}).values())),
    }


def _measured(
    recording: Recording, binner: Binner, clock: ClockRule
) -> tuple[Iterable[Events], tuple[Cut, ...], list[Extent], Timeline]:
    """What is shown of a recording, its cuts and their extents, and what is to be said of its time."""
    parts: list[Events] = []
    timeline = Timeline(clock)
    for events in recording.events(timeline):
        parts.append(events)
        if len(parts) > 1:
            break
    again = len(parts) > 1
    if again:
        timeline = Timeline(clock)
    cuts = recording.cuts
    if callable(cuts):
        cuts = tuple(cuts(recording.events(Timeline(clock)) if again else parts))
    if not again:
        parts = list(binner.shown(parts))
    extents = binner.measure(binner.shown(recording.events(timeline)) if again else parts, cuts)
    empty = [c for c, e in zip(cuts, extents, strict=True) if not e.events]
    _require_events(recording, binner, empty, clock)
    return (binner.shown(recording.events(Timeline(clock))) if again else parts), cuts, extents, timeline


def _require_events(recording: Recording, binner: Binner, empty: Sequence[Cut], clock: ClockRule) -> None:
    """Refuse a recording that has no event at all in one of the cuts that show none.

    Windows may be empty, and what is shown may be empty because of a crop or of noise that was taken away.
    """
    announced = [cut for cut in empty if cut.start != NEVER and not cut.exact]
    if not announced:
        return
    extents = binner.measure(recording.events(Timeline(clock)), announced)
    if problems := [
        Problem(f"{cut.start} to {cut.stop} us", "no event, though a sample is announced there")
        for cut, extent in zip(announced, extents, strict=True)
        if not extent.events
    ]:
        raise DataError("samples without events", problems=problems)


def assemble(
    name: str,
    content: Cached,
    parts: Sequence[Ints],
    options: FrameOptions,
    classes: Sequence[str],
    notes: Sequence[str],
    sensor: Sensor,
) -> DataSet:
    """The data set of cached ``content`` with the samples ``parts`` = train, validation, test, of the events
    of ``sensor``."""
    frames, labels = content.tensors[FRAMES], content.tensors["labels"]
    settings: Mapping[str, Any] = {
        "name": name,
        "content": content.digest,
        "augment": options.model_dump(mode="json")["augment"],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part in parts:
        digest.update(f"{len(part)}\n".encode() + part.tobytes())
    if limited := int(content.tensors["limited"]):
        notes = [
            *notes,
            f"{limited} frame entries had more than {MAX_COUNT} events and were limited to that.",
        ]
    channels, height, width = frames.shape[2:]
    train, validation, test = (
        ArraySplit(frames, rows, labels[rows]) for rows in (torch.from_numpy(part) for part in parts)
    )
    return DataSet(
        name=name,
        shape=(channels, height, width),
        classes=tuple(classes),
        train=train,
        validation=validation,
        test=test,
        digest=digest.hexdigest(),
        augment=partial(augment, options=options.augment) if options.augment else None,
        notes=tuple(notes),
        made=options.made((sensor.channels, sensor.height, sensor.width)),
    )
