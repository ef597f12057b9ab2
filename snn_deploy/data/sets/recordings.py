"""Recordings of a data set: what is read, and how it is told apart from another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.pipeline import Binner, Cut, Made
from snn_deploy.data.events.recording import Events, Sensor
from snn_deploy.data.events.timeline import Timeline
from snn_deploy.data.formats.base import Reader, checked

Cuts = Callable[[Iterable[Events]], list[Cut]]
"""Makes the cuts of a recording from its events."""


class Source(Protocol):
    """Begins to read a recording, in the order of ``timeline``, which then knows of its clock."""

    def __call__(self, timeline: Timeline | None = None) -> Iterator[Events]: ...


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, or a part of one, that holds one recording.

    Attributes:
        name: what it is called in messages and cache keys.
        identity: what stands for its content in cache keys.
        events: begins to read it; may be called again.
        cuts: samples to make of it, or how to find them.
        at_once: makes the frames of all of it in one pass, or gives None where it has to be read part by
            part.
    """

    name: str
    identity: tuple[int, ...]
    events: Source
    cuts: tuple[Cut, ...] | Cuts
    at_once: Callable[[Binner], Made | None] | None = None


def file_recording(
    path: Path,
    root: Path,
    reader: Reader,
    sensor: Sensor,
    cuts: tuple[Cut, ...] | Cuts,
    at_once: Callable[[Path, Binner], Made | None] | None = None,
) -> Recording:
    """The recording that a file holds.

    Raises:
        DataError: the file is gone.
    """
    return Recording(
        path.relative_to(root).as_posix(),
        file_identity(path),
        lambda timeline=None: checked(reader(path), sensor, timeline),
        cuts,
        None if at_once is None else partial(at_once, path),
    )


def file_identity(path: Path) -> tuple[int, int]:
    """Size and time of change, which stand for a file's content: reading all files would cost what a cache
    saves.

    Raises:
        DataError: the file is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None
    return status.st_size, status.st_mtime_ns


def made_at_once(recording: Recording, binner: Binner) -> tuple[Cut, Made] | None:
    """The only cut of a recording that is one sample, and what one pass makes of it, where one does."""
    cuts = recording.cuts
    if recording.at_once is None or callable(cuts) or cuts != (Cut(cuts[0].label),):
        return None
    made = recording.at_once(binner)
    return None if made is None else (cuts[0], made)
