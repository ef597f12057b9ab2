"""``dvs128-objects``: five everyday objects moved before a DVS128, recorded in two sessions.

::

    root/session_a/<object>.aedat     AEDAT 2.0, about 33 s each
    root/session_b/<object>.aedat     about 19 s each

Windows of a recording look alike, so a random split of windows measures memory. Here a network is trained on
one session and tested on the other, which was recorded on another day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import Cut
from snn_deploy.data.events.recording import Events, Sensor
from snn_deploy.data.formats.aedat2 import read_aedat2
from snn_deploy.data.options.sets import Dvs128ObjectsOptions
from snn_deploy.data.sets.recorded import Ints, Samples, recorded_set
from snn_deploy.data.sets.recordings import file_recording
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.types import DataSet

SENSOR = Sensor(channels=2, height=128, width=128)
OBJECTS = ("box", "cutter", "mechanical_pencil", "mug", "scissors")
SESSIONS = ("a", "b")
WINDOW = 100_000
"""Microseconds of a sample."""

BLOCK = 20
"""Windows of a block of time: 2 s."""

GAP = 5
"""Windows at the borders of a validation block that are in no part: 0.5 s."""

_WHERE_TO_GET = "Give the folder that holds session_a and session_b: -o data.root=PATH."


@dataclass(frozen=True, slots=True)
class Windows:
    """Cuts a recording into windows of ``length`` microseconds from its first event; the rest is dropped."""

    label: int
    length: int

    def __call__(self, parts: Iterable[Events]) -> list[Cut]:
        first: int | None = None
        last = 0
        for events in parts:
            first = int(events.t[0]) if first is None else first
            last = int(events.t[-1])
        starts = range(first or 0, last - self.length + 2, self.length)
        return [Cut(self.label, start, start + self.length, exact=True) for start in starts]


@DATASETS.register("dvs128-objects")
def dvs128_objects(options: Dvs128ObjectsOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """Five objects before a DVS128, 128x128 pixels: one session to train, the other to test; your files.

    Args:
        options: where the recordings are and how they become frames.
        timesteps: number of frames T in a window of 100 ms.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    Raises:
        DataError: the folder is missing or incomplete, or recordings are damaged (all are named).
    """
    root = (options.root or default_root("DVS128-objects")).expanduser()
    paths = [root / f"session_{session}" / f"{name}.aedat" for session in SESSIONS for name in OBJECTS]
    _require_layout(root, paths)
    other = SESSIONS[1 - SESSIONS.index(options.train_session)]
    return recorded_set(
        "dvs128-objects",
        [
            file_recording(path, root, read_aedat2, SENSOR, Windows(OBJECTS.index(path.stem), WINDOW))
            for path in paths
        ],
        SENSOR,
        options,
        partial(divide, SESSIONS.index(options.train_session), options.validation_every),
        timesteps=timesteps,
        classes=OBJECTS,
        notes=[
            f"Trained on session {options.train_session}, tested on session {other}; "
            f"windows of {WINDOW // 1000} ms.",
            f"Validation: one of {options.validation_every} blocks of {BLOCK * WINDOW / 1e6:g} s of the "
            f"training session, with {GAP * WINDOW / 1e6:g} s around it left out of training.",
        ],
        cache=cache,
        where=str(root),
    )


def divide(session: int, every: int, samples: Samples) -> list[Ints]:
    """Train, validation, test.

    Recordings 0 to 4 are of session 0, the others of session 1. Of the windows of a recording of the
    training ``session``, those of block ``every // 2``, ``every // 2 + every``, ... are for validation;
    other windows up to :data:`GAP` windows away from these are in no part.
    """
    held, near = np.zeros((2, len(samples.labels)), bool)
    mine = samples.recording // len(OBJECTS) == session
    for recording in np.unique(samples.recording[mine]):
        of = np.flatnonzero(samples.recording == recording)
        window = (samples.start[of] - samples.start[of].min()) // WINDOW
        held[of] = window // BLOCK % every == every // 2
        near[of] = [(np.abs(w - window[held[of]]) <= GAP).any() for w in window]
    return [np.flatnonzero(part) for part in (mine & ~near, held, ~mine)]


def _require_layout(root: Path, paths: list[Path]) -> None:
    if not root.is_dir():
        raise DataError(f"There is no DVS128-objects folder at '{root}'.", hint=_WHERE_TO_GET)
    problems = [
        Problem(path.relative_to(root).as_posix(), "absent", "two sessions of five objects")
        for path in paths
        if not path.is_file()
    ]
    if problems:
        raise DataError(
            f"The DVS128-objects folder '{root}' is incomplete.", hint=_WHERE_TO_GET, problems=problems
        )
