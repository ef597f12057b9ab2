"""Curves of a run: ``metrics.jsonl``, which is exact, and the same for TensorBoard.

A step is ``{"kind": "step", "step", "epoch", "lr", "loss", "terms"}``, an epoch
``{"kind": "epoch", "epoch", "step", "loss", "train_accuracy", "validation_accuracy", "best"}`` and for a
spiking network ``"firing_rate"`` (spikes per neuron and step) and ``"sops_per_sample"`` (synaptic operations)
of the validation samples. Steps and epochs count from 1. There are no times in it: a run and its resumed
twin write the same bytes. TensorBoard also shows the firing rate of every layer and a picture of inputs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch.utils.tensorboard import SummaryWriter

from snn_deploy.core.errors import DataError
from snn_deploy.distill.pictures import picture

_CURVES = ("loss", "train_accuracy", "validation_accuracy", "firing_rate", "sops_per_sample")


class Mark(NamedTuple):
    """The beginning of a metrics file: its length in ``bytes`` and its SHA-256."""

    bytes: int
    sha256: str


NOTHING = Mark(0, hashlib.sha256().hexdigest())


class Metrics:
    """Appends records; what follows ``keep`` (the file at the last checkpoint) is cut off first.

    Raises:
        DataError: the file is shorter than it was at the checkpoint, or another one.
    """

    def __init__(self, folder: Path, *, keep: Mark, next_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        self._stream = path.open("a+b")
        self._digest = hashlib.sha256()
        try:
            self._keep(path, keep)
        except BaseException:
            self._stream.close()
            raise
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=next_step)

    def _keep(self, path: Path, mark: Mark) -> None:
        hint = "Start a new run, or put the file back."
        if (size := self._stream.tell()) < mark.bytes:
            raise DataError(
                f"'{path}' has {size} bytes; the checkpoint was written when it had {mark.bytes}.", hint=hint
            )
        self._stream.seek(0)
        self._digest.update(self._stream.read(mark.bytes))
        if self._digest.hexdigest() != mark.sha256:
            raise DataError(
                f"The metrics file '{path}' is damaged: its first {mark.bytes} bytes are not those that it "
                "had when the checkpoint was written.",
                hint=hint,
            )
        self._stream.truncate(mark.bytes)
        self._stream.seek(mark.bytes)

    def step(self, record: dict[str, Any]) -> None:
        """Write one training step."""
        self._write({"kind": "step", **record})
        scalars = {"loss": record["loss"], "lr": record["lr"], **record["terms"]}
        self._plot("train", scalars, record["step"])

    def inputs(self, x: torch.Tensor) -> None:
        """Show samples ``x [T, B, *shape]`` on the board."""
        self._board.add_image("inputs", picture(x), 0)

    def epoch(self, record: dict[str, Any], rates: Mapping[str, float] = MappingProxyType({})) -> None:
        """Write one epoch; the board also shows the firing ``rates`` by layer."""
        self._write({"kind": "epoch", **record})
        scalars = {name: record[name] for name in _CURVES if name in record}
        self._plot("epoch", scalars, record["step"])
        self._plot("firing_rate", rates, record["step"])

    def flush(self) -> Mark:
        """Put everything on disk; what there is of the file by now."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return Mark(self._stream.tell(), self._digest.hexdigest())

    def close(self) -> None:
        """Close both files."""
        self._stream.close()
        self._board.close()

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        self._stream.write(line)
        self._digest.update(line)

    def _plot(self, group: str, scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._board.add_scalar(f"{group}/{name}", value, step)
