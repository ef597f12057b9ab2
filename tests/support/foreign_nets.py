"""Networks of other frameworks, their own NIR files, and their own spikes."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import torch
from torch import nn

STEPS, BATCH = 40, 6
"""With 20 outputs: 4,800 spikes."""

INPUTS, HIDDEN, OUTPUTS = 12, 24, 20


def frames(seed: int = 0, shape: tuple[int, ...] = (INPUTS,)) -> torch.Tensor:
    """Spikes ``[T, B, *shape]``."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(STEPS, BATCH, *shape, generator=generator) < 0.4).float()


def weights(module: nn.Module, scale: float, seed: int = 1) -> nn.Module:
    """Give ``module`` weights that make its neurons fire, quarters so that float sums are exact."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "weight" in name or "bias" in name:
                drawn = torch.randn(parameter.shape, generator=generator) * scale + scale / 4
                parameter.copy_(drawn)
    return module


@contextlib.contextmanager
def quiet():
    """The libraries print and warn."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def written(graph: nir.NIRGraph, path: Path) -> Path:
    """``graph`` in a file, as its framework's users write it."""
    nir.write(path, graph)
    return path


def stepped(network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Outputs of a network that keeps its own state."""
    with torch.no_grad():
        return torch.stack([network(x_t) for x_t in x])


def full(value: float, count: int) -> torch.Tensor:
    """One value per neuron; exporters write shapes that way."""
    return torch.from_numpy(np.full(count, value, np.float32))
