r"""Layers that compute what a chip with 8-bit synapses and CUBA neurons computes, and still learn.

Weights W and biases b stay real for the optimiser; the forward pass sees their integers
(:mod:`snn_deploy.graph.passes.quantize.rounding`). With the input :math:`x = unit \cdot n`, integers n,

.. math::
    a &= \sum W_q n + b_q, \quad W_q = Q(W g S\, unit), \quad b_q = Q(b g S), \quad y = a / (g S) \\
    u &\leftarrow \operatorname{wrap}(\operatorname{trunc}(u (4096 - d_u) / 4096) + 64 a) \\
    v &\leftarrow \operatorname{clip}(\operatorname{trunc}(v (4096 - d_v) / 4096) + u, \pm(2^{23} - 1)) \\
    s &= [v > 64 \theta], \qquad v \leftarrow 0 \text{ where } s = 1

with S weight units per unit of the membrane and the gain g of the neurons behind the weights: the arithmetic
of Lava 0.10 (class ``PyLifModelBitAcc``); the bias adds to v as it does there, since
it is refused beside a current that remembers. Rounding and truncation pass gradients straight through
(Bengio, Léonard and Courville 2013, section 4); a spike has the surrogate gradient of the neuron that was
replaced, at :math:`(v - 64 \theta) / (64 S)`, its membrane in real units.

Every sum is an integer below :math:`2^{24}`, which float32 holds whatever the order of addition. The state
is float32 where the kept share of v is a power of two, else float64: no product is then rounded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from spikingjelly.activation_based import base, layer, neuron
from torch import nn
from torch.nn import functional

from snn_deploy.graph.lava.net import DECAY_ONE, STATE_LIMIT
from snn_deploy.graph.lava.rules import BIAS_MAX
from snn_deploy.graph.passes.quantize.rounding import round_to_grid, weight_range, within_sums

UNIT = 64
"""State units per weight unit."""


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


class _Truncate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.trunc()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


class _Bounded(torch.autograd.Function):
    """``rounded`` instead of ``x``. A gradient that would push x further out of ``[low, high]`` is zero."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rounded: torch.Tensor, low: float, high: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (x,), (gradient,), (low, high) = ctx.saved_tensors, gradients, ctx.bounds
        outward = ((x < low) & (gradient > 0)) | ((x > high) & (gradient < 0))
        return gradient.masked_fill(outward, 0), None, None, None


def rounded(x: torch.Tensor) -> torch.Tensor:
    """The nearest integers of x, with the gradient of x."""
    result: torch.Tensor = _Round.apply(x)  # type: ignore[no-untyped-call]
    return result


def truncated(x: torch.Tensor) -> torch.Tensor:
    """x without its fraction, with the gradient of x."""
    result: torch.Tensor = _Truncate.apply(x)  # type: ignore[no-untyped-call]
    return result


def bounded(x: torch.Tensor, low: float, high: float, integers: torch.Tensor) -> torch.Tensor:
    """``integers`` that stand for x within ``[low, high]``, with the gradient of x unless it leads out."""
    result: torch.Tensor = _Bounded.apply(x, integers, low, high)  # type: ignore[no-untyped-call]
    return result


