"""A split whose frames lie in memory as small integers."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class ArraySplit:
    """Samples ``rows`` of ``frames``; splits of one data set share the frames. Implements ``Split``.

    Attributes:
        frames: counts of all samples, ``[M, T, C, H, W]``, usually uint8.
        rows: which samples are in this split, int64 ``[N]``, on the device of ``frames``.
        labels: their labels, int64 ``[N]``, on the same device.
    """

    frames: torch.Tensor
    rows: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the frames of its samples."""
        return len(self.rows) * self.frames[:1].nbytes

    def to(self, device: torch.device | str) -> ArraySplit:
        """This split resident on ``device``: only its own samples are moved, as integers."""
        if torch.device(device) == self.frames.device:
            return self
        frames = self.frames.index_select(0, self.rows).to(device)
        return ArraySplit(frames, torch.arange(len(frames), device=device), self.labels.to(device))

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Inputs of the samples ``indices [B]``: float32 ``[T, B, C, H, W]``, contiguous."""
        rows = self.rows[indices.to(self.rows.device)]
        frames = self.frames.index_select(0, rows).transpose(0, 1)
        return frames.to(torch.float32, memory_format=torch.contiguous_format)
