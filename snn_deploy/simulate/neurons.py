"""Neuron layers over time, in torch: pure functions of input sequence and typed state.

Equations, start values and the order of operations are those of :mod:`snn_deploy.graph.dynamics`. The order
is kept exactly; where an operation below is written in another form (a fused multiply-add with a power of
two, ``v - v s`` instead of a selection), the result is the same to the last bit for finite numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.graph.dynamics import Leak, Membrane, Neuron, Synaptic
from snn_deploy.graph.shapes import Shape
from snn_deploy.simulate.firing import Firing, Parameter, Prepare

if TYPE_CHECKING:
    from snn_deploy.simulate.scan import CompiledScan

Charge = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], None]
"""``charge(x, i, v, work)``: move current ``i`` and membrane ``v`` one step on, in place."""


class MembraneState(NamedTuple):
    """State of an I, IF, LI or LIF layer: membrane after reset, ``[B, *shape]``."""

    v: torch.Tensor


class SynapticState(NamedTuple):
    """State of a CubaLI or CubaLIF layer: current and membrane after reset, ``[B, *shape]``."""

    i: torch.Tensor
    v: torch.Tensor


class DelayState(NamedTuple):
    """The last inputs of a Delay, oldest first, ``[longest delay, B, *shape]``."""

    past: torch.Tensor


class PreviousOutput(NamedTuple):
    """Output of the last step of a node that feeds back, ``[B, *shape]``."""

    y: torch.Tensor


NeuronState = MembraneState | SynapticState


def as_parameter(value: npt.NDArray[np.float64], dtype: torch.dtype, device: torch.device) -> Parameter:
    """A uniform parameter as a Python number, another as a tensor; one ``[C, H, W]`` on a CPU lies in memory
    as the frames that convolutions make there, channels last."""
    if value.ndim == 0:
        return float(value)
    parameter = torch.from_numpy(value.copy()).to(device, dtype)
    if value.ndim == 3 and device.type == "cpu":
        return parameter.movedim(0, -1).contiguous().movedim(-1, 0)
    return parameter


def runs_compiled(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether compiled loops do the work: of float32 on a CPU. Else torch does."""
    return dtype == torch.float32 and device.type == "cpu"


