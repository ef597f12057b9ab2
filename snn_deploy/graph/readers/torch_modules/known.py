"""All modules that are read, by :func:`~snn_deploy.graph.readers.kinds.kind` of their classes."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from snn_deploy.graph.readers.kinds import is_a, kind
from snn_deploy.graph.readers.torch_modules import (
    integer,
    layers,
    norse,
    sinabs,
    snntorch,
    spikingjelly,
    started,
)
from snn_deploy.graph.readers.torch_modules.conversion import Convert, ConvertNeurons

NEURONS: dict[str, ConvertNeurons] = {
    **spikingjelly.NEURONS,
    **integer.NEURONS,
    **started.NEURONS,
    **snntorch.NEURONS,
    **norse.CELLS,
    **norse.OVER_TIME,
    **sinabs.SAMPLES,
    **sinabs.ROWS,
}
MAXIMA = layers.MAXIMA
CONVERTERS: dict[str, Convert] = {**layers.LAYERS, **spikingjelly.LAYERS, **sinabs.LAYERS}
DROPPED = layers.DROPPED
FLATTENS = layers.FLATTENS
FOLDS = sinabs.FOLDS
SUMS = sinabs.SUMS
FOLLOWED_CONTAINERS = (*norse.CONTAINERS, *sinabs.CONTAINERS)
_KNOWN = {*NEURONS, *MAXIMA, *CONVERTERS, *DROPPED, *FLATTENS, *FOLDS, *SUMS}

Takes = Literal["step", "sequence", "samples", "rows"]


def is_known(module: nn.Module) -> bool:
    """Whether modules of this very type are converted or dropped."""
    return kind(type(module)) in _KNOWN


def handles_time(module: nn.Module) -> bool:
    """Whether ``module`` is a neuron without step modes: its network goes over time itself."""
    return kind(type(module)) in NEURONS and not is_a(module, "spikingjelly.StepModule")


def takes(module: Any) -> Takes:
    """What neurons take: one step ``[B, ...]``, ``[T, B, ...]``, ``[B, T, ...]`` or ``[B T, ...]``."""
    name = kind(type(module))
    if name in norse.OVER_TIME or getattr(module, "step_mode", "s") == "m":
        return "sequence"
    return "samples" if name in sinabs.SAMPLES else "rows" if name in sinabs.ROWS else "step"


def fixed_batch(module: nn.Module) -> int | None:
    """The only number of samples that ``module`` takes at once, which sinabs' layers may fix; None: any."""
    parts: list[Any] = [p for p in module.modules() if kind(type(p)) in (*sinabs.ROWS, *FOLDS)]
    sizes = {int(part.batch_size) for part in parts if getattr(part, "batch_size", -1) > 0}
    return min(sizes, default=None)


def forget(module: Any) -> None:
    """Put a layer of neurons into its first state (in place)."""
    if is_a(module, "spikingjelly.MemoryModule"):
        module.reset()
    elif is_a(module, "snntorch.SpikingNeuron"):
        module.reset_mem()
    elif is_a(module, "sinabs.StatefulLayer"):
        for name, state in module.named_buffers(recurse=False):
            setattr(module, name, state.new_zeros(0))


INSTEAD = {
    "MaxPool1d": "a strided convolution",
    "AdaptiveMaxPool2d": "average pooling (layer.AdaptiveAvgPool2d)",
    "ReLU": "a spiking neuron",
    "GroupNorm": "batch norm, which folds into weights",
    "LayerNorm": "batch norm, which folds into weights",
    "Softmax": "leave it out: class scores are decoded after the network",
    "VotingLayer": "a linear layer with one output per class",
    "AvgPool1d": "a strided convolution",
    **dict.fromkeys(
        ("QKAttention", "SpikingSelfAttention"),
        "a convolutional student; attention multiplies spike tensors",
    ),
}
"""What to use instead of a module that NIR has no node for."""

INSTEAD_IN = {
    "snntorch": f"one of {', '.join(name.partition('.')[2] for name in snntorch.NEURONS)}",
    "norse": f"one of {', '.join(name.partition('.')[2] for name in (*norse.CELLS, *norse.OVER_TIME))}",
    "sinabs": f"one of {', '.join(name.partition('.')[2] for name in (*sinabs.SAMPLES, *sinabs.ROWS))}",
}
"""What to use instead of other neurons, by the name of their library."""