class ChipSynapses(nn.Module):
    """A layer of weights; ``scale``, ``gain`` and ``unit`` are those of the equations, ``low`` and ``high``
    the range of the input's integers."""

    scale: torch.Tensor
    gain: torch.Tensor
    unit: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, bits: int, step_mode: str) -> None:
        super().__init__()
        self.bits = bits
        self.step_mode = step_mode
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        for name in ("scale", "gain", "unit"):
            self.register_buffer(name, torch.ones((), dtype=torch.float64))
        self.register_buffer("low", torch.zeros((), dtype=torch.int64))
        self.register_buffer("high", torch.ones((), dtype=torch.int64))

    def integers(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``W_q`` and ``b_q`` as floats."""
        scaled = self.weight * (self.scale * self.gain * self.unit)
        with torch.no_grad():
            whole = within_sums(round_to_grid(scaled, self.bits), (int(self.low), int(self.high)), self.bits)
        _, lowest, highest = weight_range(self.bits)
        weight = bounded(scaled, lowest, highest, whole)
        if self.bias is None:
            return weight, None
        raised = self.bias * (self.scale * self.gain)
        return weight, bounded(
            raised, -BIAS_MAX, BIAS_MAX, raised.detach().round().clamp(-BIAS_MAX, BIAS_MAX)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The currents y of ``x [T, B, *shape]``."""
        with torch.autocast(x.device.type, enabled=False):
            exact = x.float() if float(self.unit) == 1 else x.double() / self.unit  # halves must not move
            sums = rounded(self.sums(rounded(exact).float(), *self.integers()))
            return (sums.double() / (self.scale * self.gain)).to(sums.dtype)

    def real(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``W_q / (S unit)`` and ``b_q / S``: what a neuron of gain 1 is to be given."""
        with torch.no_grad():
            weight, bias = self.integers()
            unit = self.scale * self.unit
            return weight / unit, None if bias is None else bias / self.scale

    @abstractmethod
    def as_real(self) -> nn.Module:
        """A layer of torch that holds :meth:`real`."""

    @abstractmethod
    def sums(self, n: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """``sum W_q n + b_q``."""


class ChipConv2d(ChipSynapses):
    """A convolution with the geometry of ``like``."""

    def __init__(self, like: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor | None, bits: int) -> None:
        super().__init__(weight, bias, bits, getattr(like, "step_mode", "s"))
        self.geometry: tuple[Any, ...] = (like.stride, like.padding, like.dilation, like.groups)

    def sums(self, n: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """See the base."""
        frames = functional.conv2d(n.flatten(0, -4), weight, bias, *self.geometry)
        return frames.view(*n.shape[:-3], *frames.shape[1:])

    def as_real(self) -> nn.Module:
        """A convolution of spikingjelly."""
        weight, bias = self.real()
        outputs, inputs, *kernel = weight.shape
        groups = self.geometry[3]
        made = layer.Conv2d(inputs * groups, outputs, kernel, *self.geometry, bias=bias is not None)
        made.step_mode = self.step_mode
        return _holding(made, weight, bias)


class ChipLinear(ChipSynapses):
    """A full connection."""

    def __init__(self, like: nn.Linear, weight: torch.Tensor, bias: torch.Tensor | None, bits: int) -> None:
        super().__init__(weight, bias, bits, getattr(like, "step_mode", "s"))

    def sums(self, n: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """See the base."""
        return functional.linear(n, weight, bias)

    def as_real(self) -> nn.Module:
        """A full connection of spikingjelly."""
        weight, bias = self.real()
        outputs, inputs = weight.shape
        made = layer.Linear(inputs, outputs, bias=bias is not None, step_mode=self.step_mode)
        return _holding(made, weight, bias)


class ChipNeuron(base.MemoryModule):
    """A layer of neurons, ``[T, B, *shape] -> [T, B, *shape]``, from zero state at every call.

    ``v_threshold`` is the real threshold of the neurons replaced; ``scale`` and ``gain`` are those of the
    equations.
    """

    scale: torch.Tensor
    gain: torch.Tensor
    current_decay: torch.Tensor
    voltage_decay: torch.Tensor
    threshold: torch.Tensor

    def __init__(
        self, v_threshold: float, surrogate: Callable[[torch.Tensor], torch.Tensor], detach_reset: bool
    ) -> None:
        super().__init__()
        self.step_mode = "m"
        self.v_threshold = v_threshold
        self.surrogate_function = surrogate
        self.detach_reset = detach_reset
        for name in ("scale", "gain"):
            self.register_buffer(name, torch.ones((), dtype=torch.float64))
        for name in ("current_decay", "voltage_decay"):
            self.register_buffer(name, torch.full((), DECAY_ONE, dtype=torch.int64))
        self.register_buffer("threshold", torch.ones((), dtype=torch.int64))

    def multi_step_forward(self, x_seq: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """Spikes of the currents ``x_seq``."""
        keep_u, keep_v = (DECAY_ONE - int(d) for d in (self.current_decay, self.voltage_decay))
        exact = torch.float32 if keep_u == 0 and keep_v & (keep_v - 1) == 0 else torch.float64
        between = UNIT * int(self.threshold) + 0.5  # no state lies there: what is above it fires
        unit = UNIT * float(self.scale)
        with torch.autocast(x_seq.device.type, enabled=False):
            charge = UNIT * rounded(x_seq.float() * (self.scale * self.gain)).to(exact)
            v = u = torch.zeros_like(charge[0])
            spikes = []
            for a in charge:
                u = _wrapped(truncated(u * (keep_u / DECAY_ONE)) + a) if keep_u else a
                v = (truncated(v * (keep_v / DECAY_ONE)) if keep_v < DECAY_ONE else v) + u
                v = v.clamp(1 - STATE_LIMIT, STATE_LIMIT - 1)
                fired = self.surrogate_function((v - between) / unit)
                v = v * (1 - (fired.detach() if self.detach_reset else fired))
                spikes.append(fired)
            return torch.stack(spikes).to(x_seq.dtype)

    @property
    def real_threshold(self) -> float:
        """In weight units, halfway between the last state that does not fire and the first that does: float
        rounding cannot turn one into the other."""
        whole = int(self.current_decay) == DECAY_ONE and int(self.voltage_decay) in {0, DECAY_ONE}
        return int(self.threshold) + (0.5 if whole else 0.5 / UNIT)

    def as_real(self) -> nn.Module:
        """The same neurons with gain 1 and the threshold :attr:`real_threshold`."""
        lost_u, lost_v = (int(d) / DECAY_ONE for d in (self.current_decay, self.voltage_decay))
        threshold = self.real_threshold / float(self.scale)
        made: Any
        if lost_u < 1:
            made = neuron.CUBALIFNode(1 - lost_u, 1 - lost_v, v_threshold=threshold)
        elif lost_v == 0:
            made = neuron.IFNode(v_threshold=threshold)
        else:
            made = neuron.LIFNode(tau=1 / lost_v, decay_input=False, v_threshold=threshold)
        made.step_mode = "m"
        layers: nn.Module = made
        return layers


def _holding(made: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    made.weight = nn.Parameter(weight)
    if bias is not None:
        made.bias = nn.Parameter(bias)
    return made


def _wrapped(u: torch.Tensor) -> torch.Tensor:
    """u as 24 bits hold it."""
    turns = (u > STATE_LIMIT).to(u.dtype) - (u <= -STATE_LIMIT).to(u.dtype)
    return u - 2 * STATE_LIMIT * turns
