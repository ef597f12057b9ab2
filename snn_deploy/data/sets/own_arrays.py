"""Samples of a user's own as a data set: arrays, torch data sets, ``.npy`` or ``.npz`` files.

=================================== =======================================================================
given                               taken
=================================== =======================================================================
``(x, y)``                          arrays: ``x [N, T, C, H, W]``, or ``[N, C, H, W]``, shown in every step
``("x.npy", "y.npy")``              the same two; ``x`` stays on the disk, and is read as it is needed
a torch ``Dataset``                 of ``(x, label)``, one sample each, in the same two shapes
a path of a ``.npz`` file           ``x [T, N, C, H, W]`` and ``y [N]``
``{"train": ..., "test": ...}``     any of these for each, with ``"validation"`` or a fifth of ``train``;
                                    ``"classes"`` names the classes in order
=================================== =======================================================================

One without parts is split 60 / 15 / 25, class by class, spread evenly over its order (our choice). Classes
have the names that a torch ``Dataset`` has as ``classes``, else their numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snn_deploy.core import memory
from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

SHARES = (0.60, 0.15, 0.25)
"""Train, validation, test."""
VALIDATION = 0.2
"""Share of the training samples where no validation samples are given."""
PARTS = ("train", "validation", "test")
_ROWS = 256
"""Samples that are looked at, at a time."""
Pair = tuple[torch.Tensor, torch.Tensor]


def as_data_set(made: Any, name: str, timesteps: int | None, folder: Path, *, divide: bool = True) -> DataSet:
    """The data set of what the user's code gives; see the module's table.

    Args:
        made: what the code gave.
        name: of the data set.
        timesteps: T; None for that of the data.
        folder: where relative paths begin.
        divide: for training: T must be ``timesteps``, and samples without parts are divided. Else they are
            for test and calibration alike, and other parts than ``test`` may be missing.

    Raises:
        DataError: something else, samples that are not finite, or of another number of steps.
    """
    parts = dict(made) if isinstance(made, Mapping) else {"all": made}
    stated = parts.pop("classes", None) or _names(parts.values())
    pairs = {str(part): _pair(given, name, timesteps, folder) for part, given in parts.items()}
    frames = {part: tuple(x.shape[1:]) for part, (x, _) in pairs.items()}
    if len(set(frames.values())) > 1:
        raise DataError(f"The parts of '{name}' have samples of different shapes: {frames}.")
    splits = _splits(pairs, name, divide=divide)
    steps, *shape = next(iter(frames.values()))
    if divide and timesteps not in {None, steps}:
        raise DataError(f"'{name}' gives {steps} frames per sample; the recipe has timesteps {timesteps}.")
    return DataSet(
        name=name,
        shape=tuple(shape),  # type: ignore[arg-type]
        classes=_classes(stated, pairs, name),
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        digest=_digest(pairs),
        notes=(f"Samples of the user's own: {', '.join(str(len(split)) for split in splits)}.",),
    )


def _splits(pairs: Mapping[str, Pair], name: str, *, divide: bool) -> list[ArraySplit]:
    """Train, validation and test."""
    if "all" in pairs:
        frames, labels = pairs["all"]
        if not divide:
            return [_split(frames, labels)] * 3
        rows = stratified_split(labels.numpy(), SHARES)
        return [_split(frames, labels, torch.from_numpy(part)) for part in rows]
    if not divide and "test" in pairs and pairs.keys() <= set(PARTS):
        return [_split(*pairs.get(part, pairs["test"])) for part in PARTS]
    if not {"train", "test"} <= pairs.keys() <= set(PARTS):
        raise DataError(f"'{name}' gives {', '.join(pairs)}; due are train, test and perhaps validation.")
    if "validation" in pairs:
        return [_split(*pairs[part]) for part in PARTS]
    frames, labels = pairs["train"]
    rows = stratified_split(labels.numpy(), (1 - VALIDATION, VALIDATION))
    return [*(_split(frames, labels, torch.from_numpy(part)) for part in rows), _split(*pairs["test"])]


def _pair(given: Any, name: str, timesteps: int | None, folder: Path) -> Pair:
    """Frames ``[N, T, C, H, W]`` and labels ``[N]``."""
    x, y = _arrays(given, name, folder)
    if x.ndim not in {4, 5} or y.shape != x.shape[:1] or len(y) == 0 or not _finite(x):
        raise DataError(
            f"'{name}' gives x {tuple(x.shape)} and y {tuple(y.shape)}; due are finite x [N, T, C, H, W] or "
            "[N, C, H, W], and y [N].",
            hint="A series of F values is [N, T, 1, 1, F].",
        )
    if x.ndim == 4:
        if timesteps is None:
            raise DataError(
                f"'{name}' gives images {tuple(x.shape)}; in how many steps are they shown?",
                hint="State it, --timesteps 8, or return frames [N, T, C, H, W].",
            )
        x = x.unsqueeze(1).expand(-1, timesteps, *x.shape[1:])
    if y.is_floating_point() or int(y.min()) < 0:
        raise DataError(f"The labels of '{name}' must be whole numbers from 0.")
    return x, y.to(torch.int64)


def _arrays(given: Any, name: str, folder: Path) -> Pair:
    if isinstance(given, str | Path):
        path = folder / given
        with named_damage(f"'{path}' cannot be read as samples"), np.load(path, allow_pickle=False) as file:
            return torch.from_numpy(file["x"]).transpose(0, 1), torch.from_numpy(file["y"])
    if isinstance(given, tuple | list) and len(given) == 2:
        x, y = (_array(part, folder) for part in given)
        return x, y
    if isinstance(given, torch.utils.data.Dataset):
        return _stacked(given, name)
    raise DataError(
        f"'{name}' gives a {type(given).__name__}, which is no data.",
        hint="(x, y), paths of .npy files, a torch Dataset, the path of a .npz file, or a dict of these for "
        "train and test",
    )


def _array(given: Any, folder: Path) -> torch.Tensor:
    """An array, or that in a ``.npy`` file, which is mapped: later writes into it stay in memory."""
    if isinstance(given, str | Path):
        path = folder / given
        with named_damage(f"'{path}' cannot be read as an array"):
            return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    return torch.as_tensor(np.asarray(given))


def _stacked(given: Any, name: str) -> Pair:
    """All samples of a torch ``Dataset``, in memory."""
    count = len(given)
    if not count:
        raise DataError(f"'{name}' gives a Dataset without samples.")
    first = given[0][0]
    if not isinstance(first, torch.Tensor | np.ndarray):
        raise DataError(
            f"'{name}' gives a Dataset of {type(first).__name__}; due are tensors or arrays.",
            hint="Give it a transform that makes tensors [C, H, W] of its samples.",
        )
    like = torch.as_tensor(first)
    needed, free = count * like.nbytes, memory.free()
    if needed > free:
        raise DataError(
            f"The {count} samples of '{name}' take {needed >> 20} MiB; {free >> 20} MiB are free.",
            hint="Return the paths of .npy files, ('x.npy', 'y.npy'): they stay on the disk.",
        )
    x, labels = torch.empty((count, *like.shape), dtype=like.dtype), []
    for number in range(count):
        sample, label = given[number]
        if tuple(sample.shape) != tuple(like.shape):
            raise DataError(
                f"Sample {number} of '{name}' has shape {tuple(sample.shape)}; the first {tuple(like.shape)}."
            )
        x[number] = torch.as_tensor(sample)
        labels.append(int(label))
    return x, torch.tensor(labels)


def _names(given: Any) -> Any:
    """What the first torch ``Dataset`` calls its classes."""
    sets = (part for part in given if isinstance(part, torch.utils.data.Dataset))
    return next(
        (names for part in sets if isinstance(names := getattr(part, "classes", None), Sequence)), None
    )


def _classes(stated: Any, pairs: Mapping[str, Pair], name: str) -> tuple[str, ...]:
    count = 1 + max(int(labels.max()) for _, labels in pairs.values())
    names = tuple(map(str, stated or range(count)))
    if len(names) < count:
        raise DataError(f"'{name}' names {len(names)} classes, but has labels up to {count - 1}.")
    return names


def _split(frames: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor | None = None) -> ArraySplit:
    rows = torch.arange(len(labels)) if rows is None else rows
    return ArraySplit(frames, rows, labels[rows])


def _parts(x: torch.Tensor) -> Iterator[torch.Tensor]:
    return (x[begin : begin + _ROWS] for begin in range(0, len(x), _ROWS))


def _finite(x: torch.Tensor) -> bool:
    return not x.is_floating_point() or all(bool(torch.isfinite(part).all()) for part in _parts(x))


def _digest(pairs: Mapping[str, Pair]) -> str:
    digest = hashlib.sha256()
    for part, (frames, labels) in sorted(pairs.items()):
        digest.update(f"{part} {frames.dtype} {tuple(frames.shape)}\n".encode())
        for some in _parts(frames):
            digest.update(some.contiguous().numpy().tobytes())
        digest.update(labels.numpy().tobytes())
    return digest.hexdigest()
