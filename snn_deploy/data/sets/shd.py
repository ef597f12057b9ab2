"""``shd``: Spiking Heidelberg Digits (Cramer, Stradmann, Schemmel and Zenke 2020), 700 spike trains.

::

    root/shd_train.h5  shd_test.h5
        spikes/times [N]      seconds, a vector of its own length for each recording
        spikes/units [N]      numbers of the trains, 0 to 699
        labels [N]            0 to 19: English and German digits
        extra/keys            names of the classes

A frame is ``[1, 1, 700]``: one channel, one row. Two speakers are in the test set only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import Cut
from snn_deploy.data.events.recording import Events, Sensor
from snn_deploy.data.events.timeline import Timeline
from snn_deploy.data.formats.base import Columns, checked
from snn_deploy.data.formats.hdf5 import dataset, open_hdf5, vector
from snn_deploy.data.formats.layout import whole_numbers
from snn_deploy.data.options.sets import ShdOptions
from snn_deploy.data.sets.download import Remote, obtain
from snn_deploy.data.sets.recorded import Ints, Samples, recorded_set
from snn_deploy.data.sets.recordings import Recording, file_identity
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

SENSOR = Sensor(channels=1, height=1, width=700)
FILES = ("shd_train.h5", "shd_test.h5")
PUBLIC_SIZE = (8_156, 2_264)
CLASSES = 20
MAX_RECORDINGS = 1 << 20
REMOTE = (
    Remote(
        "https://zenkelab.org/datasets/shd_train.h5.zip",
        "shd_train.h5.zip",
        "f3252aeb598ac776c1b526422d90eecb",
    ),
    Remote(
        "https://zenkelab.org/datasets/shd_test.h5.zip", "shd_test.h5.zip", "1503a5064faa34311c398fb0a1ed0a6f"
    ),
)

_WHERE_TO_GET = (
    "Give the folder of shd_train.h5 and shd_test.h5: -o data.root=PATH. The data are at "
    "https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/ (CC BY 4.0); "
    "-o data.download=true fetches them (0.2 GB)."
)


@DATASETS.register("shd")
def shd(options: ShdOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """Spiking Heidelberg Digits: spoken digits as 700 spike trains of a model ear; your own download.

    Args:
        options: where the files are and how recordings become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    Raises:
        DataError: a file is missing or damaged, or recordings are (all are named).
    """
    root = (options.root or default_root("SHD")).expanduser()
    if options.download:
        obtain(REMOTE, root, present=root / FILES[1])
    if lacking := [name for name in FILES if not (root / name).is_file()]:
        raise DataError(f"There is no {' and no '.join(lacking)} at '{root}'.", hint=_WHERE_TO_GET)
    files = [_SpikeFile(root / name) for name in FILES]
    sizes = tuple(len(file.labels()) for file in files)
    notes = [
        "The official split; two speakers are in the test set only. "
        f"{options.validation:.0%} of the training recordings of each class are held out for validation."
    ]
    if sizes != PUBLIC_SIZE:
        notes.append(
            f"A part of SHD: {sizes[0]} training and {sizes[1]} test recordings of {PUBLIC_SIZE[0]:,} and "
            f"{PUBLIC_SIZE[1]:,}; do not compare with published figures."
        )
    return recorded_set(
        "shd",
        [recording for file in files for recording in file.recordings()],
        SENSOR,
        options,
        partial(_divide, sizes[0], options.validation),
        timesteps=timesteps,
        classes=files[0].classes(),
        notes=notes,
        cache=cache,
        where=str(root),
    )


def _divide(train: int, validation: float, samples: Samples) -> list[Ints]:
    mine = np.flatnonzero(samples.recording < train)
    kept, held = stratified_split(samples.labels[mine], (1 - validation, validation))
    return [mine[kept], mine[held], np.flatnonzero(samples.recording >= train)]


@dataclass(frozen=True, slots=True)
class _SpikeFile:
    path: Path

    def labels(self) -> Ints:
        """Of all recordings.

        Raises:
            DataError: the file is damaged.
        """
        with _naming(self.path), open_hdf5(self.path) as file:
            labels = dataset(file, "labels")
            times, units = self._spikes(file)
            if labels.ndim != 1 or not 0 < len(labels) <= MAX_RECORDINGS:
                raise DataError(f"labels of shape {labels.shape}")
            if times.shape != labels.shape or units.shape != labels.shape:
                raise DataError(f"{len(labels)} labels, spikes of shape {times.shape} and {units.shape}")
            values = np.asarray(labels[()])
            if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= CLASSES:
                raise DataError(f"labels from {values.min()} to {values.max()}; known: 0 to {CLASSES - 1}")
            return values.astype(np.int64)

    def classes(self) -> list[str]:
        """Names of the classes, or their numbers where the file has no names."""
        with _naming(self.path), open_hdf5(self.path) as file:
            try:
                keys = dataset(file, "extra/keys")
                rows = range(CLASSES if keys.shape == (CLASSES,) else 0)
                names = [vector(keys, row).tobytes() for row in rows]
            except DataError:
                names = []
        texts = [name.decode("utf-8", "replace") for name in names]
        return texts if len(texts) == CLASSES else [str(label) for label in range(CLASSES)]

    def recordings(self) -> Iterator[Recording]:
        identity = file_identity(self.path)
        for index, label in enumerate(self.labels().tolist()):
            name = f"{self.path.name}, recording {index}"
            yield Recording(name, (*identity, index), partial(self.events, index), (Cut(label),))

    def events(self, index: int, timeline: Timeline | None = None) -> Iterator[Events]:
        return checked(self._columns(index), SENSOR, timeline)

    def _columns(self, index: int) -> Iterator[Columns]:
        with open_hdf5(self.path) as file:
            times, units = (vector(vectors, index) for vectors in self._spikes(file))
        x = whole_numbers(units, "units")
        t = whole_numbers(np.rint(times.astype(np.float64) * 1e6), "times")
        zero = np.zeros(len(t), np.int8)
        yield Columns(x, zero, t, zero)

    def _spikes(self, file: h5py.File) -> tuple[h5py.Dataset, h5py.Dataset]:
        times, units = dataset(file, "spikes/times"), dataset(file, "spikes/units")
        for vectors, kinds in ((times, "f"), (units, "iu")):
            kind = h5py.check_vlen_dtype(vectors.dtype)
            if kind is None or kind.kind not in kinds:
                raise DataError(
                    f"'{vectors.name}' has entries of type {vectors.dtype}, not vectors of numbers"
                )
        return times, units


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Says which file an error is about."""
    try:
        with named_damage("it cannot be read"):
            yield
    except DataError as error:
        raise DataError(f"'{path}' is damaged: {error.message}.", hint=_WHERE_TO_GET) from None
