r"""What float32 rounding can do to a node's output: its value in float64, and a bound on the error of every
float32 execution.

With u = 2^-24 and gamma_n = n u / (1 - n u), a sum of n terms with exact products is off by at most
gamma_{n-1} sum |w x| whatever the order of summation, and by gamma_n sum |w x| when the products round too
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, sections 3.1 and 4.2). Here n
counts the terms that are not zero, and products with powers of two (spikes are 1) do not round. Errors that
arrive with the input are carried on by sum |w| e.

**Exact sums.** When all terms are multiples of one power of two q and sum |w x| <= 2^24 q, every partial sum
in every order is a float32 number: the bound is 0. Integer weights and spikes give that.

**Neurons** follow in :mod:`snn_deploy.export.proof.membranes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.export.proof.membranes import membranes
from snn_deploy.export.proof.rounded import (
    MANTISSA,
    UNIT,
    Decision,
    Rounded,
    add,
    float32,
    gamma,
    is_float32,
    is_power_of_two,
    lowest_bit,
)
from snn_deploy.graph.dynamics import Neuron, discretise, parameters
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.shapes import Shape, axes
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.simulate.layers import DelayLayer, stateless
from snn_deploy.simulate.neurons import DelayState

FOLDED = 8
"""Further roundings per sum where the reference applies a batch norm that the graph has folded into its
weights: scale, shift, product and sum in float32, and the rounded weights. Our choice."""

GRID_PIECE = 2**18

_MAGNITUDE_SLACK = 1.0 + 2.0**-10
"""Magnitudes are summed in float32, which rounds too."""


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
        self._grids: dict[str, tuple[float, float]] = {}
        """Of nodes with weights, the powers of two that divide all weights and all biases."""

    def sum(self, terms: Sequence[Rounded]) -> Rounded:
        """What enters a node: the sum of its sources."""
        return add(terms, self._slack)

    def sums(self, name: str, x: Rounded) -> torch.Tensor:
        """Output of a node with weights, without its bound."""
        node = self.plan.node(name)
        function = self._cached(name, lambda: self._function(_with(node, parameter_arrays(node))))
        return _over_time(function, x.value)

    def output(self, name: str, x: Rounded, sums: torch.Tensor | None = None) -> Rounded:
        """Output of the node ``name`` for the summed input ``x [T, B, *shape]``; not for spiking nodes.
        ``sums``: of a node with weights, where they are known."""
        node = self.plan.node(name)
        if isinstance(node, WEIGHT_NODES):
            return self._weights(name, node, x, self.sums(name, x) if sums is None else sums)
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
        return Decision.of(fire, membrane)

    def neuron(self, name: str) -> Neuron:
        """Discrete-time form of a neuron node."""
        found: Neuron = self._cached(name, lambda: discretise(self.plan.node(name), self._semantics))
        return found

    def distinct(self, name: str) -> Shape:
        """The shape of a spiking layer, with one element along axes in which its neurons are all alike."""
        shape = self.plan.shapes[name]
        sizes = [np.shape(value) for value in parameters(self.plan.node(name)).values()]
        return np.broadcast_shapes((1,) * len(shape), *sizes)

    def forget(self, name: str) -> None:
        """Drop what was made for a node: its weights in float64."""
        self._made.pop(name, None)

    def _cached(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _function(self, node: nir.NIRNode, dtype: torch.dtype = torch.float64) -> Any:
        return stateless(node, self._semantics, dtype, torch.device("cpu"))

    def _weights(self, name: str, node: nir.NIRNode, x: Rounded, sums: torch.Tensor) -> Rounded:
        arrays = parameter_arrays(node)
        weight = arrays["weight"]
        if name not in self._grids:
            self._grids[name] = _grid(weight), _grid(arrays["bias"]) if "bias" in arrays else np.inf
        grid, bias_grid = self._grids[name]
        magnitudes = self._in_float32(node, np.abs, x.value.abs()) * _MAGNITUDE_SLACK
        terms = self._in_float32(node, _ones, x.value != 0)
        quantum = min(grid * float(lowest_bit(x.value).min()), bias_grid)
        rounds = (terms - 1 + _products_round(x.value)).clamp(min=0) + self._slack * (terms > 0)
        bound = torch.where(magnitudes <= MANTISSA * quantum, 0.0, gamma(rounds) * magnitudes)
        if bool(x.error.any()):
            carried = _with(node, {"weight": np.abs(weight), **_no_bias(arrays)})
            bound += _over_time(self._function(carried), x.error) * _MAGNITUDE_SLACK
        return Rounded(sums, bound)

    def _in_float32(self, node: nir.NIRNode, change: Callable[[Any], Any], x: torch.Tensor) -> torch.Tensor:
        """What a node gives for ``x`` with changed weights, which are not kept: they may be large."""
        changed = {key: change(array) for key, array in parameter_arrays(node).items()}
        return _over_time(self._function(_with(node, changed), torch.float32), x.float()).double()

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


def parameter_arrays(node: nir.NIRNode) -> dict[str, npt.NDArray[np.float32]]:
    """Weights, and biases where there are any, as every float32 execution takes them."""
    names = ("weight", "bias") if hasattr(node, "bias") else ("weight",)
    return {name: np.asarray(getattr(node, name), np.float32) for name in names}


def _ones(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    ones: npt.NDArray[np.float32] = (array != 0).astype(np.float32)
    return ones


def _grid(array: npt.NDArray[np.float32]) -> float:
    """The largest power of two that divides every element; in pieces, since each takes several copies."""
    pieces = torch.split(torch.from_numpy(array.reshape(-1)), GRID_PIECE) if array.size else ()
    return min((float(lowest_bit(piece).min()) for piece in pieces), default=float("inf"))


def _products_round(x: torch.Tensor) -> int:
    """1 unless every element of ``x`` is zero or a power of two."""
    return int(not bool(is_power_of_two(x).all()))


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