class NeuronLayer:
    """One neuron or integrator layer with its parameters on one device in one precision."""

    def __init__(self, neuron: Neuron, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
        def prepare(value: npt.NDArray[np.float64] | None) -> Parameter | None:
            return None if value is None else as_parameter(value, dtype, device)

        self._like = torch.empty(0, dtype=dtype, device=device)
        self._shape = shape
        self._start = as_parameter(neuron.start, dtype, device)
        self._charge = _charge(neuron.charge, prepare)
        self._has_current = isinstance(neuron.charge, Synaptic)
        self._firing = None if neuron.fire is None else Firing(neuron.fire, prepare)
        self._compiled: CompiledScan | None = None
        if runs_compiled(dtype, device):
            from snn_deploy.simulate.scan import CompiledScan

            self._compiled = CompiledScan(neuron, shape)

    def start(self, batch: int) -> NeuronState:
        """State before the first step."""
        v = self._like.new_zeros(batch, *self._shape) + self._start
        return SynapticState(torch.zeros_like(v), v) if self._has_current else MembraneState(v)

    def run(
        self, x: torch.Tensor, state: NeuronState, *, overwrite: bool = False
    ) -> tuple[torch.Tensor, NeuronState]:
        """Output ``[T, B, *shape]`` for the input ``x [T, B, *shape]``, and the state after it, which may be
        the given one, changed. With ``overwrite`` the output takes the place of the input."""
        if self._compiled is not None:
            current = state.i if isinstance(state, SynapticState) else None
            y, current, v = self._compiled.run(x, current, state.v, overwrite=overwrite)
            return y, MembraneState(v) if current is None else SynapticState(current, v)
        y = x if overwrite else torch.empty_like(x)
        v = _as_in_memory(state.v, x[0])
        i = _as_in_memory(state.i, x[0]) if isinstance(state, SynapticState) else v
        work, firing = torch.empty_like(v), self._firing
        for x_t, y_t in zip(x, y, strict=True):
            owed = None if firing is None else firing.owed(v)
            self._charge(x_t, i, v, work)
            if firing is None:
                y_t.copy_(v)
            else:
                firing.fire(v, owed, y_t)
        return y, SynapticState(i, v) if self._has_current else MembraneState(v)

    def membranes(self, x: torch.Tensor, state: NeuronState, spikes: torch.Tensor) -> torch.Tensor:
        """What meets the threshold, ``[T, B, *shape]``, when the resets are those of ``spikes``."""
        h = torch.empty_like(x)
        v = _as_in_memory(state.v, x[0])
        i = _as_in_memory(state.i, x[0]) if isinstance(state, SynapticState) else v
        work, firing, before = torch.empty_like(v), self._firing, None
        for x_t, h_t, spikes_t in zip(x, h, spikes, strict=True):
            owed = None if firing is None else firing.owed(v, before)
            self._charge(x_t, i, v, work)
            if firing is None:
                h_t.copy_(v)
            else:
                h_t.copy_(firing.undergo(v, owed, spikes_t))
            before = spikes_t
        return h


def _as_in_memory(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``value``, laid out in memory as ``like``, which may be channels-last."""
    return value if value.stride() == like.stride() else torch.empty_like(like).copy_(value)


def _charge(charge: Membrane | Synaptic, prepare: Prepare) -> Charge:
    if isinstance(charge, Synaptic):
        return _synaptic(charge, prepare)
    if charge.leak is None:
        return _integrating(prepare(charge.gain))
    return _leaking(charge, charge.leak, prepare)


def _integrating(gain: Parameter | None) -> Charge:
    def charge(x: torch.Tensor, _i: torch.Tensor, v: torch.Tensor, _work: torch.Tensor) -> None:
        v.add_(x if gain is None else x * gain)

    return charge


def _leaking(membrane: Membrane, leak: Leak, prepare: Prepare) -> Charge:
    gain, v_leak, rate = prepare(membrane.gain), prepare(membrane.v_leak), prepare(leak.value)
    assert rate is not None
    power_of_two = isinstance(rate, float) and not leak.divides and math.frexp(rate)[0] == 0.5
    fused = rate if power_of_two and isinstance(rate, float) else None

    def scale(work: torch.Tensor) -> None:
        if leak.divides:
            work.div_(rate)
        else:
            work.mul_(rate)

    def charge(x: torch.Tensor, _i: torch.Tensor, v: torch.Tensor, work: torch.Tensor) -> None:
        above_rest = v if v_leak is None else torch.sub(v, v_leak, out=work)
        if membrane.input_decays:
            torch.sub(x if gain is None else x * gain, above_rest, out=work)
            if fused is not None:
                v.add_(work, alpha=fused)
            else:
                scale(work)
                v.add_(work)
        else:
            if above_rest is v:
                work.copy_(v)
            scale(work)
            v.sub_(work).add_(x)

    return charge


def _synaptic(synaptic: Synaptic, prepare: Prepare) -> Charge:
    i_decay, v_decay = prepare(synaptic.i_decay), prepare(synaptic.v_decay)
    i_gain, v_gain, v_offset = (prepare(p) for p in (synaptic.i_gain, synaptic.v_gain, synaptic.v_offset))
    assert i_decay is not None
    assert v_decay is not None

    def charge(x: torch.Tensor, i: torch.Tensor, v: torch.Tensor, _work: torch.Tensor) -> None:
        i.mul_(i_decay).add_(x if i_gain is None else x * i_gain)
        v.mul_(v_decay).add_(i if v_gain is None else i * v_gain)
        if v_offset is not None:
            v.add_(v_offset)

    return charge
