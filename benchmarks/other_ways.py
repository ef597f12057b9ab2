"""How training steps are written elsewhere, around our layers: as a loop over time, with others' neurons."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from unittest import mock

import torch
from torch import nn

from snn_deploy.distill import objective


class Loop(nn.Module):
    """A single-step network, called once for every step."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.logit_scale = network, network.logit_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.network(frame) for frame in x])


def spikingjelly_neurons() -> AbstractContextManager[object]:
    """Inside the block objectives run spikingjelly's own neurons."""
    return mock.patch.object(objective, "scanned", lambda network: contextlib.nullcontext())
