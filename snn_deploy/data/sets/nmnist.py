"""``nmnist``: N-MNIST (Orchard, Jayawant, Cohen and Thakor 2015) in its public layout.

::

    root/Train/<digit>/*.bin      60,000 recordings of 34x34 pixels, about 0.3 s each
    root/Test/<digit>/*.bin       10,000
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats.bits40 import bits40_frames, read_bits40
from snn_deploy.data.options.sets import NmnistOptions
from snn_deploy.data.sets.download import Remote, obtain
from snn_deploy.data.sets.recorded import Ints, Samples, recorded_set
from snn_deploy.data.sets.recordings import file_recording
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

SENSOR = Sensor(channels=2, height=34, width=34)
PUBLIC_SIZE = {"Train": 60_000, "Test": 10_000}
REMOTE = tuple(
    Remote(
        f"https://data.mendeley.com/public-files/datasets/468j46mzdv/files/{key}/file_downloaded", name, md5
    )
    for name, key, md5 in (
        ("Train.zip", "39c25547-014b-4137-a934-9d29fa53c7a0", "20959b8e626244a1b502305a9e6e2031"),
        ("Test.zip", "05a4d654-7e03-4c15-bdfa-9bb2bcbea494", "69ca8762b2fe404d9b9bad1103e97832"),
    )
)

_WHERE_TO_GET = (
    "Give the folder that holds Train and Test: -o data.root=PATH. "
    "The data are at https://www.garrickorchard.com/datasets/n-mnist (CC BY-SA 4.0); "
    "-o data.download=true fetches them (1.2 GB)."
)

Listed = list[tuple[Path, int]]


@DATASETS.register("nmnist")
def nmnist(options: NmnistOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """N-MNIST: MNIST digits recorded by a moving event camera, 34x34 pixels; your own download.

    Args:
        options: where the recordings are and how they become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    Raises:
        DataError: the folder is missing or incomplete, or recordings are damaged (all are named).
    """
    root = (options.root or default_root("NMNIST")).expanduser()
    if options.download:
        obtain(REMOTE, root, present=root / "Test")
    files = {part: list_recordings(root / part) for part in PUBLIC_SIZE}
    _require_layout(root, files)
    listed = [*files["Train"], *files["Test"]]
    return recorded_set(
        "nmnist",
        [
            file_recording(path, root, read_bits40, SENSOR, (Cut(label),), bits40_frames)
            for path, label in listed
        ],
        SENSOR,
        options,
        partial(_divide, len(files["Train"]), options.validation),
        timesteps=timesteps,
        classes=[str(digit) for digit in range(10)],
        notes=list(_notes(files, options.validation)),
        cache=cache,
        where=str(root),
    )


def list_recordings(folder: Path) -> Listed:
    """Files and labels below ``folder/<digit>``, ordered by digit and file name."""
    return [(path, digit) for digit in range(10) for path in sorted((folder / str(digit)).glob("*.bin"))]


def _divide(train: int, validation: float, samples: Samples) -> list[Ints]:
    """The recordings before number ``train`` are for training and validation."""
    mine = np.flatnonzero(samples.recording < train)
    kept, held = stratified_split(samples.labels[mine], (1 - validation, validation))
    return [mine[kept], mine[held], np.flatnonzero(samples.recording >= train)]


def _require_layout(root: Path, files: dict[str, Listed]) -> None:
    if not root.is_dir():
        raise DataError(f"There is no N-MNIST folder at '{root}'.", hint=_WHERE_TO_GET)
    problems = [
        Problem(f"{part}/{digit}", "no .bin file", "each part has recordings of all ten digits")
        for part, found in files.items()
        for digit in sorted(set(range(10)) - {label for _, label in found})
    ]
    if problems:
        raise DataError(f"The N-MNIST folder '{root}' is incomplete.", hint=_WHERE_TO_GET, problems=problems)


def _notes(files: dict[str, Listed], validation: float) -> Iterator[str]:
    train, test = len(files["Train"]), len(files["Test"])
    yield (
        f"The public split; {validation:.0%} of the training recordings of each class "
        "are held out for validation."
    )
    if (train, test) != tuple(PUBLIC_SIZE.values()):
        yield (
            f"A part of N-MNIST: {train} training and {test} test recordings of 60,000 and 10,000; "
            "do not compare with published figures."
        )
