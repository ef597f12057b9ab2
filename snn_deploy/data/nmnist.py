"""``nmnist``: N-MNIST (Orchard, Jayawant, Cohen and Thakor 2015) in its public layout.

::

    root/Train/<digit>/*.bin      60,000 recordings of 34x34 pixels, about 0.3 s each
    root/Test/<digit>/*.bin       10,000

A file is a row of 40-bit events: x (8 bits), y (8), polarity (1), time stamp in microseconds (23).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from snn_deploy.data.cache import Tensors, cache_dir, cached
from snn_deploy.data.events import EVENT_DTYPE, Events, Sensor, make_events
from snn_deploy.data.pipeline import REVISION, FrameOptions, assemble, build_frames, pack
from snn_deploy.data.splits import stratified_split
from snn_deploy.data.types import DataSet
from snn_deploy.errors import DataError, MissingOptionalError, Problem
from snn_deploy.registry import DATASETS

SENSOR = Sensor(channels=2, height=34, width=34)
PUBLIC_SIZE = {"Train": 60_000, "Test": 10_000}
EVENT_BYTES = 5
MAX_FILE_BYTES = 1 << 20
"""Over twenty times the longest recording known; bounds the work one file can cause."""

_SHOWN = 20
_WHERE_TO_GET = (
    "Give the folder that holds Train and Test: -o data.root=PATH. "
    "The data are at https://www.garrickorchard.com/datasets/n-mnist (CC BY-SA 4.0)."
)


class NmnistOptions(FrameOptions):
    """Options of ``nmnist``.

    Attributes:
        root: folder with ``Train`` and ``Test``; by default ``$SNN_DEPLOY_DATA/NMNIST``, or ``NMNIST`` in
            the cache folder.
        validation: share of the training recordings held out for validation, taken evenly from each
            class in the order of file names.
    """

    root: Path | None = None
    validation: float = Field(default=0.1, gt=0, lt=1)


@DATASETS.register("nmnist", options=NmnistOptions)
def nmnist(options: NmnistOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """N-MNIST: MNIST digits recorded by a moving event camera, 34x34 pixels; your own download.

    Args:
        options: where the recordings are and how they become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.cache.cache_dir`.

    Raises:
        DataError: the folder is missing or incomplete, or recordings are damaged (all are named).
        MissingOptionalError: tonic, which reads the recordings, is not installed.
    """
    folder = cache or cache_dir()
    root = (options.root or default_root()).expanduser()
    files = {part: list_recordings(root / part) for part in PUBLIC_SIZE}
    _require_layout(root, files)
    train, test = files["Train"], files["Test"]
    labels = np.array([label for _, label in train], np.int64)
    kept, validation = stratified_split(labels, (1 - options.validation, options.validation))
    if not (len(kept) and len(validation)):
        raise DataError(f"{len(train)} training recordings leave none for training or validation.")
    key = {
        "data": "nmnist",
        "revision": REVISION,
        "timesteps": timesteps,
        "frames": options.content(),
        "files": [_identity(path, root) for path, _ in (*train, *test)],
    }
    content = cached(
        folder, f"nmnist-t{timesteps}", key, lambda: _build([*train, *test], root, options, timesteps)
    )
    parts = (kept, validation, np.arange(len(train), len(train) + len(test)))
    return assemble("nmnist", content, parts, options, list(_notes(files, len(validation))))


def default_root() -> Path:
    """Where the recordings are looked for when no folder is given."""
    if data := os.environ.get("SNN_DEPLOY_DATA"):
        return Path(data) / "NMNIST"
    return cache_dir() / "NMNIST"


def list_recordings(folder: Path) -> list[tuple[Path, int]]:
    """Files and labels below ``folder/<digit>``, ordered by digit and file name."""
    return [(path, digit) for digit in range(10) for path in sorted((folder / str(digit)).glob("*.bin"))]


def read_recording(path: Path, reader: Callable[..., Any]) -> Events:
    """One recording, read by tonic's ``read_mnist_file`` and checked; events out of order are sorted by time.

    Raises:
        DataError: the file cannot be read, is empty or too long, does not hold whole events, or has
            events outside the sensor.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None
    if not data or len(data) % EVENT_BYTES or len(data) > MAX_FILE_BYTES:
        size = f"more than {MAX_FILE_BYTES}" if len(data) > MAX_FILE_BYTES else str(len(data))
        raise DataError(f"{size} bytes; a recording has whole events of {EVENT_BYTES} bytes, at least one")
    wide = np.dtype([(name, np.int64) for name in EVENT_DTYPE.names or ()])
    events = reader(io.BytesIO(data), dtype=wide, is_stream=True)
    events = events[np.argsort(events["t"], kind="stable")]
    return make_events(events["x"], events["y"], events["t"], events["p"], SENSOR)


def _tonic_reader() -> Callable[..., Any]:
    try:
        from tonic.io import read_mnist_file
    except ImportError as error:
        raise MissingOptionalError(
            f"N-MNIST recordings are read by tonic, which cannot be imported ({error}).",
            hint="pip install 'snn-deploy[events]'",
        ) from None
    reader: Callable[..., Any] = read_mnist_file
    return reader


def _build(files: Sequence[tuple[Path, int]], root: Path, options: NmnistOptions, timesteps: int) -> Tensors:
    reader = _tonic_reader()
    damaged: list[Problem] = []

    def recordings() -> Iterator[Events]:
        for path, _ in files:
            try:
                yield read_recording(path, reader)
            except DataError as error:
                what = "; ".join(map(str, error.problems)) or error.message
                damaged.append(Problem(path.relative_to(root).as_posix(), what))
                yield np.empty(0, EVENT_DTYPE)

    frames, limited = build_frames(recordings(), len(files), SENSOR, timesteps, options)
    if damaged:
        more = f" The first {_SHOWN} are:" if len(damaged) > _SHOWN else ""
        raise DataError(
            f"{len(damaged)} of {len(files)} recordings in '{root}' are damaged.{more}",
            hint="Extract the archives again, or delete these files.",
            problems=damaged[:_SHOWN],
        )
    return pack(frames, np.array([label for _, label in files], np.int64), limited)


def _require_layout(root: Path, files: dict[str, list[tuple[Path, int]]]) -> None:
    if not root.is_dir():
        raise DataError(f"There is no N-MNIST folder at '{root}'.", hint=_WHERE_TO_GET)
    problems = [
        Problem(f"{part}/{digit}", "no .bin file", "each part has recordings of all ten digits")
        for part, found in files.items()
        for digit in sorted(set(range(10)) - {label for _, label in found})
    ]
    if problems:
        raise DataError(f"The N-MNIST folder '{root}' is incomplete.", hint=_WHERE_TO_GET, problems=problems)


def _identity(path: Path, root: Path) -> list[str | int]:
    """Stands for a file's content in the cache key: reading all files would cost what the cache saves."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None
    return [path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns]


def _notes(files: dict[str, list[tuple[Path, int]]], validation: int) -> Iterator[str]:
    train, test = len(files["Train"]), len(files["Test"])
    yield f"{validation} of {train} training recordings are held out for validation."
    if (train, test) != tuple(PUBLIC_SIZE.values()):
        yield (
            f"A part of N-MNIST: {train} training and {test} test recordings of 60,000 and 10,000; "
            "do not compare with published figures."
        )
