r"""What float32 rounding can do to a node's output: its value in float64, and a bound on the error of every
float32 execution.

With u = 2^-24 and gamma_n = n u / (1 - n u), a sum of n terms with exact products is off by at most
gamma_{n-1} sum |w x| whatever the order of summation, and by gamma_n sum |w x| when the products round too
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, sections 3.1 and 4.2). Here n
counts the terms that are not zero, and products with powers of two (spikes are 1) do not round. Errors that
arrive with the input are carried on by sum |w| e.

**Exact sums.** When all terms are multiples of one power of two q and sum |w x| <= 2^24 q, every partial sum
in every order is a float32 number: the bound is 0. Integer weights and spikes give that.

**Neurons.** With the leak k, gain g and current x (see :mod:`snn_deploy.graph.dynamics`), one step adds

    e_h = |1 - k| e_v + |g| k e_x + 4 u ((1 + k) |v| + k |g x| + k |v_leak|) + u |h|

to the error (k = 1 beside x when the input does not decay): at most four roundings of each part in any of the
usual forms of the equation, and one of the result. A reset to a value ends the error. Where all intermediate
results of our own order of operations are float32 numbers, nothing rounds and the step adds nothing.

A threshold is **undecided** where |h - threshold| <= e_h and e_h > 0: there, and only there, float32
executions may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch

from snn_deploy.graph.dynamics import Membrane, Neuron, Synaptic, discretise, parameters
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.simulate.layers import DelayLayer, stateless
from snn_deploy.simulate.neurons import DelayState

UNIT = 2.0**-24
MANTISSA = 2.0**24
NEURON_ROUNDINGS = 4
FOLDED = 8
"""Further roundings per sum where the reference applies a batch norm that the graph has folded into its
weights: scale, shift, product and sum in float32, and the rounded weights. Our choice."""

_MAGNITUDE_SLACK = 1.0 + 2.0**-10
"""Magnitudes are summed in float32, which rounds too."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """``value`` in float64 and the bound ``error`` on what a float32 execution differs from it."""

    value: torch.Tensor
    error: torch.Tensor

    def samples(self, which: torch.Tensor) -> Rounded:
        """Some of the samples of ``[T, B, *shape]``."""
        return Rounded(self.value[:, which], self.error[:, which])

    def steps(self) -> Iterator[Rounded]:
        """Every step as a sequence of one, ``[1, B, *shape]``."""
        return (
            Rounded(*pair)
            for pair in zip(torch.split(self.value, 1), torch.split(self.error, 1), strict=True)
        )

    def previous(self) -> Rounded:
        """One step later, zero at first."""
        return Rounded(_late(self.value), _late(self.error))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a spiking layer compares with its float32 ``threshold``; ``many``: with multiples of it too."""

    membrane: Rounded
    threshold: torch.Tensor
    fires_at: str
    many: bool = False

    def fires(self) -> torch.Tensor:
        """Spikes of exact arithmetic."""
        h = self.membrane.value
        if self.many:
            ratio = h / self.threshold
            return (torch.ceil(ratio) - 1.0 if self.fires_at == ">" else torch.floor(ratio)).clamp(min=0.0)
        return (h > self.threshold if self.fires_at == ">" else h >= self.threshold).double()

    def undecided(self) -> torch.Tensor:
        """Where float32 executions may differ."""
        h, error = self.membrane.value, self.membrane.error
        nearest = self.threshold
        if self.many:  # the quotient rounds, except where it is a whole number
            nearest = nearest * (h / nearest).round().clamp(min=1.0)
            error = error + torch.where(h == nearest, 0.0, 2 * UNIT * h.abs())
        return (error > 0) & ((h - nearest).abs() <= error)


def exact(value: torch.Tensor) -> Rounded:
    """A value that every execution is given, such as spikes or recorded inputs."""
    value = value.double()
    return Rounded(value, value.new_zeros(()).expand_as(value))


def gamma(n: torch.Tensor | float) -> Any:
    """``n u / (1 - n u)`` for ``n`` roundings."""
    return n * UNIT / (1.0 - n * UNIT)


