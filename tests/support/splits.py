"""Splits that watch how they are read."""

from __future__ import annotations

import torch

from snn_deploy.data.types import Split


class Expecting:
    """Checks that every batch was expected, and notes how many samples were expected beyond it."""

    def __init__(self, split: Split) -> None:
        self.split, self.labels = split, split.labels
        self.expected: list[int] = []
        self.ahead: list[int] = []

    def __len__(self) -> int:
        return len(self.split)

    def expect(self, indices: torch.Tensor) -> None:
        self.expected = indices.tolist()

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        assert self.expected[: len(indices)] == indices.tolist()
        self.ahead.append(len(self.expected) - len(indices))
        return self.split.batch(indices)
