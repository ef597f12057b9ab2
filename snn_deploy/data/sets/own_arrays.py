"""Samples of a user's own as a data set: arrays, torch data sets, or ``.npz`` files.

=================================== =======================================================================
given                               taken
=================================== =======================================================================
``(x, y)``                          arrays: ``x [N, T, C, H, W]``, or ``[N, C, H, W]``, shown in every step
a torch ``Dataset``                 of ``(x, label)``, one sample each, in the same two shapes
a path of a ``.npz`` file           ``x [T, N, C, H, W]`` and ``y [N]``
``{"train": ..., "test": ...}``     any of these for each, with ``"validation"`` or a fifth of ``train``
=================================== =======================================================================

One without parts is split 60 / 15 / 25, class by class, spread evenly over its order (our choice).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snn_deploy.core.errors import DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet

SHARES = (0.60, 0.15, 0.25)
"""Train, validation, test."""
VALIDATION = 0.2
"""Share of the training samples where no validation samples are given."""
Pair = tuple[torch.Tensor, torch.Tensor]


def as_data_set(made: Any, name: str, timesteps: int) -> DataSet:
    """The data set of what the user's code gives; see the module's table.

    Raises:
        DataError: something else, samples that are not finite, or of another number of steps.
    """
    parts = made if isinstance(made, Mapping) else {"all": made}
    pairs = {str(part): _pair(given, name, timesteps) for part, given in parts.items()}
    if "all" in pairs:
        frames, labels = pairs["all"]
        rows = stratified_split(labels.numpy(), SHARES)
        splits = [_split(frames, labels, torch.from_numpy(part)) for part in rows]
    elif not {"train", "test"} <= pairs.keys() <= {"train", "validation", "test"}:
        raise DataError(f"'{name}' gives {', '.join(pairs)}; due are train, test and perhaps validation.")
    elif "validation" in pairs:
        splits = [_split(*pairs[part]) for part in ("train", "validation", "test")]
    else:
        frames, labels = pairs["train"]
        rows = stratified_split(labels.numpy(), (1 - VALIDATION, VALIDATION))
        splits = [*(_split(frames, labels, torch.from_numpy(part)) for part in rows), _split(*pairs["test"])]
    shapes = {tuple(frames.shape[2:]) for frames, _ in pairs.values()}
    if len(shapes) > 1:
        raise DataError(f"The parts of '{name}' have frames of different shapes: {sorted(shapes)}.")
    count = 1 + max(int(labels.max()) for _, labels in pairs.values())
    return DataSet(
        name=name,
        shape=shapes.pop(),  # type: ignore[arg-type]
        classes=tuple(str(number) for number in range(count)),
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        digest=_digest(pairs),
        notes=(f"Samples of the user's own: {', '.join(str(len(split)) for split in splits)}.",),
    )


def _pair(given: Any, name: str, timesteps: int) -> Pair:
    """Frames ``[N, T, C, H, W]`` and labels ``[N]``."""
    if isinstance(given, str | Path):
        with named_damage(f"'{given}' cannot be read as samples"), np.load(given, allow_pickle=False) as file:
            x, y = torch.from_numpy(file["x"]).transpose(0, 1), torch.from_numpy(file["y"])
    elif isinstance(given, tuple | list) and len(given) == 2:
        x, y = (torch.as_tensor(np.asarray(part)) for part in given)
    elif isinstance(given, torch.utils.data.Dataset):
        samples = [given[i] for i in range(len(given))]  # type: ignore[arg-type]
        x = torch.stack([torch.as_tensor(np.asarray(sample)) for sample, _ in samples])
        y = torch.tensor([int(label) for _, label in samples])
    else:
        raise DataError(
            f"'{name}' gives a {type(given).__name__}, which is no data.",
            hint="(x, y), a torch Dataset, the path of a .npz file, or a dict of these for train and test",
        )
    if x.ndim == 4:
        x = x.unsqueeze(1).expand(-1, timesteps, *x.shape[1:])
    if x.ndim != 5 or y.shape != x.shape[:1] or len(y) == 0 or not bool(torch.isfinite(x).all()):
        raise DataError(
            f"'{name}' gives x {tuple(x.shape)} and y {tuple(y.shape)}; due are finite x [N, T, C, H, W] or "
            "[N, C, H, W], and y [N]."
        )
    if x.shape[1] != timesteps:
        raise DataError(
            f"'{name}' gives {x.shape[1]} frames per sample; the recipe has timesteps {timesteps}."
        )
    if y.is_floating_point() or int(y.min()) < 0:
        raise DataError(f"The labels of '{name}' must be whole numbers from 0.")
    return x, y.to(torch.int64)


def _split(frames: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor | None = None) -> ArraySplit:
    rows = torch.arange(len(labels)) if rows is None else rows
    return ArraySplit(frames, rows, labels[rows])


def _digest(pairs: Mapping[str, Pair]) -> str:
    digest = hashlib.sha256()
    for part, (frames, labels) in sorted(pairs.items()):
        digest.update(f"{part} {frames.dtype} {tuple(frames.shape)}\n".encode())
        digest.update(frames.contiguous().numpy().tobytes())
        digest.update(labels.numpy().tobytes())
    return digest.hexdigest()
