"""Tell torch modules apart by the names of their classes.

Whoever hands a module over has imported its library; who reads files needs none. So classes are matched by
name, and nothing here imports spikingjelly. A class derived from a library's is of its kind as long as it
overrides nothing that computes; so is the class that torch derives where a weight is parametrized.
"""

from __future__ import annotations

from torch import nn

_LIBRARIES = (
    ("torch.nn.modules.", "torch"),
    ("spikingjelly.activation_based.base", "spikingjelly"),
    ("spikingjelly.activation_based.layer.", "spikingjelly"),
    ("spikingjelly.activation_based.neuron.", "spikingjelly"),
    ("spikingjelly.activation_based.ann2snn.modules", "spikingjelly"),
    ("snn_deploy.models.recurrent", "snn_deploy"),
    ("snntorch.", "snntorch"),
    ("norse.", "norse"),
    ("sinabs.", "sinabs"),
    ("snn_deploy.models.integer_neurons", "snn_deploy"),
    ("snn_deploy.models.started", "snn_deploy"),
)
_HARMLESS = {"__init__", "__repr__", "extra_repr", "__doc__", "__module__", "__annotations__", "reset"}


def kind(cls: type) -> str:
    """``torch.Linear``, ``spikingjelly.LIFNode``, ...; the full name of a class from elsewhere that computes
    something of its own."""
    added: set[str] = set()
    for base in cls.__mro__:
        if base.__module__ == "torch.nn.utils.parametrize":
            continue
        for place, library in _LIBRARIES:
            if base.__module__.startswith(place):
                own = {name for name in added if callable(getattr(base, name, None))} - _HARMLESS
                return f"{cls.__module__}.{cls.__qualname__}" if own else f"{library}.{base.__qualname__}"
        added |= set(vars(base))
    return f"{cls.__module__}.{cls.__qualname__}"


def is_a(module: nn.Module, *kinds: str) -> bool:
    """Whether ``module`` is of one of ``kinds``, or of a class derived from one."""
    return any(kind(cls) in kinds for cls in type(module).__mro__)
