"""What a forward does with time: picks steps, stacks them, folds and unfolds, transposes, repeats, averages.

Every operation is looked at with the values of an example. Where the steps of a value are is its form
(:mod:`snn_deploy.graph.readers.forms`); time and batch have different sizes, so that they are not mixed up.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import torch
from torch import fx, nn

from snn_deploy.graph.readers.builder import CONCATENATIONS, Builder, RefusalError, Terms
from snn_deploy.graph.readers.forms import (
    FOLDED,
    REDUCED,
    TIME_AXIS,
    TRANSPOSED,
    Form,
    State,
    Value,
    accumulated,
    argument,
    axes,
    is_zero,
    merged,
    picked,
    repeated,
    unfolded,
)
from snn_deploy.graph.readers.shaped import EXAMPLE
from snn_deploy.graph.readers.tracing import function_name, is_sum, made_name
from snn_deploy.graph.shapes import Shape

_SAME = {"contiguous", "clone", "detach", "float", "to"}
_DROPOUTS = {"dropout", "dropout1d", "dropout2d"}
_SHAPING = {"view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze"}
_SHAPING |= {"repeat", "repeat_interleave", "expand", "expand_as", "tile", "broadcast_to"}
_TRANSPOSING = {"transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis"}
_POOLS = {
    "avg_pool2d": nn.AvgPool2d,
    "max_pool2d": nn.MaxPool2d,
    "boolean_dispatch": nn.MaxPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
}
KNOWN = (
    "layers, sums, flatten, cat, and over time: loops, stack, mean, sum, view, flatten(0, 1), transpose, "
    "repeat"
)
RECURRENT = "for recurrence RLeaky of snnTorch or LIFRecurrentCell of Norse"
_SCORES = "leave it out: class scores are decoded after the network"
_WAYS = {
    **dict.fromkeys(("softmax", "log_softmax"), _SCORES),
    **dict.fromkeys(
        ("linear", "conv1d", "conv2d", "batch_norm"), "the module: nn.Linear, nn.Conv2d, nn.BatchNorm2d"
    ),
    **dict.fromkeys(("relu", "relu_", "sigmoid", "tanh"), "a spiking neuron"),
    **dict.fromkeys(("chunk", "split", "tensor_split"), "x.unbind(0), or x[t]"),
    **dict.fromkeys(("max", "amax"), "the mean, the sum or the last step, or return every step"),
    **dict.fromkeys(("mul", "truediv", "div"), "a VoltageScaler, or scaled weights"),
    **dict.fromkeys(_DROPOUTS, "training=self.training, or nn.Dropout"),
    "sub": "a layer with the opposite weights, and the sum",
    **dict.fromkeys(
        ("rand_like", "bernoulli", "gt", "lt", "ge", "le"), "make the spikes of the input before"
    ),
}


class OverTime(Builder):
    """Takes operations on values of all steps, or of some; ``example``: its T and B."""

    def __init__(
        self, module: nn.Module, in_shape: Shape, dt: float, example: tuple[int, int], *, known: bool
    ) -> None:
        super().__init__(module, in_shape, dt, 1)
        self.steps, self.batch = example
        self._known = known
        self._repeats = False
        self._placed: dict[tuple[str, Terms], Terms] = {}
        self._bases: dict[Terms, torch.Tensor] = {}

    def _checked(self, where: str, node: fx.Node, value: Any) -> Any:
        """``value``, whose example has the shape that its form says."""
        if not isinstance(value, Value):
            return value
        given = node.meta[EXAMPLE]
        given = given if isinstance(given, torch.Tensor) else given[0]
        due = (*value.lead(self.steps, self.batch), *self._shape(where, value.terms))
        if tuple(given.shape) != due or given.dtype != torch.float32:
            what = f"gives {tuple(given.shape)} of {given.dtype}, not {due}"
            raise RefusalError(where, what, "float32; layers work in every step alike", "float32, x[t] whole")
        if value.form == "still" and value.axis is None:
            self._bases[value.terms] = given
        return value

    def _operate(self, node: fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        name, where = function_name(node), node.meta.get("path", "") or "forward"
        first = args[0] if args else kwargs.get("input")
        if not any(isinstance(value, Value | State) for value in _flat([*args, *kwargs.values()])):
            return node.meta[EXAMPLE]
        if name in ("zeros_like", "new_zeros"):
            return node.meta[EXAMPLE]
        if is_sum(node) and len(args) == 2 and not kwargs:
            return self._sum(where, *args)
        if name == "stack":
            return self._stack(where, first, int(argument(node, 1, "dim", 0)))
        if name in CONCATENATIONS:
            return self._cat(where, first, int(argument(node, 1, "dim", 0)))
        if name in _SAME or (name in _DROPOUTS and not argument(node, 2, "training", True)):
            return first
        if name == "getitem" and isinstance(first, tuple | list):
            return first[args[1]]
        if isinstance(first, Value):
            return self._of_one(where, node, name, first)
        raise _unknown(where, name)

    def _of_one(self, where: str, node: fx.Node, name: str, value: Value) -> Any:
        if name == "getitem":
            return self._item(where, value, node.args[1])
        if name == "select" and isinstance(axis := argument(node, 1, "dim"), int):
            index = argument(node, 2, "index")
            return self._item(where, value, (*([slice(None)] * axis), index))
        if name == "unbind" and TIME_AXIS.get(value.form) == argument(node, 1, "dim", 0):
            return tuple(Value(value.terms, "step", step) for step in range(self.steps))
        if name in ("mean", "sum"):
            return self._reduced(where, node, name, value)
        if name in ("truediv", "div", "mul") and len(node.args) > 1:
            return self._scaled(where, name, value, node.args[1])
        if name in _SHAPING:
            return self._shaped(where, made_name(node, "flatten"), node, value)
        if name in _TRANSPOSING:
            return self._transposed(where, node, value)
        if name in _POOLS:
            return self._functional(where, node, name, value)
        raise _unknown(where, name)

    def _item(self, where: str, value: Value, index: Any) -> Value:
        step = picked(value.form, index)
        if step is None:
            way = "x[t] of [T, B, ...], or x[:, t] of [B, T, ...]"
            raise RefusalError(where, f"takes a part of a value: [{index}]", "one step of it", way)
        return Value(value.terms, "step", step % self.steps)

    def _sum(self, where: str, left: Any, right: Any) -> Any:
        for zero, other in ((left, right), (right, left)):
            if is_zero(zero) and isinstance(other, Value):
                return other
        if not (isinstance(left, Value) and isinstance(right, Value)):
            raise RefusalError(where, "the operation 'add' of a constant", "sums of two values", "a bias")
        if (part := accumulated(left, right)) is not None:
            return part
        still = {v.form for v in (left, right)} == {"still", "step"} and left.axis == right.axis
        if not still and replace(left, terms=()) != replace(right, terms=()):
            what = f"adds {left.words} and {right.words}"
            rule, way = "values of one step, laid out alike", f"x[t] of both; {RECURRENT}"
            raise RefusalError(where, what, rule, way)
        terms = self._added(where, left.terms, right.terms)
        return replace(left if left.form == "step" else right, terms=terms)

    def _stack(self, where: str, values: Any, dim: int) -> Any:
        known = [value for value in _flat([values]) if isinstance(value, Value)]
        if isinstance(values, Sequence) and values and all(isinstance(v, State) for v in values):
            return values[0]
        forms: dict[int, Form] = {0: "sequence", 1: "samples"}
        alike = bool(known) and len(known) == len(values) and len({value.terms for value in known}) == 1
        bare = alike and dim in forms and all(value.axis is None for value in known)
        if bare and all(value.form == "still" for value in known):
            return self._repeated(where, known[0], forms[dim], len(known))
        steps = [(value.form, value.step) for value in known]
        if not bare or steps != [("step", step) for step in range(len(steps))]:
            rule = "all steps of one value in order, time as axis 0 or 1"
            raise RefusalError(where, "stacks other values than the steps of one", rule, "torch.stack(steps)")
        return Value(known[0].terms, forms[dim])

    def _cat(self, where: str, values: Any, dim: int) -> Value:
        known = [value for value in _flat([values]) if isinstance(value, Value)]
        if len(known) != len(values) or len({replace(v, terms=(), step=0) for v in known}) > 1:
            rule = "values of one step, laid out alike"
            raise RefusalError(
                where, "concatenates unlike values", rule, "torch.cat inside the loop over steps"
            )
        if known[0].axis is not None and dim == known[0].axis:
            stacked: Value = self._stack(where, [replace(value, axis=None) for value in known], dim)
            return stacked
        if len({value.step for value in known}) > 1:
            rule, way = "time is an axis of its own", "torch.stack(steps)"
            raise RefusalError(where, "concatenates different steps", rule, way)
        lead = len(known[0].lead(self.steps, self.batch))
        rank = lead + len(self._shape(where, known[0].terms[:1]))
        terms = self._concatenated(where, [value.terms for value in known], dim % rank - lead)
        return replace(known[0], terms=terms)

    def _repeated(self, where: str, value: Value, form: Form, steps: int) -> Value:
        if (self._known or self._repeats) and steps != self.steps:
            what = f"repeats its input {steps} times; {self.steps} steps were asked for"
            raise RefusalError(where, what, "one number of steps", f"--timesteps {steps}")
        self.steps, self._repeats = steps, True
        return Value(value.terms, form)

    def _reduced(self, where: str, node: fx.Node, name: str, value: Value) -> Value:
        rank = node.all_input_nodes[0].meta[EXAMPLE].ndim
        over, shape = axes(node, rank), self._shape(where, value.terms)
        if not argument(node, 2, "keepdim", False):
            if over == (TIME_AXIS.get(value.form),):
                return Value(value.terms, "mean" if name == "mean" else "sum")
            if len(shape) == 3 and sorted(over) == [rank - 2, rank - 1] and value.form not in REDUCED:
                kernel = np.array(shape[1:], dtype=np.int64)
                pool = nir.AvgPool2d if name == "mean" else nir.SumPool2d
                return replace(
                    value, terms=self._pooled(node, pool(kernel, kernel, np.zeros(2, np.int64)), value)
                )
        way = "x.mean(0) over time of [T, B, ...], x.mean((-2, -1)) over maps; a sum alike"
        what = f"the operation '{name}' over the axes {over} of {value.words}"
        raise RefusalError(where, what, "over time, or over whole maps, without keepdim", way)

    def _pooled(self, node: fx.Node, pool: nir.NIRNode, value: Value) -> Terms:
        path = made_name(node, function_name(node))

        def place(terms: Terms) -> Terms:
            return self._flatten(f"{path}.flatten", self._place(path, pool, terms), 1, -1, 1)

        return self._once(path, value.terms, place)

    def _once(self, key: str, terms: Terms, place: Callable[[Terms], Terms]) -> Terms:
        """What ``place`` makes of ``terms``; every step that asks for ``key`` gets the same."""
        if (key, terms) not in self._placed:
            self._placed[key, terms] = place(terms)
        return self._placed[key, terms]

    def _functional(self, where: str, node: fx.Node, name: str, value: Value) -> Value:
        """Pooling by a function: as the module with the same arguments."""
        module = _POOLS[name](*node.args[1:], **{k: v for k, v in node.kwargs.items() if k != "input"})
        path = made_name(node, name.replace("boolean_dispatch", "max_pool2d"))

        def place(terms: Terms) -> Terms:
            if isinstance(module, nn.MaxPool2d):
                return self._maximum(path, module, terms)
            return self._place(path, self._converted(where, module, terms), terms)

        return replace(value, terms=self._once(f"{path} {module}", value.terms, place))

    def _scaled(self, where: str, name: str, value: Value, number: Any) -> Value:
        whole = value.form == "sum" or (value.form == "part" and value.count == self._total())
        if whole and isinstance(number, int | float):
            steps = number if name != "mul" else 1 / number if number else 0
            if math.isclose(steps, self._total()):
                return Value(value.terms, "mean")
        rule = "a sum over all steps may be divided by T"
        raise RefusalError(where, f"the operation '{name}', which scales", rule, _WAYS[name])

    def _total(self) -> int:
        """Steps that the forward runs."""
        raise NotImplementedError

    def _transposed(self, where: str, node: fx.Node, value: Value) -> Value:
        source, given = node.all_input_nodes[0].meta[EXAMPLE], node.meta[EXAMPLE]
        if value.form in TRANSPOSED and torch.equal(source.transpose(0, 1), given):
            return replace(value, form=TRANSPOSED[value.form])
        what = f"{function_name(node)} of {value.words}"
        raise RefusalError(where, what, "time and batch may change places, no others", "x.transpose(0, 1)")

    def _layouts(self, value: Value) -> Iterator[Value]:
        """The forms that reshaping can give ``value``."""
        if value.form in ("still", "step"):
            yield from (replace(value, axis=axis) for axis in (None, 0, 1))
        elif value.form in REDUCED:
            yield value
        else:
            wide = unfolded(value)
            yield wide
            yield replace(wide, form=FOLDED[wide.form])

    def _shaped(self, where: str, path: str, node: fx.Node, value: Value) -> Value:
        shape, given = self._shape(where, value.terms), node.meta[EXAMPLE]
        out = tuple(given.shape)
        for layout in self._layouts(value):
            lead = layout.lead(self.steps, self.batch)
            rest = out[len(lead) :]
            if out[: len(lead)] != lead:
                continue
            if rest == shape:
                return layout
            if (span := merged(shape, rest)) is not None:
                flatten = functools.partial(self._flatten, path, start=span[0], end=span[1], leading=0)
                return replace(layout, terms=self._once(f"{path} {span}", value.terms, flatten))
        if value.form == "still" and (found := repeated(given, self._bases[value.terms])) is not None:
            return self._repeated(where, value, *found)
        raise RefusalError(
            where,
            f"{function_name(node)} of {value.words} to {out}",
            "time and batch axes stay apart, or are folded as one; the rest whole or with axes made one",
            "flatten(2) of [T, B, ...], flatten(1) of one step",
        )


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _flat(value)
        else:
            yield value


def _unknown(where: str, name: str) -> RefusalError:
    way = _WAYS.get(name, "a layer or neuron that says the same")
    return RefusalError(where, f"the operation '{name}'", KNOWN, way)
