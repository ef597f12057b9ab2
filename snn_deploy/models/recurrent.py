"""Neurons whose own spikes come back to them a step later, and delays that are learned.

With the equations of :mod:`snn_deploy.models.neurons` and square weights ``R``, the input of the layer is::

    x'(t) = x(t) + R s(t-1)                                      s(-1) = 0

A delay shows the spikes of neuron ``n`` some whole steps later, ``d_n = round(D clip(p_n, 0, 1))``::

    y_n(t) = s_n(t - d_n), 0 where t < d_n
    dL/dp_n = -D sum over t of dL/dy_n(t) (y_n(t) - y_n(t-1))

The gradient is that of Shrestha and Orchard (NeurIPS 2018, "SLAYER", the delays). The difference to the step
before for the derivative in time, and ``p`` in shares of the largest delay ``D``, so that it learns at the
pace of weights, are our choice.
"""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import base, neuron
from torch import nn

from snn_deploy.models.neurons import neuron_arguments
from snn_deploy.models.options import NeuronOptions


class _Recurrent:
    """Before a neuron of spikingjelly: what it fired is kept, and comes back through ``recurrent``."""

    def __init__(self, units: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.recurrent = nn.Linear(units, units, bias=False)
        self.register_memory("fired", 0.0)  # type: ignore[attr-defined]

    def single_step_functional_forward(self, inputs: Any, states: Any, **options: Any) -> Any:
        (x,), (*own, fired) = inputs, states
        if isinstance(fired, torch.Tensor):
            x = x + self.recurrent(fired)
        function: Any = super()
        (spikes,), own = function.single_step_functional_forward((x,), tuple(own), **options)
        return (spikes,), (*own, spikes)

    def multi_step_functional_forward(self, inputs: Any, states: Any, **options: Any) -> Any:
        return base.MemoryModule.multi_step_functional_forward(
            self, inputs, states, **options
        )  # a step at a time


class RecurrentIF(_Recurrent, neuron.IFNode):
    """``[T, B, N] -> [T, B, N]``; see the module's text."""


class RecurrentLIF(_Recurrent, neuron.LIFNode):
    """``[T, B, N] -> [T, B, N]``; see the module's text."""


class RecurrentPLIF(_Recurrent, neuron.ParametricLIFNode):
    """``[T, B, N] -> [T, B, N]``; see the module's text."""


def make_recurrent(options: NeuronOptions, units: int) -> nn.Module:
    """One layer of ``units`` neurons that are connected to each other."""
    kinds: dict[str, Any] = {"if": RecurrentIF, "lif": RecurrentLIF, "plif": RecurrentPLIF}
    layer: nn.Module = kinds[options.kind](units, **neuron_arguments(options))
    return layer


class AxonalDelay(nn.Module):
    """``[T, B, N] -> [T, B, N]``: one learned delay of 0 to ``longest`` steps for each of ``units`` neurons.

    Delays begin evenly spread at random.
    """

    def __init__(self, units: int, longest: int) -> None:
        super().__init__()
        self.longest = longest
        self.share = nn.Parameter(torch.rand(units))

    @property
    def steps(self) -> torch.Tensor:
        """The delays in steps, int64 ``[N]``."""
        return (self.share.detach().clamp(0, 1) * self.longest).round().long()

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        delayed: torch.Tensor = _Delayed.apply(spikes, self.share, self.steps, self.longest)  # type: ignore[no-untyped-call]
        return delayed

    def extra_repr(self) -> str:
        return f"{len(self.share)}, longest={self.longest}"


class _Delayed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, spikes: torch.Tensor, share: torch.Tensor, steps: torch.Tensor, longest: int
    ) -> torch.Tensor:
        delayed = _shifted(spikes, steps)
        ctx.save_for_backward(delayed, steps)
        ctx.longest = longest
        return delayed

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        delayed, steps = ctx.saved_tensors
        rising = torch.diff(delayed, dim=0, prepend=torch.zeros_like(delayed[:1]))
        return _shifted(g, -steps), -ctx.longest * (g * rising).sum((0, 1)), None, None


def _shifted(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """``y[t, b, n] = x[t - steps[n], b, n]``, 0 outside."""
    source = torch.arange(len(x), device=x.device)[:, None] - steps
    inside = (source >= 0) & (source < len(x))
    rows = source.clamp(0, len(x) - 1)[:, None].expand_as(x)
    return x.gather(0, rows) * inside[:, None]
