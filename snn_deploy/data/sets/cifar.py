"""``cifar10`` and ``cifar100``: the tiny images of Krizhevsky 2009 in their public layout for Python.

::

    cifar-10-batches-py/    data_batch_1 .. data_batch_5, test_batch, batches.meta
    cifar-100-python/       train, test, meta

Files are pickles written by Python 2. A batch holds ``data``, uint8 ``[N, 3072]`` (the red, green and blue
32x32 pixels of an image one after the other), and a list of labels; meta holds the names of the classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.options.sets import Cifar100Options, CifarOptions
from snn_deploy.data.sets.images import (
    array_digest,
    assemble,
    hold_out,
    in_memory,
)
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.sets.unpickle import as_text, load_pickle, read_limited
from snn_deploy.data.types import DataSet

SHAPE = (3, 32, 32)
MAX_FILE_BYTES = 256 << 20
"""CIFAR-100's training file, the largest, has 155 MB."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Files of one of the two sets: their names with the MD5 checksums published for them."""

    title: str
    folder: str
    train: dict[str, str]
    test: dict[str, str]
    meta: dict[str, str]
    labels: str
    names: str
    classes: int
    published: tuple[int, int]


CIFAR10 = Layout(
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
    labels="labels",
    names="label_names",
    classes=10,
    published=(50_000, 10_000),
)
CIFAR100 = Layout(
    title="CIFAR-100",
    folder="cifar-100-python",
    train={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    meta={"meta": "7973b15100ade9c7d40fb424638fde48"},
    labels="fine_labels",
    names="fine_label_names",
    classes=100,
    published=(50_000, 10_000),
)


@DATASETS.register("cifar10")
def cifar10(options: CifarOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """CIFAR-10: 60,000 photographs in 10 classes, 32x32 pixels in colour; your own download.

    Args:
        options: where the files are and how images become inputs.
        timesteps: number of steps T.
        cache: not used, the files are read directly.

    Raises:
        DataError: files are missing, damaged or not the published ones (all are named).
        ConfigError: the normalisation is for grey images.
    """
    return load_cifar("cifar10", CIFAR10, options, timesteps)


@DATASETS.register("cifar100")
def cifar100(options: Cifar100Options, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """CIFAR-100: 60,000 photographs in 100 classes, 32x32 pixels in colour; your own download.

    Args and Raises are those of :func:`cifar10`. Labels are the fine ones.
    """
    return load_cifar("cifar100", CIFAR100, options, timesteps)


def load_cifar(name: str, layout: Layout, options: CifarOptions, timesteps: int) -> DataSet:
    """The data set of a folder of the given layout."""
    root = (options.root or default_root(layout.folder)).expanduser()
    if not root.is_dir():
        raise DataError(f"There is no {layout.title} folder at '{root}'.", hint=_where_to_get(layout))
    reader = _Reader(root, layout, options.verify)
    names = reader.read(layout.meta, _parse_meta)
    train = reader.read(layout.train, _parse_batch)
    test = reader.read(layout.test, _parse_batch)
    reader.finish()
    images = np.concatenate([pixels for pixels, _ in (*train, *test)])
    labels = np.concatenate([numbers for _, numbers in (*train, *test)])
    total = sum(len(numbers) for _, numbers in train)
    kept, held = hold_out(labels[:total], options.validation)
    parts = (kept, held, np.arange(total, len(labels)))
    return assemble(
        name,
        in_memory(images, labels, parts),
        SHAPE,
        names[0],
        options,
        timesteps,
        content=array_digest(images, labels, *parts),
        notes=_notes(layout, options, reader.absent, total, len(labels) - total),
    )


class _Reader:
    """Reads files one after the other and collects what is wrong with them."""

    def __init__(self, root: Path, layout: Layout, verify: bool) -> None:
        self.root, self.layout, self.verify = root, layout, verify
        self.problems: list[Problem] = []
        self.absent: list[str] = []

    def read(self, files: dict[str, str], parse: Any) -> list[Any]:
        """The parsed content of those ``files`` that are there."""
        content = []
        for name, published in files.items():
            if not (self.root / name).is_file():
                self.absent.append(name)
                if self.verify:
                    self.problems.append(Problem(name, "the file is absent", f"MD5 {published}"))
                continue
            try:
                data = read_limited(self.root / name, MAX_FILE_BYTES)
                if self.verify and (found := _md5(data)) != published:
                    self.problems.append(
                        Problem(name, f"its MD5 is {found}", f"the published MD5 {published}")
                    )
                else:
                    content.append(parse(load_pickle(data, name), self.layout))
            except DataError as error:
                self.problems.append(Problem(name, error.message))
        if not self.verify and all(name in self.absent for name in files):
            self.problems.append(Problem(" or ".join(files), "the file is absent", "at least one is needed"))
        return content

    def finish(self) -> None:
        """Raise what was found."""
        if self.problems:
            without = " Or read what is there with -o data.verify=false." if self.verify else ""
            raise DataError(
                f"The {self.layout.title} folder '{self.root}' is not as published.",
                hint=_where_to_get(self.layout) + without,
                problems=self.problems,
            )


def _parse_meta(content: dict[str, Any], layout: Layout) -> list[str]:
    names = content.get(layout.names)
    if not isinstance(names, list) or len(names) != layout.classes:
        raise DataError(f"'{layout.names}' is not a list of {layout.classes} names.")
    try:
        return [as_text(name) for name in names]
    except (TypeError, UnicodeDecodeError):
        raise DataError(f"'{layout.names}' holds something else than names.") from None


def _parse_batch(content: dict[str, Any], layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    data, labels = content.get("data"), content.get(layout.labels)
    width = int(np.prod(SHAPE))
    if not (
        isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == width
    ):
        raise DataError(f"'data' is not an array of bytes with {width} columns.")
    if not isinstance(labels, list) or len(labels) != len(data):
        raise DataError(f"'{layout.labels}' is not a list of {len(data)} numbers.")
    if not all(type(label) is int and 0 <= label < layout.classes for label in labels):
        raise DataError(
            f"'{layout.labels}' holds something else than numbers from 0 to {layout.classes - 1}."
        )
    return data.reshape(-1, *SHAPE), np.array(labels, np.int64)


def _notes(layout: Layout, options: CifarOptions, absent: Sequence[str], train: int, test: int) -> list[str]:
    notes = [f"{options.validation} of {train} training images are held out for validation."]
    if not options.verify:
        notes.append(f"The files were not compared with the published {layout.title} (verify=false).")
    if absent:
        notes.append(f"Absent: {', '.join(absent)}.")
    if (train, test) != layout.published:
        of_train, of_test = layout.published
        notes.append(
            f"A part of {layout.title}: {train} of {of_train} training and the first {test} of {of_test} "
            "test images; say so with every result."
        )
    return notes


def _where_to_get(layout: Layout) -> str:
    return (
        f"Give the extracted folder '{layout.folder}': -o data.root=PATH. "
        "The data (python version) are at https://www.cs.toronto.edu/~kriz/cifar.html."
    )


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
