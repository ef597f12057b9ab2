"""Curves of a run: ``metrics.jsonl``, which is exact, and the same for TensorBoard.

A step is ``{"kind": "step", "step", "epoch", "lr", "loss", "terms"}``, an epoch
``{"kind": "epoch", "epoch", "step", "loss", "train_accuracy", "validation_accuracy", "best"}`` and for a
spiking network ``"firing_rate"`` (spikes per neuron and step) and ``"sops_per_sample"`` (synaptic operations)
of the validation samples. Steps and epochs count from 1. There are no times in it: a run and its resumed
twin write the same bytes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from snn_deploy.core.errors import DataError

_CURVES = ("loss", "train_accuracy", "validation_accuracy", "firing_rate", "sops_per_sample")


class Metrics:
    """Appends records; what follows ``keep_bytes`` (the size at the last checkpoint) is cut off first.

    Raises:
        DataError: the file is shorter than it was at the checkpoint.
    """

    def __init__(self, folder: Path, *, keep_bytes: int, next_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        self._stream = path.open("ab")
        if (size := self._stream.tell()) < keep_bytes:
            self._stream.close()
            raise DataError(
                f"'{path}' has {size} bytes; the checkpoint was written when it had {keep_bytes}.",
                hint="Start a new run, or put the file back.",
            )
        self._stream.truncate(keep_bytes)
        self._stream.seek(keep_bytes)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=next_step)

    def step(self, record: dict[str, Any]) -> None:
        """Write one training step."""
        self._write({"kind": "step", **record})
        scalars = {"loss": record["loss"], "lr": record["lr"], **record["terms"]}
        self._plot("train", scalars, record["step"])

    def epoch(self, record: dict[str, Any]) -> None:
        """Write one epoch."""
        self._write({"kind": "epoch", **record})
        scalars = {name: record[name] for name in _CURVES if name in record}
        self._plot("epoch", scalars, record["step"])

    def flush(self) -> int:
        """Put everything on disk; the size of the file."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return self._stream.tell()

    def close(self) -> None:
        """Close both files."""
        self._stream.close()
        self._board.close()

    def _write(self, record: dict[str, Any]) -> None:
        self._stream.write(json.dumps(record, allow_nan=False).encode() + b"\n")

    def _plot(self, group: str, scalars: dict[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._board.add_scalar(f"{group}/{name}", value, step)
