"""``dvs-gesture``: DVS-Gesture (Amir et al. 2017), eleven hand and arm gestures before a DVS128; two forms.

The publisher's, found by ``trials_to_train.txt``: a recording holds all gestures of a person under one light,
and a CSV file says when which of them is made. 1,176 samples for training (23 persons) and 288 for test (6
others)::

    root/trials_to_train.txt  trials_to_test.txt      names of AEDAT 3.1 files
    root/user01_fluorescent.aedat
    root/user01_fluorescent_labels.csv                class (1 to 11), startTime_usec, endTime_usec

tonic's, found by ``ibmGestureTrain``: already cut, 1,077 and 264 samples, times in whole milliseconds::

    root/ibmGestureTrain/user01_fluorescent/<label>.npy     [E, 4] numbers x, y, p, t
    root/ibmGestureTest/...

For validation whole persons are held out of the training recordings, as the test set does.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.events.pipeline import Cut
from snn_deploy.data.events.recording import Events, Sensor
from snn_deploy.data.formats.aedat3 import read_aedat3
from snn_deploy.data.formats.layout import Layout
from snn_deploy.data.formats.numpy_files import read_npy
from snn_deploy.data.options.sets import DvsGestureOptions
from snn_deploy.data.sets.download import Remote, obtain
from snn_deploy.data.sets.recorded import Ints, Samples, recorded_set
from snn_deploy.data.sets.recordings import Recording, file_identity, file_recording
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.types import DataSet

SENSOR = Sensor(channels=2, height=128, width=128)
CLASSES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
PUBLIC_SIZE = (1176, 288)
TONIC_SIZE = (1077, 264)
REMOTE = (
    Remote(
        "https://figshare.com/ndownloader/files/38022171",
        "ibmGestureTrain.tar.gz",
        "3a8f0d4120a166bac7591f77409cb105",
    ),
    Remote(
        "https://figshare.com/ndownloader/files/38020584",
        "ibmGestureTest.tar.gz",
        "56070e45dadaa85fff82e0fbfbc06de5",
    ),
)

_LISTS = ("trials_to_train.txt", "trials_to_test.txt")
_FOLDERS = ("ibmGestureTrain", "ibmGestureTest")
_TRIAL = re.compile(r"user(\d{2})_[A-Za-z0-9_]+")
_MAX_TEXT = 1 << 20
_COLUMNS = ["class", "startTime_usec", "endTime_usec"]
_WHERE_TO_GET = (
    "Give the folder with trials_to_train.txt, or with ibmGestureTrain: -o data.root=PATH. The data are at "
    "https://research.ibm.com/interactive/dvsgesture/ (CC BY 4.0); "
    "-o data.download=true fetches tonic's form."
)


class _Trial(NamedTuple):
    """A recording, the number of its person, and whether it is for test."""

    recording: Recording
    user: int
    test: bool


@dataclass(frozen=True, slots=True)
class Labels:
    """The cuts that a label file announces."""

    name: str
    folder: Path = field(repr=False)

    def __call__(self, parts: Iterable[Events]) -> list[Cut]:
        return read_labels(self.folder / self.name)


@DATASETS.register("dvs-gesture")
def dvs_gesture(options: DvsGestureOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """DVS-Gesture: eleven gestures before an event camera, 128x128 pixels; your own download.

    Args:
        options: where the recordings are and how they become frames.
        timesteps: number of frames T.
        cache: folder of the cache; None is :func:`~snn_deploy.data.loading.cache.cache_dir`.

    Raises:
        DataError: the folder is missing or incomplete, or recordings are damaged (all are named).
    """
    root = (options.root or default_root("DVSGesture")).expanduser()
    if options.download and not (root / _LISTS[0]).exists():
        obtain(REMOTE, root, present=root / _FOLDERS[1])
    published = (root / _LISTS[0]).is_file()
    trials = list(_published(root) if published else _tonic(root))
    users = sorted({trial.user for trial in trials if not trial.test})
    if len(users) <= options.validation_users:
        raise DataError(f"'{root}' has {len(users)} persons for training and validation; more are needed.")
    held = users[-options.validation_users :]
    part = np.array([2 if trial.test else int(trial.user in held) for trial in trials])
    data = recorded_set(
        "dvs-gesture",
        [trial.recording for trial in trials],
        SENSOR,
        options,
        partial(_divide, part),
        timesteps=timesteps,
        classes=CLASSES,
        notes=[
            "The official split by persons, in the publisher's form."
            if published
            else "The official split by persons, in tonic's form.",
            f"Validation: users {', '.join(map(str, held))}, held out of the training recordings.",
        ],
        cache=cache,
        where=str(root),
    )
    return _sized(data, PUBLIC_SIZE if published else TONIC_SIZE)


def _divide(part: Ints, samples: Samples) -> list[Ints]:
    return [np.flatnonzero(part[samples.recording] == number) for number in range(3)]


def _sized(data: DataSet, public: tuple[int, int]) -> DataSet:
    from dataclasses import replace

    train, test = len(data.train) + len(data.validation), len(data.test)
    if (train, test) == public:
        return data
    note = (
        f"A part of DVS-Gesture: {train} training and {test} test samples of {public[0]:,} and {public[1]}; "
        "do not compare with published figures."
    )
    return replace(data, notes=(*data.notes, note))


def _published(root: Path) -> Iterator[_Trial]:
    problems = []
    for test, name in enumerate(_LISTS):
        for trial in _names(root / name):
            recording, labels = root / f"{trial}.aedat", f"{trial}_labels.csv"
            problems += [
                Problem(path.name, "absent", f"announced by {name}")
                for path in (recording, root / labels)
                if not path.is_file()
            ]
            if problems:
                continue
            found = file_recording(recording, root, read_aedat3, SENSOR, Labels(labels, root))
            identity = (*found.identity, *file_identity(root / labels))
            yield _Trial(Recording(found.name, identity, found.events, found.cuts), _user(trial), bool(test))
    if problems:
        raise DataError(
            f"The DVS-Gesture folder '{root}' is incomplete.", hint=_WHERE_TO_GET, problems=problems
        )


def _names(path: Path) -> list[str]:
    """Recordings of a list, without their ending."""
    try:
        with path.open(encoding="ascii") as file:
            lines = file.read(_MAX_TEXT).split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read: {error}.") from None
    for line in lines:
        if not line.endswith(".aedat") or not _TRIAL.fullmatch(line.removesuffix(".aedat")):
            raise DataError(f"'{path}' lists '{line[:80]}'; recordings are called user01_fluorescent.aedat.")
    return [line.removesuffix(".aedat") for line in lines]


def _user(trial: str) -> int:
    match = _TRIAL.fullmatch(trial)
    if match is None:
        raise DataError(f"'{trial}' is no recording of DVS-Gesture; those are called user01_fluorescent.")
    return int(match[1])


def read_labels(path: Path) -> list[Cut]:
    """The samples that a label file announces, in order of their start.

    Raises:
        DataError: it cannot be read, or a line is not ``class,startTime_usec,endTime_usec``; all are named.
    """
    try:
        with path.open(encoding="ascii", newline="") as file:
            rows = list(csv.reader(file.read(_MAX_TEXT).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"its labels '{path.name}' cannot be read: {error}") from None
    if not rows or [name.strip() for name in rows[0]] != _COLUMNS:
        raise DataError(f"its labels '{path.name}' do not begin with {','.join(_COLUMNS)}")
    cuts, problems = [], []
    for number, row in enumerate(rows[1:], start=2):
        try:
            label, start, stop = (int(value) for value in row)
        except ValueError:
            label = start = stop = 0
        if 1 <= label <= len(CLASSES) and 0 <= start < stop:
            cuts.append(Cut(label - 1, start, stop))
        else:
            rule = f"class 1 to {len(CLASSES)}, start before end"
            problems.append(Problem(f"{path.name}, line {number}", ",".join(row)[:80], rule))
    if problems or not cuts:
        raise DataError(f"its labels '{path.name}' are damaged", problems=problems)
    return sorted(cuts, key=lambda cut: cut.start)


def _tonic(root: Path) -> Iterator[_Trial]:
    problems = []
    for test, name in enumerate(_FOLDERS):
        paths = sorted((root / name).glob("user*/*.npy"))
        if not paths:
            problems.append(Problem(name, "no user*/*.npy"))
        for path in paths:
            if not path.stem.isdigit() or int(path.stem) >= len(CLASSES):
                where = path.relative_to(root).as_posix()
                problems.append(Problem(where, f"label '{path.stem}'", f"0 to {len(CLASSES) - 1}"))
                continue
            reader = partial(read_npy, layout=Layout(unit="ms"))
            recording = file_recording(path, root, reader, SENSOR, (Cut(int(path.stem)),))
            yield _Trial(recording, _user(path.parent.name), bool(test))
    if problems:
        raise DataError(
            f"There is no complete DVS-Gesture at '{root}'.", hint=_WHERE_TO_GET, problems=problems
        )
