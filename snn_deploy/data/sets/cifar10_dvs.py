"""``cifar10-dvs``: CIFAR10-DVS (Li, Liu, Ji, Li and Shi 2017), 10,000 CIFAR-10 images moved before a DVS128.

::

    root/<class>/*.aedat      AEDAT 2.0, as published
    root/<class>/*.aedat4     AEDAT 4.0, as tonic has them
    root/<class>/*.mat        converted by MATLAB scripts

There is no official split, and published figures use different ones: ``split`` chooses, and the notes say
which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import Cut
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats.aedat2 import read_aedat2
from snn_deploy.data.formats.aedat4 import aedat4_frames, read_aedat4
from snn_deploy.data.formats.base import Columns, Reader
from snn_deploy.data.formats.mat import read_mat
from snn_deploy.data.options.sets import Cifar10DvsOptions, Cifar10DvsSplit
from snn_deploy.data.sets.download import Remote, obtain
from snn_deploy.data.sets.recorded import Ints, Samples, recorded_set
from snn_deploy.data.sets.recordings import file_recording
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

SENSOR = Sensor(channels=2, height=128, width=128)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_CLASS = 1000
REMOTE = tuple(
    Remote(f"https://ndownloader.figshare.com/files/{number}", f"{name}.zip", md5)
    for name, number, md5 in (
        ("airplane", 7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
        ("automobile", 7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
        ("bird", 7712794, "a9c207c91c55b9dc2002dc21c684d785"),
        ("cat", 7712812, "52c63c677c2b15fa5146a8daf4d56687"),
        ("deer", 7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
        ("dog", 7712818, "f379ebdf6703d16e0a690782e62639c3"),
        ("frog", 7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
        ("horse", 7712851, "e7cbbf77bec584ffbf913f00e682782a"),
        ("ship", 7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
        ("truck", 7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
    )
)


_WHERE_TO_GET = (
    "Give the folder that holds a folder for each class: -o data.root=PATH. The data are at "
    "https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 (CC BY 4.0); "
    "-o data.download=true fetches them."
)


@DATASETS.register("cifar10-dvs")
def cifar10_dvs(options: Cifar10DvsOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """CIFAR10-DVS: CIFAR-10 images before a moving event camera, 128x128 pixels; your own download.

    Args:
        options: where the recordings are and how they become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    Raises:
        DataError: the folder is missing or incomplete, or recordings are damaged (all are named).
        MissingOptionalError: AEDAT4 recordings are compressed, and the package lz4 is not installed.
    """
    root = (options.root or default_root("CIFAR10DVS")).expanduser()
    if options.download:
        obtain(REMOTE, root, present=root / CLASSES[-1])
    files, reader = _find(root)
    at_once = aedat4_frames if reader is read_aedat4 else None
    return recorded_set(
        "cifar10-dvs",
        [file_recording(path, root, reader, SENSOR, (Cut(label),), at_once) for path, label in files],
        SENSOR,
        options,
        partial(divide, options.split, options.split_seed, options.validation),
        timesteps=timesteps,
        classes=CLASSES,
        notes=list(_notes(options, len(files))),
        cache=cache,
        where=str(root),
    )


def divide(split: Cifar10DvsSplit, seed: int, validation: float, samples: Samples) -> list[Ints]:
    """Train, validation, test: of each class a tenth (rounded down) is for test, see ``split``."""
    test = []
    for label in range(len(CLASSES)):
        members = np.flatnonzero(samples.labels == label)
        if split == "random":
            members = np.random.default_rng((seed, label)).permutation(members)
        tenth = len(members) // 10
        test.append(members[:tenth] if split == "last-90" else members[len(members) - tenth :])
    tested = np.sort(np.concatenate(test))
    rest = np.setdiff1d(np.arange(len(samples.labels)), tested)
    kept, held = stratified_split(samples.labels[rest], (1 - validation, validation))
    return [rest[kept], rest[held], tested]


def read_published(path: Path) -> Iterator[Columns]:
    """A published recording with the image upright: the camera lay on its side (as in spikingjelly)."""
    for x, y, t, p in read_aedat2(path):
        yield Columns(y, x, t, p)


def read_converted(path: Path) -> Iterator[Columns]:
    """A recording that the authors' MATLAB script converted, with the image upright.

    The script (dat2mat) writes ``x = 127 - x'`` and ``y = y'`` of the camera's column ``x'`` and row ``y'``;
    upright, as in :func:`read_published`, these are column ``127 - y'`` and row ``127 - x'``.
    """
    for x, y, t, p in read_mat(path):
        yield Columns(SENSOR.width - 1 - y.astype(np.int64), x, t, p)


_READERS: dict[str, Reader] = {".aedat": read_published, ".aedat4": read_aedat4, ".mat": read_converted}


def _find(root: Path) -> tuple[list[tuple[Path, int]], Reader]:
    """Files and labels by class and number, and their reader."""
    if not root.is_dir():
        raise DataError(f"There is no CIFAR10-DVS folder at '{root}'.", hint=_WHERE_TO_GET)
    files, problems = [], []
    for label, name in enumerate(CLASSES):
        found = [path for path in (root / name).glob("*") if path.suffix in _READERS]
        if len(found) < 10:
            problems.append(Problem(name, f"{len(found)} recordings", "at least 10 of each class"))
        files += [(path, label) for path in sorted(found, key=_by_number)]
    if problems:
        raise DataError(
            f"The CIFAR10-DVS folder '{root}' is incomplete.", hint=_WHERE_TO_GET, problems=problems
        )
    kinds = sorted({path.suffix for path, _ in files})
    if len(kinds) > 1:
        raise DataError(f"The CIFAR10-DVS folder '{root}' has {' and '.join(kinds)} files; keep one kind.")
    return files, _READERS[kinds[0]]


def _by_number(path: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1, path.name


def _notes(options: Cifar10DvsOptions, total: int) -> Iterator[str]:
    rule = {
        "first-90": "the first 90 % of each class are for training, the rest for test",
        "last-90": "the first 10 % of each class are for test (TEBN's split, easier than a random one)",
        "random": f"a random 90 % of each class, seed {options.split_seed}, are for training",
    }
    yield f"There is no official split; here {rule[options.split]}."
    yield f"{options.validation:.0%} of the training recordings of each class are held out for validation."
    if total != (public := PER_CLASS * len(CLASSES)):
        yield (
            f"A part of CIFAR10-DVS: {total} of {public:,} recordings; do not compare with published figures."
        )
