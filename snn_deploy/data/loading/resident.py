"""Keep a training split on the device, where it fits, so that no batch waits for the bus."""

from __future__ import annotations

import torch

from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.data.sets.images import ImageSplit
from snn_deploy.data.types import Split

SHARE = 0.5
"""Of the free memory of a device that data may take; the rest is for the network. Our choice."""


def resident(split: Split, device: torch.device, free: int) -> Split:
    """``split`` on ``device`` if its bytes are at most :data:`SHARE` of ``free``, else itself.

    Splits that are read from disk batch by batch stay there.
    """
    if isinstance(split, ArraySplit | ImageSplit) and split.nbytes <= SHARE * free:
        return split.to(device)
    return split
