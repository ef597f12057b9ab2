"""``mnist``: handwritten digits (LeCun, Bottou, Bengio and Haffner 1998) in the public idx files.

::

    {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]

An idx file is a header of big-endian 32-bit words and then the values. The first word has ``0x08`` (bytes)
and the number of dimensions in its two low bytes; the dimensions follow.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.options.sets import MnistOptions
from snn_deploy.data.sets.images import (
    array_digest,
    assemble,
    default_root,
    hold_out,
    in_memory,
)
from snn_deploy.data.types import DataSet

SIDE = 28
CLASSES = 10
PUBLISHED = (60_000, 10_000)
MAX_VALUES = 256 << 20
"""Five times the largest public file; bounds what one header can ask for."""

_BYTES = 0x08
_WHERE_TO_GET = (
    "Give the folder of the four idx files: -o data.root=PATH. "
    "The data are at https://ossci-datasets.s3.amazonaws.com/mnist/ and other mirrors."
)


@DATASETS.register("mnist")
def mnist(options: MnistOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """MNIST: 70,000 handwritten digits, 28x28 pixels in grey; your own download.

    Args:
        options: where the files are and how images become inputs.
        timesteps: number of steps T.
        cache: not used, the files are read directly.

    Raises:
        DataError: files are missing or damaged (all are named).
        ConfigError: the normalisation is for colour images.
    """
    root = (options.root or default_root("MNIST/raw")).expanduser()
    if not root.is_dir():
        raise DataError(f"There is no MNIST folder at '{root}'.", hint=_WHERE_TO_GET)
    problems: list[Problem] = []
    found = {}
    for part in ("train", "t10k"):
        for kind, dimensions in (("images-idx3", 3), ("labels-idx1", 1)):
            try:
                found[part, kind] = read_idx(_find(root, f"{part}-{kind}-ubyte"), dimensions)
            except DataError as error:
                problems.append(Problem(f"{part}-{kind}-ubyte", error.message))
    for part in ("train", "t10k"):
        if (part, "images-idx3") in found and (part, "labels-idx1") in found:
            problems += _disagreements(part, found[part, "images-idx3"], found[part, "labels-idx1"])
    if problems:
        raise DataError(f"The MNIST folder '{root}' is not usable.", hint=_WHERE_TO_GET, problems=problems)
    images = np.concatenate([found["train", "images-idx3"], found["t10k", "images-idx3"]])[:, None]
    labels = np.concatenate([found["train", "labels-idx1"], found["t10k", "labels-idx1"]]).astype(np.int64)
    total = len(found["train", "labels-idx1"])
    kept, held = hold_out(labels[:total], options.validation)
    parts = (kept, held, np.arange(total, len(labels)))
    return assemble(
        "mnist",
        in_memory(images, labels, parts),
        (1, SIDE, SIDE),
        [str(digit) for digit in range(CLASSES)],
        options,
        timesteps,
        content=array_digest(images, labels, *parts),
        notes=_notes(options.validation, total, len(labels) - total),
    )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The bytes of an idx file, unpacked when its name ends in ``.gz``, in an array of its dimensions.

    No more is unpacked than the header announces.

    Raises:
        DataError: it cannot be read, is not such a file, is too large, too short or too long.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _parse_idx(cast(BinaryIO, file), dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}") from None


def _parse_idx(file: BinaryIO, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 * (1 + dimensions))
    expected = _BYTES << 8 | dimensions
    if len(header) < 4 * (1 + dimensions):
        raise DataError(f"{len(header)} bytes are shorter than its header")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if magic != expected:
        raise DataError(
            f"begins with {magic:#010x}, not with {expected:#010x}: bytes in {dimensions} dimensions"
        )
    size = math.prod(shape)
    if size > MAX_VALUES:
        raise DataError(f"announces {size} values; the limit is {MAX_VALUES}")
    values = file.read(size + 1)
    if len(values) != size:
        amount = "more" if len(values) > size else f"{len(values)}"
        raise DataError(f"announces {size} values and has {amount}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _find(root: Path, name: str) -> Path:
    for candidate in (root / name, root / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataError("the file is absent, plain and with .gz")


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


def _notes(validation: int, train: int, test: int) -> list[str]:
    notes = [f"{validation} of {train} training images are held out for validation."]
    if (train, test) != PUBLISHED:
        notes.append(f"Not the public MNIST: {train} training and {test} test images of 60,000 and 10,000.")
    return notes
