"""``mnist`` (LeCun, Bottou, Bengio and Haffner 1998) and ``fashion-mnist`` (Xiao, Rasul and Vollgraf 2017).

Both lie in four idx files of the same names, so a folder does not say which set it holds; the content does::

    {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.options.sets import IdxOptions
from snn_deploy.data.sets.idx import idx_sha256, read_idx
from snn_deploy.data.sets.images import (
    array_digest,
    assemble,
    hold_out,
    in_memory,
)
from snn_deploy.data.sets.roots import found_root
from snn_deploy.data.types import DataSet

SIDE = 28
CLASSES = 10
PUBLISHED = (60_000, 10_000)
KINDS = {"images-idx3": 3, "labels-idx1": 1}
"""Dimensions of the two files of each part."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One of the two sets.

    Attributes:
        name: registry name.
        title: what people call it.
        folders: where it is looked for when no folder is given; the first lies in ``$SNN_DEPLOY_DATA``, or in
            the cache folder.
        source: where to get it.
        classes: names in the order of the labels.
        sha256: of the four unpacked files, by their names.
    """

    name: str
    title: str
    folders: tuple[str, ...]
    source: str
    classes: tuple[str, ...]
    sha256: Mapping[str, str]


MNIST = Layout(
    name="mnist",
    title="MNIST",
    folders=("MNIST/raw",),
    source="The data are at https://ossci-datasets.s3.amazonaws.com/mnist/ and other mirrors.",
    classes=tuple(str(digit) for digit in range(CLASSES)),
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)

FASHION_MNIST = Layout(
    name="fashion-mnist",
    title="Fashion-MNIST",
    folders=("FashionMNIST/raw", "/usr/share/datasets/fashion-mnist"),
    source="The data are at https://github.com/zalandoresearch/fashion-mnist, and in the Debian package "
    "dataset-fashion-mnist, whose folder is found by itself.",
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    sha256={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
)

LAYOUTS = (MNIST, FASHION_MNIST)


@DATASETS.register("mnist")
def mnist(options: IdxOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """MNIST: 70,000 handwritten digits, 28x28 pixels in grey; your own download.

    Args:
        options: where the files are and how images become inputs.
        timesteps: number of steps T.
        cache: not used, the files are read directly.

    Raises:
        DataError: files are missing, damaged or those of another set (all are named).
        ConfigError: the normalisation is for colour images.
    """
    return _load(MNIST, options, timesteps)


@DATASETS.register("fashion-mnist")
def fashion_mnist(options: IdxOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """Fashion-MNIST: 70,000 pieces of clothing, 28x28 pixels in grey; your download or Debian's package.

    Arguments and errors are those of :func:`mnist`.
    """
    return _load(FASHION_MNIST, options, timesteps)


def _load(layout: Layout, options: IdxOptions, timesteps: int) -> DataSet:
    first, *others = layout.folders
    root = options.root.expanduser() if options.root else found_root(first, *map(Path, others))
    where_to_get = f"Give the folder of the four idx files: -o data.root=PATH. {layout.source}"
    if not root.is_dir():
        raise DataError(f"There is no {layout.title} folder at '{root}'.", hint=where_to_get)
    problems: list[Problem] = []
    found = {}
    for name in layout.sha256:
        try:
            found[name] = read_idx(_find(root, name), KINDS[name.split("-", 1)[1].removesuffix("-ubyte")])
        except DataError as error:
            problems.append(Problem(name, error.message))
    sums = {name: idx_sha256(values) for name, values in found.items()}
    _require_own(layout, sums, root)
    for part in ("train", "t10k"):
        pair = [found.get(f"{part}-{kind}-ubyte") for kind in KINDS]
        if pair[0] is not None and pair[1] is not None:
            problems += _disagreements(part, pair[0], pair[1])
    if problems:
        raise DataError(
            f"The {layout.title} folder '{root}' is not usable.", hint=where_to_get, problems=problems
        )
    if options.verify:
        _require_published(layout, sums, root, where_to_get)
    train, test = (found[f"{part}-labels-idx1-ubyte"] for part in ("train", "t10k"))
    images = np.concatenate([found[f"{part}-images-idx3-ubyte"] for part in ("train", "t10k")])[:, None]
    labels = np.concatenate([train, test]).astype(np.int64)
    kept, held = hold_out(labels[: len(train)], options.validation)
    parts = (kept, held, np.arange(len(train), len(labels)))
    return assemble(
        layout.name,
        in_memory(images, labels, parts),
        (1, SIDE, SIDE),
        layout.classes,
        options,
        timesteps,
        content=array_digest(images, labels, *parts),
        notes=_notes(layout, options, len(train), len(test)),
    )


def _find(root: Path, name: str) -> Path:
    for candidate in (root / name, root / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataError("the file is absent, plain and with .gz")


def _require_own(layout: Layout, sums: Mapping[str, str], root: Path) -> None:
    """Refuse files of another set, also where any content is admitted."""
    for other in LAYOUTS:
        taken = [name for name, found in sums.items() if found == other.sha256[name]]
        if taken and other is not layout:
            raise DataError(
                f"The folder '{root}' holds {other.title}, not {layout.title}.",
                hint=f"Read it under its own name: -o data.name={other.name}",
                problems=[Problem(name, f"has the content of {other.title}'s") for name in taken],
            )


def _require_published(layout: Layout, sums: Mapping[str, str], root: Path, where_to_get: str) -> None:
    if problems := [
        Problem(name, f"its content has the SHA-256 {sums[name]}", f"the published one has {published}")
        for name, published in layout.sha256.items()
        if sums[name] != published
    ]:
        raise DataError(
            f"The {layout.title} folder '{root}' is not as published.",
            hint=f"{where_to_get} Or read what is there with -o data.verify=false.",
            problems=problems,
        )


def _disagreements(part: str, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> list[Problem]:
    problems = []
    if images.shape[1:] != (SIDE, SIDE):
        height, width = images.shape[1:]
        problems.append(Problem(f"{part}-images-idx3-ubyte", f"images of {height}x{width} pixels", "28x28"))
    if len(images) != len(labels):
        problems.append(Problem(part, f"{len(images)} images and {len(labels)} labels"))
    if not len(labels):
        problems.append(Problem(part, "no images"))
    elif labels.max() >= CLASSES:
        problems.append(Problem(f"{part}-labels-idx1-ubyte", f"the label {labels.max()}", "0 to 9"))
    return problems


def _notes(layout: Layout, options: IdxOptions, train: int, test: int) -> list[str]:
    notes = [f"{options.validation} of {train} training images are held out for validation."]
    if (train, test) != PUBLISHED:
        notes.append(
            f"Not the public {layout.title}: {train} training and {test} test images of 60,000 and 10,000."
        )
    elif not options.verify:
        notes.append(f"The files were not compared with the published {layout.title} (verify=false).")
    return notes
