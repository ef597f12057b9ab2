"""``image-folder``: photographs in folders of classes, as ImageNet (Russakovsky et al. 2015) is kept.

::

    root/train/<class>/*.JPEG
    root/val/<class>/*.JPEG

Images stay on disk: a batch is decoded by several threads, in training while the one before it is used, and
only their pixels are in memory. An image is shown as its central square, of which a margin is left out: with
``size`` 224 and ``resize`` 256 this is what the usual "resize the shorter side to 256, cut out the central
224x224" shows, sampled once (bilinear, low-pass filtered). With ``augment.resized_crop``, random crops are
taken from the whole central square at ``resize`` pixels; the strips of a longer side are never seen (our
choice: every image of a batch then has the same size, and is cropped on the device).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.loading.decoding import Decoder
from snn_deploy.data.options.sets import ImageFolderOptions
from snn_deploy.data.sets.images import (
    Show,
    assemble,
    hold_out,
    show_pixels,
)
from snn_deploy.data.sets.roots import default_root
from snn_deploy.data.types import DataSet
from snn_deploy.processes.world import world_of_environment

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_SHOWN = 20
_WHERE_TO_GET = "Give the folder that holds train and val: -o data.root=PATH."


@DATASETS.register("image-folder")
def image_folder(options: ImageFolderOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """Your own images in folders train/<class> and val/<class>, such as ImageNet, streamed from disk.

    Args:
        options: where the images are and how they become inputs.
        timesteps: number of steps T.
        cache: not used, images are decoded when they are asked for.

    The digest covers names and sizes of the files, not their content: reading a large set takes hours.

    Raises:
        DataError: the folder is missing or incomplete; from batches: images are damaged (all are named).
    """
    root = (options.root or default_root("imagenet")).expanduser()
    if not root.is_dir():
        raise DataError(f"There is no image folder at '{root}'.", hint=_WHERE_TO_GET)
    classes = {part: _class_names(root / part) for part in ("train", "val")}
    train, test = (_list_images(root / part, classes[part]) for part in ("train", "val"))
    _require_layout(root, classes, train, test)
    count = max(1, round(options.validation * len(train.labels)))
    kept, held = hold_out(train.labels, count)
    workers = options.workers or min(16, world_of_environment().cores)
    source = FolderSplit(
        names=tuple(classes["train"]),
        files=train.files,
        labels=torch.from_numpy(train.labels),
        samples=torch.arange(len(train.labels)),
        decoder=Decoder(root / "train", options.size, options.resize, workers),
    )
    tested = replace(
        source,
        files=test.files,
        labels=torch.from_numpy(test.labels),
        samples=torch.arange(len(test.labels)) + len(train.labels),
        decoder=Decoder(root / "val", options.size, options.resize, workers),
    )
    wide = options.augment is not None and options.augment.resized_crop is not None
    return assemble(
        "image-folder",
        [source.select(kept), source.select(held), tested],
        (3, options.size, options.size),
        source.names,
        options,
        timesteps,
        content=[source.names, train.digest, test.digest],
        notes=[
            f"The folder '{root.name}' with {len(source.names)} classes; the test set is its 'val'.",
            f"{count} of {len(train.labels)} training images are held out for validation.",
        ],
        resize=options.resize,
        source=replace(
            source.select(kept), decoder=Decoder(root / "train", options.resize, options.resize, workers)
        )
        if wide
        else None,
    )


@dataclass(frozen=True, slots=True)
class FolderSplit:
    """Images on disk, decoded batch by batch. Implements ``Split`` and ``Ahead``.

    Attributes:
        names: of the classes, and of their folders.
        files: names of the files in the folder of their class, as bytes, ``[N]``.
        labels: int64 ``[N]``, on the CPU.
        samples: their numbers in the data set, int64 ``[N]``, on the CPU.
        decoder: gives the pixels of files below the folder of the classes; one for all splits of a folder.
        device: where batches are made; decoded pixels are moved there as uint8.
        show: makes a batch of pixels.
    """

    names: tuple[str, ...]
    files: NDArray[np.bytes_]
    labels: torch.Tensor
    samples: torch.Tensor
    decoder: Decoder
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    show: Show = show_pixels

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: NDArray[np.int64]) -> FolderSplit:
        """The samples ``rows``."""
        return replace(self, files=self.files[rows], labels=self.labels[rows], samples=self.samples[rows])

    def shown(self, show: Show) -> FolderSplit:
        return replace(self, show=show)

    def to(self, device: torch.device | str) -> FolderSplit:
        """This split with batches made on ``device``."""
        return replace(self, device=torch.device(device))

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """The samples ``indices [B]`` as ``show`` makes them, ``[T, B, C, H, W]``.

        Raises:
            DataError: images are damaged or gone; all of this batch are named.
        """
        rows = indices.cpu()
        pixels = torch.from_numpy(self.decoder.decode(self._files(rows)))
        return self.show(pixels.to(self.device), self.samples[rows].to(self.device))

    def expect(self, indices: torch.Tensor) -> None:
        """Decode the samples ``indices`` while nothing asks for them yet."""
        self.decoder.expect(self._files(indices))

    def _files(self, rows: torch.Tensor) -> list[str]:
        labels = self.labels[rows].tolist()
        files = self.files[rows.numpy()].tolist()
        return [f"{self.names[n]}/{os.fsdecode(file)}" for n, file in zip(labels, files, strict=True)]


class _Listing(NamedTuple):
    files: NDArray[np.bytes_]
    labels: NDArray[np.int64]
    digest: str


def _class_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def _list_images(folder: Path, names: Sequence[str]) -> _Listing:
    """Images below ``folder/<class>``, by class and file name."""
    files: list[bytes] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    for label, name in enumerate(names):
        for file, size in _image_files(folder / name):
            files.append(os.fsencode(file))
            labels.append(label)
            digest.update(f"{name}/{file} {size}\n".encode(errors="surrogateescape"))
    return _Listing(np.array(files, np.bytes_), np.array(labels, np.int64), digest.hexdigest())


def _image_files(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of the images in a folder, by name."""
    with os.scandir(folder) as entries:
        images = [e for e in entries if Path(e.name).suffix.lower() in SUFFIXES and e.is_file()]
        return sorted((entry.name, entry.stat().st_size) for entry in images)


def _require_layout(
    root: Path, classes: Mapping[str, Sequence[str]], train: _Listing, test: _Listing
) -> None:
    problems = []
    for part, listing in (("train", train), ("val", test)):
        if not classes[part]:
            problems.append(Problem(part, "no folder with folders of classes", "train and val are needed"))
            continue
        empty = sorted(set(range(len(classes[part]))) - set(listing.labels.tolist()))
        problems += [
            Problem(f"{part}/{classes[part][label]}", f"no image ({', '.join(sorted(SUFFIXES))})")
            for label in empty
        ]
    if classes["train"] and classes["val"]:
        problems += [
            Problem(f"{here}/{name}", f"there is no {other}/{name}", "the same classes in both")
            for here, other in (("train", "val"), ("val", "train"))
            for name in sorted(set(classes[here]) - set(classes[other]))
        ]
    if problems:
        more = f" The first {_SHOWN} faults are:" if len(problems) > _SHOWN else ""
        raise DataError(
            f"The image folder '{root}' is incomplete.{more}", hint=_WHERE_TO_GET, problems=problems[:_SHOWN]
        )
