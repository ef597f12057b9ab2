r"""What float32 rounding can do to membranes, step by step.

With the leak k, gain g and current x (see :mod:`snn_deploy.graph.dynamics`), one step adds

    e_h = |1 - k| e_v + |g| k e_x + 4 u ((1 + k) |v| + k |g x| + k |v_leak|) + u |h|

to the error (k = 1 beside x when the input does not decay): at most four roundings of each part in any of the
usual forms of the equation, and one of the result. A reset to a value ends the error. Where all intermediate
results of our own order of operations are float32 numbers, nothing rounds and the step adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from snn_deploy.export.proof.rounded import UNIT, Decision, Rounded, float32, is_float32
from snn_deploy.graph.dynamics import Membrane, Neuron, Synaptic

NEURON_ROUNDINGS = 4


def membranes(neuron: Neuron, x: Rounded, spikes: torch.Tensor | None) -> Rounded:
    """What meets the threshold, ``[T, B, *shape]`` with its bound, when the resets are those of ``spikes``;
    the output of an integrator."""
    state = NeuronStep(neuron, x.value[0])
    values, errors = torch.empty_like(x.value), torch.empty_like(x.value)
    for t in range(x.value.shape[0]):
        values[t], errors[t] = state.charge(x.value[t], x.error[t])
        if spikes is not None:
            state.reset(spikes[t].double())
    return Rounded(values, errors)


class NeuronStep:
    """One layer of neurons in float64 with bounds, step by step; ``like`` is ``[B, *shape]``.

    ``v`` and ``e`` are membrane and bound. Resets of a later step are done when that step is charged.
    """

    def __init__(self, neuron: Neuron, like: torch.Tensor) -> None:
        self._neuron = neuron
        self.v = torch.zeros_like(like) + float32(neuron.start)
        self.e = torch.zeros_like(like)
        self.i, self._i_error = torch.zeros_like(like), torch.zeros_like(like)
        self._before = torch.zeros_like(like)

    def charge(self, x: torch.Tensor, error: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the current ``x`` with its bound ``error``; gives what meets the threshold, and its bound."""
        fire = self._neuron.fire
        raised = fire is not None and fire.reset == "subtract-raised"
        drop, lift = self._raised() if raised else (None, None)
        charge = self._neuron.charge
        if isinstance(charge, Synaptic):
            self._synaptic(charge, x, error)
        else:
            self._membrane(charge, x, error)
        if fire is not None and fire.reset == "zero-next":
            owed = self._before > 0
            self.v = torch.where(owed, float32(fire.v_reset), self.v)
            self.e = torch.where(owed, 0.0, self.e)
        elif fire is not None and fire.reset == "subtract-next":
            self._subtract(self._before)
        if drop is None or lift is None:
            return self.v, self.e
        return self.v - drop, self.e + lift + UNIT * drop.abs() * (self.e > 0)

    def reset(self, spikes: torch.Tensor) -> None:
        """Reset by ``spikes``, which are numbers."""
        fire = self._neuron.fire
        assert fire is not None
        if fire.reset in {"subtract", "subtract-raised"}:
            self._subtract(spikes)
        elif fire.reset == "zero":
            self.v = torch.where(spikes > 0, float32(fire.v_reset), self.v)
            self.e = torch.where(spikes > 0, 0.0, self.e)
        if fire.v_min is not None:
            self.v = self.v.clamp(min=float(np.float32(fire.v_min)))
        self._before = spikes

    def _subtract(self, spikes: torch.Tensor) -> None:
        fire = self._neuron.fire
        assert fire is not None
        lost = spikes * float32(fire.threshold - fire.v_reset)
        after = self.v - lost
        rounds = torch.where(_all_float32([lost, after]), 0.0, UNIT * (after.abs() + lost.abs()))
        self.v, self.e = after, self.e + torch.where(spikes > 0, rounds, 0.0)

    def _raised(self) -> tuple[torch.Tensor, torch.Tensor]:
        """How much higher the threshold stands after the last membrane, and the bound on it."""
        fire = self._neuron.fire
        assert fire is not None
        last = Decision.of(fire, Rounded(self.v, self.e))
        drop = float32(fire.threshold - fire.v_reset)
        return last.fires() * drop, last.undecided() * drop

    def response(self) -> tuple[torch.Tensor, torch.Tensor]:
        """``(a, b)``: the next membrane before firing is ``a + b x`` for the current ``x``."""
        zero = torch.zeros_like(self.v)
        a = self.trial(zero)[0]
        return a, self.trial(zero + 1.0)[0] - a

    def trial(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Membrane and bound that the current ``x`` would give; the state stays."""
        kept = self.v, self.e, self.i, self._i_error
        found = self.charge(x, torch.zeros_like(x))
        self.v, self.e, self.i, self._i_error = kept
        return found

    def _membrane(self, charge: Membrane, x: torch.Tensor, error: torch.Tensor) -> None:
        gain = 1.0 if charge.gain is None else float32(charge.gain)
        drive = gain * x
        parts = [drive]
        if charge.leak is None:
            h = self.v + drive
            bound = self.e + _size(gain) * error + UNIT * (drive.abs() * (charge.gain is not None) + h.abs())
        else:
            given = float32(charge.leak.value)
            k = 1.0 / given if charge.leak.divides else given
            above = self.v if charge.v_leak is None else self.v - float32(charge.v_leak)
            parts.append(above)
            if charge.input_decays:
                move = k * (drive - above)
                parts += [drive - above, move]
                h, share = self.v + move, k
            else:
                kept = self.v - k * above
                parts += [k * above, kept]
                h, share = kept + drive, torch.ones(())
            size = (1.0 + k) * self.v.abs() + share * drive.abs()
            if charge.v_leak is not None:
                size = size + k * float32(charge.v_leak).abs()
            bound = (1.0 - k).abs() * self.e + share * _size(gain) * error
            bound = bound + NEURON_ROUNDINGS * UNIT * size + UNIT * h.abs()
        self._move(h, bound, (self.e == 0) & (error == 0), [*parts, h])

    def _synaptic(self, charge: Synaptic, x: torch.Tensor, error: torch.Tensor) -> None:
        decay, v_decay = float32(charge.i_decay), float32(charge.v_decay)
        gain, v_gain, offset = (
            neutral if given is None else float32(given)
            for given, neutral in ((charge.i_gain, 1.0), (charge.v_gain, 1.0), (charge.v_offset, 0.0))
        )
        kept, arriving = decay * self.i, gain * x
        i = kept + arriving
        known = (self._i_error == 0) & (error == 0) & (self.e == 0)
        self._i_error = decay.abs() * self._i_error + _size(gain) * error
        rounds = 3 * UNIT * (kept.abs() + arriving.abs())
        self._i_error = self._i_error + torch.where(_all_float32([kept, arriving, i]) & known, 0.0, rounds)
        left, current = v_decay * self.v, v_gain * i
        h = left + current + offset
        bound = v_decay.abs() * self.e + _size(v_gain) * self._i_error
        bound = bound + NEURON_ROUNDINGS * UNIT * (left.abs() + current.abs() + _size(offset))
        self.i = i
        self._move(h, bound, known & (self._i_error == 0), [left, current, left + current, h])

    def _move(
        self, h: torch.Tensor, bound: torch.Tensor, known: torch.Tensor, parts: list[torch.Tensor]
    ) -> None:
        self.v, self.e = h, torch.where(known & _all_float32(parts), 0.0, bound)


def _all_float32(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    result = is_float32(parts[0])
    for part in parts[1:]:
        result = result & is_float32(part)
    return result


def _size(value: float | torch.Tensor) -> Any:
    return abs(value)