def lowest_bit(value: torch.Tensor) -> torch.Tensor:
    """The largest power of two that divides each element; infinite for zero."""
    mantissa, exponent = torch.frexp(value.double())
    whole = torch.ldexp(mantissa, torch.tensor(53)).long()
    low = (whole & -whole).double()
    return torch.where(value == 0, torch.inf, torch.ldexp(low, exponent - 53))


def is_float32(value: torch.Tensor) -> torch.Tensor:
    """Elements that float32 holds exactly."""
    return value.float().double() == value


def add(terms: Sequence[Rounded], slack: int = 0) -> Rounded:
    """Sum of the inputs of a node."""
    if len(terms) == 1:
        return terms[0]
    values = torch.stack([term.value for term in terms])
    error = torch.stack([term.error for term in terms]).sum(0)
    magnitude = values.abs().sum(0)
    count = (values != 0).sum(0)
    is_exact = magnitude <= MANTISSA * torch.stack([lowest_bit(v) for v in values]).amin(0)
    bound = gamma((count - 1).clamp(min=0) + slack * (count > 0)) * magnitude
    return Rounded(values.sum(0), error + torch.where(is_exact, 0.0, bound))


class Rounding:
    """The nodes of ``plan`` in float64 with bounds.

    Args:
        plan: the graph; its parameters are rounded to float32, as every float32 execution rounds them.
        slack: further roundings to allow in every sum, see ``FOLDED``.
    """

    def __init__(self, plan: Plan, slack: int = 0) -> None:
        self.plan, self._slack = plan, slack
        self._semantics = read_semantics(plan.graph)
        self._made: dict[str, Any] = {}

    def sum(self, terms: Sequence[Rounded]) -> Rounded:
        """What enters a node: the sum of its sources."""
        return add(terms, self._slack)

    def output(self, name: str, x: Rounded) -> Rounded:
        """Output of the node ``name`` for the summed input ``x [T, B, *shape]``; not for spiking nodes."""
        node = self.plan.node(name)
        if isinstance(node, WEIGHT_NODES):
            return self._weights(name, node, x)
        if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
            return self._pool(name, node, x)
        if isinstance(node, nir.Scale):
            scale = float32(parameters(node)["scale"])
            value = x.value * scale
            rounds = torch.where(is_float32(value), 0.0, UNIT * value.abs())
            return Rounded(value, x.error * scale.abs() + rounds)
        if isinstance(node, nir.Input | nir.Output):
            return x
        if isinstance(node, nir.Flatten):
            function = self._cached(name, lambda: self._function(node))
            return Rounded(_over_time(function, x.value), _over_time(function, x.error))
        if isinstance(node, nir.Delay):
            shape = self.plan.shapes[name]
            layer = self._cached(
                name, lambda: DelayLayer(node, self._semantics, shape, torch.float64, torch.device("cpu"))
            )
            parts = [layer.run(y, DelayState(*layer.start(y.shape[1])))[0] for y in (x.value, x.error)]
            return Rounded(*parts)
        return self._membranes(name, x, None)

    def decision(self, name: str, x: Rounded, spikes: torch.Tensor) -> Decision:
        """Membranes of the spiking layer ``name`` when its resets are those of ``spikes [T, B, *shape]``."""
        node = self.plan.node(name)
        if isinstance(node, nir.Threshold):
            return Decision(x, float32(parameters(node)["threshold"]), self._semantics.fires_at)
        fire = self.neuron(name).fire
        assert fire is not None
        membrane = self._membranes(name, x, spikes)
        return Decision(membrane, float32(fire.threshold), fire.fires_at, fire.spikes == "many")

    def neuron(self, name: str) -> Neuron:
        """Discrete-time form of a neuron node."""
        found: Neuron = self._cached(name, lambda: discretise(self.plan.node(name), self._semantics))
        return found

    def _cached(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _function(self, node: nir.NIRNode, dtype: torch.dtype = torch.float64) -> Any:
        return stateless(node, self._semantics, dtype, torch.device("cpu"))

    def _weights(self, name: str, node: nir.NIRNode, x: Rounded) -> Rounded:
        weight = np.asarray(node.weight, np.float32)
        arrays: dict[str, Any] = {"weight": weight}
        if hasattr(node, "bias"):
            arrays["bias"] = np.asarray(node.bias, np.float32)
        value, magnitude, count = self._cached(name, lambda: self._sums(node, arrays))
        sums = _over_time(value, x.value)
        magnitudes = _over_time(magnitude, x.value.abs().float()).double() * _MAGNITUDE_SLACK
        terms = _over_time(count, (x.value != 0).float()).double()
        quantum = _grid(weight) * float(lowest_bit(x.value).min())
        if "bias" in arrays:
            quantum = min(quantum, _grid(arrays["bias"]))
        rounds = (terms - 1 + _products_round(x.value)).clamp(min=0) + self._slack * (terms > 0)
        bound = torch.where(magnitudes <= MANTISSA * quantum, 0.0, gamma(rounds) * magnitudes)
        if bool(x.error.any()):
            carried = _with(node, {"weight": np.abs(weight), **_no_bias(arrays)})
            bound += _over_time(self._function(carried), x.error) * _MAGNITUDE_SLACK
        return Rounded(sums, bound)

    def _sums(self, node: nir.NIRNode, arrays: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """Functions of the input: the sum, the sum of magnitudes, the number of terms."""
        sizes = {key: np.abs(array) for key, array in arrays.items()}
        terms = {key: (array != 0).astype(np.float32) for key, array in arrays.items()}
        return (
            self._function(_with(node, arrays)),
            self._function(_with(node, sizes), torch.float32),
            self._function(_with(node, terms), torch.float32),
        )

    def _pool(self, name: str, node: nir.NIRNode, x: Rounded) -> Rounded:
        pool = self._cached(name, lambda: self._function(node))
        window = float(np.prod(axes(node.kernel_size, 2)))
        divides = isinstance(node, nir.AvgPool2d)
        share = window if divides else 1.0
        magnitudes = _over_time(pool, x.value.abs())
        terms = _over_time(pool, (x.value != 0).double()) * share
        quantum = float(lowest_bit(x.value).min()) / share
        is_exact = magnitudes <= MANTISSA * quantum
        odd = divides and bool(np.log2(window) % 1)
        bound = torch.where(is_exact, 0.0, gamma((terms - 1).clamp(min=0)) * magnitudes)
        value = _over_time(pool, x.value)
        error = bound + 2 * UNIT * odd * value.abs() + _over_time(pool, x.error)
        return Rounded(value, error)

    def _membranes(self, name: str, x: Rounded, spikes: torch.Tensor | None) -> Rounded:
        return membranes(self.neuron(name), x, spikes)


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
        last = Decision(Rounded(self.v, self.e), float32(fire.threshold), fire.fires_at)
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


def float32(value: Any) -> torch.Tensor:
    """``value`` rounded to float32, in float64."""
    return torch.from_numpy(np.asarray(value, np.float64).astype(np.float32).astype(np.float64))


def _grid(array: Any) -> float:
    """The largest power of two that divides every element."""
    return float(lowest_bit(torch.from_numpy(np.asarray(array, np.float64))).min()) if array.size else np.inf


def _products_round(x: torch.Tensor) -> int:
    """1 unless every element of ``x`` is zero or a power of two."""
    return int(bool((torch.frexp(x.abs())[0][x != 0] != 0.5).any()))


def _no_bias(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {"bias": np.zeros_like(arrays["bias"])} if "bias" in arrays else {}


def _with(node: nir.NIRNode, values: Mapping[str, Any]) -> nir.NIRNode:
    """A copy of ``node`` with other arrays, without the checks of its constructor."""
    made = object.__new__(type(node))
    made.__dict__.update({**vars(node), **values})
    return made


def _over_time(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    y = function(x.flatten(0, 1))
    return y.view(*x.shape[:2], *y.shape[1:])


def _late(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(x[:1]), x[:-1]])
