"""``n-caltech101``: Caltech-101 before an event camera (Orchard, Jayawant, Cohen and Thakor 2015).

::

    root/Caltech101/<class>/*.bin      8,709 recordings in 101 classes, or root/<class>/*.bin

Images differ in size; each is in the upper left corner of the sensor's 180 x 240 pixels, as recorded.
There is no official split.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats.bits40 import bits40_frames, read_bits40
from snn_deploy.data.options.sets import NCaltech101Options
from snn_deploy.data.sets.download import Remote, obtain
from snn_deploy.data.sets.recorded import Ints, Samples, recorded_set
from snn_deploy.data.sets.recordings import file_recording
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

SENSOR = Sensor(channels=2, height=180, width=240)
PUBLIC_SIZE = 8_709
PUBLIC_CLASSES = 101
REMOTE = (
    Remote(
        "https://data.mendeley.com/public-files/datasets/cy6cvx3ryv/files/36b5c52a-b49d-4853-addb-a836a8883e49/"
        "file_downloaded",
        "N-Caltech101-archive.zip",
        "66201824eabb0239c7ab992480b50ba3",
    ),
)

_WHERE_TO_GET = (
    "Give the folder that holds a folder for each class: -o data.root=PATH. The data are at "
    "https://www.garrickorchard.com/datasets/n-caltech101 (CC BY 4.0); -o data.download=true fetches them."
)


@DATASETS.register("n-caltech101")
def ncaltech101(options: NCaltech101Options, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """N-Caltech101: Caltech-101 images before a moving event camera, 180x240 pixels; your own download.

    Args:
        options: where the recordings are and how they become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    Raises:
        DataError: the folder is missing or incomplete, or recordings are damaged (all are named).
    """
    root = (options.root or default_root("NCALTECH101")).expanduser()
    if options.download:
        obtain(REMOTE, root, present=root / "Caltech101")
    folder = root / "Caltech101" if (root / "Caltech101").is_dir() else root
    classes = sorted(path.parent.name for path in _first_files(folder))
    if len(classes) < 2:
        raise DataError(f"There are no folders of .bin files at '{folder}'.", hint=_WHERE_TO_GET)
    files = [
        (path, label) for label, name in enumerate(classes) for path in sorted((folder / name).glob("*.bin"))
    ]
    shares = (1 - options.validation - options.test, options.validation, options.test)
    notes = [
        "There is no official split; here "
        + ", ".join(f"{s:.0%} {n}" for s, n in zip(shares, ("train", "validation", "test"), strict=True))
        + " of each class, spread evenly over the file names.",
    ]
    if (len(files), len(classes)) != (PUBLIC_SIZE, PUBLIC_CLASSES):
        notes.append(
            f"Not all of N-Caltech101: {len(files)} of {PUBLIC_SIZE:,} recordings, {len(classes)} classes; "
            "do not compare with published figures."
        )
    return recorded_set(
        "n-caltech101",
        [
            file_recording(path, folder, read_bits40, SENSOR, (Cut(label),), bits40_frames)
            for path, label in files
        ],
        SENSOR,
        options,
        partial(_divide, shares),
        timesteps=timesteps,
        classes=classes,
        notes=notes,
        cache=cache,
        where=str(folder),
    )


def _first_files(folder: Path) -> list[Path]:
    """One recording of each class."""
    if not folder.is_dir():
        return []
    found = [next(iter(sorted(path.glob("*.bin"))), None) for path in folder.iterdir() if path.is_dir()]
    return [path for path in found if path is not None]


def _divide(shares: tuple[float, float, float], samples: Samples) -> list[Ints]:
    return [np.asarray(part) for part in stratified_split(samples.labels, shares)]
