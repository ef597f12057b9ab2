"""Tell torch modules apart by the names of their classes.

Whoever hands a module over has imported its library; who reads files needs none. So classes are matched by
name, and nothing here imports spikingjelly.
"""

from __future__ import annotations

from torch import nn

_LIBRARIES = (
    ("torch.nn.modules.", "torch"),
    ("spikingjelly.activation_based.base", "spikingjelly"),
    ("spikingjelly.activation_based.layer.", "spikingjelly"),
    ("spikingjelly.activation_based.neuron.", "spikingjelly"),
)


def kind(cls: type) -> str:
    """``torch.Linear``, ``spikingjelly.LIFNode``, ...; the full name of a class from elsewhere."""
    for place, library in _LIBRARIES:
        if cls.__module__.startswith(place):
            return f"{library}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def is_a(module: nn.Module, *kinds: str) -> bool:
    """Whether ``module`` is of one of ``kinds``, or of a class derived from one."""
    return any(kind(cls) in kinds for cls in type(module).__mro__)
