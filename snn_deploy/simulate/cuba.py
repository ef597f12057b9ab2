r"""CUBA fixed-point dynamics, exactly as Lava 0.10 computes them for Loihi.

State u (current) and v (voltage) are integers in units of 1/64 weight unit. At every step, with the
synaptic sum a, current decay :math:`d_u` and voltage decay :math:`d_v` (both 0..4096), bias b and threshold
:math:`\theta`:

.. math::
    u &\leftarrow \operatorname{wrap}(\operatorname{trunc}(u (4096 - d_u) / 4096) + 64 a) \\
    v &\leftarrow \operatorname{clip}(\operatorname{trunc}(v (4096 - d_v) / 4096) + u + 64 b,
                                      \pm(2^{23} - 1)) \\
    s &= [v > 64 \theta], \qquad v \leftarrow 0 \text{ where } s = 1

trunc rounds toward zero; wrap adds or subtracts :math:`2^{24}` once outside :math:`(-2^{23}, 2^{23}]`.
Source: the behaviour of ``lava.proc.lif`` (lava-nc 0.10.0), class ``PyLifModelBitAcc``.

Floats hold the integers. float64 is always exact: no intermediate exceeds :math:`2^{36}`. float32 is used
where :func:`state_dtype` proves it exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from snn_deploy.graph.lava.net import DECAY_ONE, STATE_LIMIT, Cuba, IntArray, Shape

UNIT = 64
"""State units per weight unit."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a decaying state keeps: ``trunc(x factor / divisor)``, a multiplication by at most 4096 and a
    division by a power of two, neither of which rounds. No factor where it is 1. (Torch divides and
    truncates at the speed of memory; its trunc alone is several times as slow.)"""

    factor: torch.Tensor | None
    divisor: torch.Tensor

    def __call__(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """``x`` after a step, written to ``out``."""
        scaled = x if self.factor is None else torch.mul(x, self.factor, out=out)
        return torch.div(scaled, self.divisor, rounding_mode="trunc", out=out)


@dataclass(frozen=True, slots=True)
class Neurons:
    """Parameters of one population, ready to broadcast over ``[B, *shape]``.

    Attributes:
        keep_current, keep_voltage: what is kept of u and v from step to step; None for nothing.
        leaks: whether v loses anything from step to step.
        bias: ``64 b``; None for 0.
        threshold: ``64 theta``.
        wraps: whether u may leave 24 bits.
        steps_in_range: for how many steps v cannot leave them.
        dtype: float32 where proven exact, else float64.
    """

    keep_current: Kept | None
    keep_voltage: Kept | None
    leaks: bool
    bias: torch.Tensor | None
    threshold: torch.Tensor
    wraps: bool
    steps_in_range: float
    dtype: torch.dtype


@dataclass(slots=True)
class Activity:
    """What a population did: spikes ``[T, B, *shape]`` and, when probed, u and v after every step, alike."""

    spikes: torch.Tensor
    u: torch.Tensor | None = None
    v: torch.Tensor | None = None


def prepare(
    neuron: Cuba,
    bias: IntArray | None,
    shape: Shape,
    sum_bound: int,
    device: torch.device,
    *,
    driven: bool = False,
) -> Neurons:
    """Parameters of a population of ``shape`` whose synaptic sum ``|a|`` never exceeds ``sum_bound``;
    ``driven`` says that a bias of any size may come in addition."""
    dtype = state_dtype(neuron, sum_bound)

    def spread(values: IntArray) -> torch.Tensor:
        """A scalar as it is, a per-channel ``[C]`` as ``[C, 1, 1]``, a per-neuron ``[N]`` as it is."""
        wide = values.reshape(-1, *[1] * (len(shape) - 1)) if values.ndim else values
        return torch.as_tensor(np.asarray(wide, np.float64)).to(device, dtype)

    def keep(decay: IntArray) -> Kept | None:
        kept = DECAY_ONE - decay
        if not kept.any():
            return None
        if (kept & (kept - 1)).any():
            return Kept(spread(kept), torch.full_like(spread(np.asarray(0)), DECAY_ONE))
        return Kept(None, DECAY_ONE / spread(kept))

    return Neurons(
        keep_current=keep(neuron.current_decay),
        keep_voltage=keep(neuron.voltage_decay),
        leaks=bool(neuron.voltage_decay.any()),
        bias=None if bias is None or not bias.any() else spread(UNIT * bias),
        threshold=spread(UNIT * neuron.threshold),
        wraps=may_wrap(neuron, sum_bound),
        steps_in_range=0 if driven else steps_in_range(neuron, bias, sum_bound),
        dtype=dtype,
    )


def may_wrap(neuron: Cuba, sum_bound: int) -> bool:
    """Whether |u| can exceed 2^23: it is at most ``64 |a| 4096 / d_u``, the sum of a decaying series."""
    return UNIT * sum_bound * DECAY_ONE > STATE_LIMIT * int(neuron.current_decay.min())


def may_clip(neuron: Cuba, bias: IntArray | None, sum_bound: int) -> bool:
    """Whether |v| can reach 2^23: it is at most ``(|u| + 64 |b|) 4096 / d_v``, a decaying series."""
    if may_wrap(neuron, sum_bound) or int(neuron.voltage_decay.min()) == 0:
        return True
    largest = _largest_change(neuron, bias, sum_bound)
    return largest * DECAY_ONE / int(neuron.voltage_decay.min()) >= STATE_LIMIT - 1


def steps_in_range(neuron: Cuba, bias: IntArray | None, sum_bound: int) -> float:
    """Steps from zero state that v cannot be clipped in: where it may be at all, it still needs several
    largest changes of one sign to get there."""
    if not may_clip(neuron, bias, sum_bound):
        return math.inf
    if may_wrap(neuron, sum_bound):
        return 0
    return (STATE_LIMIT - 1) / max(_largest_change(neuron, bias, sum_bound), 1)


def _largest_change(neuron: Cuba, bias: IntArray | None, sum_bound: int) -> float:
    """``|u| + 64 |b|`` at most, where u does not wrap."""
    current = UNIT * sum_bound * DECAY_ONE / int(neuron.current_decay.min())
    return current + (0 if bias is None else UNIT * int(np.abs(bias).max()))


def state_dtype(neuron: Cuba, sum_bound: int) -> torch.dtype:
    r"""float32 where it is exact, else float64.

    The kept fraction of a 24-bit voltage is exact in float32 when it is a power of two, or zero. A current
    without memory is a multiple of 64 within :math:`\pm 2^{23}`, so :math:`u + 64 b` is exact as well, and
    adding it to v rounds only beyond :math:`2^{24}`, where the clip to :math:`2^{23} - 1` hides the rounding.
    A current with memory, or one that may wrap, is kept in float64.
    """
    if int(neuron.current_decay.min()) != DECAY_ONE or UNIT * sum_bound > STATE_LIMIT:
        return torch.float64
    kept = DECAY_ONE - neuron.voltage_decay
    return torch.float32 if ((kept & (kept - 1)) == 0).all() else torch.float64


def run(
    neurons: Neurons,
    currents: torch.Tensor,
    *,
    drive: torch.Tensor | None = None,
    recurrent: torch.Tensor | None = None,
    returned: torch.Tensor | None = None,
    resets: frozenset[int] = frozenset(),
    probe: bool = False,
) -> Activity:
    """Run a population from zero state.

    Args:
        currents: ``64 a`` for every step, ``[T, B, *shape]``; float32 is overwritten with the spikes.
        drive: ``64 b`` that varies in time, in addition to the neurons' own bias, ``[T, B, *shape]``.
        recurrent: ``64 W_rec``, ``[N, N]``, applied to the population's own spikes of the step before.
        returned: what returns in place of these spikes, ``[T, B, N]``, where it is not negative.
        resets: steps before which u and v are set to 0.
        probe: also return u and v of every step.
    """
    currents = currents.to(neurons.dtype)
    u_steps = torch.empty_like(currents) if probe else None
    v_steps = torch.empty_like(currents) if probe else None
    clips = len(currents) > neurons.steps_in_range
    quiet, kept = torch.empty_like(currents[0]), torch.empty_like(currents[0])
    u = before = None
    for t, v in enumerate(currents.unbind()):
        if t in resets:
            u = before = None
        if recurrent is not None and t > 0:
            own = torch.gt(currents[t - 1], neurons.threshold).float()
            if returned is not None:
                own = torch.where(returned[t - 1] < 0, own, returned[t - 1])
            v.add_(own.to(recurrent.dtype) @ recurrent.T)
        if neurons.keep_current is not None and u is not None:
            v.add_(neurons.keep_current(u, kept))
        if neurons.wraps:
            _wrap(v)
        if neurons.keep_current is not None:
            u = v.clone()
        if u_steps is not None:
            u_steps[t] = v
        if before is not None and neurons.keep_voltage is not None:
            v.addcmul_(neurons.keep_voltage(before, kept) if neurons.leaks else before, quiet)
        if neurons.bias is not None:
            v.add_(neurons.bias)
        if drive is not None:
            v.add_(drive[t])
        if clips:
            v.clamp_(1 - STATE_LIMIT, STATE_LIMIT - 1)
        torch.le(v, neurons.threshold, out=quiet)
        if v_steps is not None:
            torch.mul(v, quiet, out=v_steps[t])
        before = v
    return Activity(torch.gt(currents, neurons.threshold, out=currents).float(), u_steps, v_steps)


def _wrap(u: torch.Tensor) -> None:
    """Add or subtract 2^24 once outside ``(-2^23, 2^23]``."""
    above = (u > STATE_LIMIT).to(u.dtype)
    below = (u <= -STATE_LIMIT).to(u.dtype)
    u.sub_(above, alpha=2 * STATE_LIMIT).add_(below, alpha=2 * STATE_LIMIT)
