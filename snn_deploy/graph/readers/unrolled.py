"""Forwards that handle time themselves: loops over steps, repeated inputs, folded time, means over time.

A traced value has a form that says where its time is; the nodes whose outputs it is the sum of are the same
in every step. A loop is followed step by step: every step must do the same, on the state that the step before
left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import fx, nn

from snn_deploy.graph.readers.builder import Builder, RefusalError, Terms
from snn_deploy.graph.readers.calling import Calling, Result
from snn_deploy.graph.readers.forms import Form, State, Value, accumulated, axes, called, is_zero
from snn_deploy.graph.readers.kinds import kind
from snn_deploy.graph.readers.modules import DROPPED, FLATTENS, NEURONS, ModuleError, is_known
from snn_deploy.graph.readers.shaped import BATCH, EXAMPLE
from snn_deploy.graph.readers.stepped_modules import STEPPED
from snn_deploy.graph.readers.tracing import function_name, is_sum
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.types import SPIKING_NODES

_SAME = {"contiguous", "clone", "detach", "float", "to"}
_SHAPING = {"view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "repeat", "expand"}
KNOWN = "layers, sums, flatten, and over time: loops, stack, mean, sum, view and flatten(0, 1), repeat"


class Unrolled(Builder):
    """Takes the operations of a graph that :class:`~snn_deploy.graph.readers.shaped.ShapedTracer` traced."""

    def __init__(
        self, module: nn.Module, in_shape: Shape, dt: float, form: Form, steps: int, *, known: bool
    ) -> None:
        super().__init__(module, in_shape, dt, 1)
        self._form, self._steps, self._known = form, steps, known
        self._found: dict[fx.Node, Any] = {}
        self._calls: dict[str, int] = {}
        self._fed: dict[str, tuple[Terms, Terms]] = {}
        self._placed: dict[tuple[str, Terms], tuple[Terms, Value]] = {}
        self._stepped: set[str] = set()
        self._repeats = False
        self._fires: set[str] = set()
        self.calling: Calling | None = None

    @property
    def fires_at(self) -> Literal[">=", ">"]:
        """The comparison of its neurons."""
        return ">" if "snntorch" in self._fires else ">="

    def add(self, node: fx.Node) -> None:
        """Take one traced operation; what needs a refused one is left out."""
        if any(operand not in self._found for operand in node.all_input_nodes):
            if node.op == "call_module" and not self._is_known(str(node.target)):
                self.problems.append(self._unknown(str(node.target)).problem)
            return
        args = [self._bare(argument) for argument in node.args]
        try:
            if node.op == "output":
                self._end(args[0])
            else:
                self._found[node] = self._take(node, args)
        except RefusalError as refusal:
            self.problems.append(refusal.problem)

    def _bare(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return self._found[argument]
        return [self._bare(item) for item in argument] if isinstance(argument, tuple | list) else argument

    def _is_known(self, path: str) -> bool:
        return is_known(self.modules[path]) or kind(type(self.modules[path])) in STEPPED

    def _take(self, node: fx.Node, args: list[Any]) -> Any:
        if node.op == "placeholder":
            if self.nodes and node.args:
                return node.args[0]
            return Value(self._placeholder(str(node.target)), self._form)
        if node.op == "get_attr":
            return node.meta[EXAMPLE]
        if node.op == "call_module":
            return self._call(str(node.target), node, args)
        return self._operate(node, args)

    def _call(self, path: str, node: fx.Node, args: list[Any]) -> Any:
        module, value = self.modules[path], args[0] if args else None
        if not self._is_known(path):
            raise self._unknown(path)
        if not isinstance(value, Value):
            raise RefusalError(
                path, "is not given a value of the network", "layers work on spikes and currents"
            )
        name = kind(type(module))
        if name in DROPPED:
            return value
        if name in NEURONS or name in STEPPED:
            return self._neuron(path, node, value, args[1:])
        if value.form in ("part", "mean", "sum"):
            raise RefusalError(path, "works on a sum or mean over time", "layers work in every step")
        if getattr(module, "step_mode", "s") == "m" and value.form != "sequence":
            raise RefusalError(path, f"a multi-step layer on a {value.form} value", "[T, B, ...]")
        key = path, value.terms
        if key in self._placed and (value.form == "still" or self._placed[key][1] != value):
            return replace(value, terms=self._placed[key][0])
        if name in FLATTENS:
            multi = (
                node.meta["per_step"] or getattr(module, "step_mode", "s") == "m" or value.form != "sequence"
            )
            terms = self._flatten(path, value.terms, module.start_dim, module.end_dim, 1 if multi else 2)
        else:
            terms = self._module(path, node, value.terms)
        self._placed[key] = terms, value
        return replace(value, terms=terms)

    def _neuron(self, path: str, node: fx.Node, value: Value, state: list[Any]) -> Any:
        module = self.modules[path]
        count = self._calls.get(path, 0)
        multi = getattr(module, "step_mode", "s") == "m"
        if value.form not in (("sequence",) if multi else ("still", "step")):
            rule = "multi-step neurons take [T, B, ...], others one step"
            way = "functional.set_step_mode(net, 's')" if multi else "functional.set_step_mode(net, 'm')"
            raise RefusalError(path, f"a neuron on a {value.form} value", rule, way)
        for held in state:
            if isinstance(held, State) and held == State(path, count - 1):
                continue
            if held is None or (isinstance(held, torch.Tensor) and count == 0 and not bool(held.any())):
                continue
            raise RefusalError(path, "is given a state that is not its own", "zeros, then what it returned")
        if value.form == "step" and value.step != count:
            raise RefusalError(
                path, f"its call {count} is on step {value.step}", "one call per step, in order"
            )
        if count == 0:
            self._fires.add(kind(type(module)).partition(".")[0])
            if len(self._fires) > 1:
                raise RefusalError(path, "neurons of two libraries", "one comparison in a network")
            self._fed[path] = value.terms, self._spikes(path, node, value.terms)
        elif multi or self._fed[path][0] != value.terms:
            raise RefusalError(path, "is called again with another input", "its state belongs to one place")
        self._calls[path] = count + 1
        self._stepped |= set() if multi else {path}
        terms = self._fed[path][1]
        spikes = Value(terms, "sequence") if multi else Value(terms, "step", count)
        if isinstance(node.meta[EXAMPLE], tuple):
            return (spikes, *(State(path, count) for _ in node.meta[EXAMPLE][1:]))
        return spikes

    def _spikes(self, path: str, node: fx.Node, terms: Terms) -> Terms:
        module = self.modules[path]
        if (convert := STEPPED.get(kind(type(module)))) is None:
            return self._module(path, node, terms)
        try:
            return self._place(path, convert(module, self._shape(path, terms), self.dt), terms)
        except ModuleError as error:
            what = f"{type(module).__name__}: {error}"
            raise RefusalError(path, what, "", error.try_instead) from None

    def _operate(self, node: fx.Node, args: list[Any]) -> Any:
        name, where = function_name(node), node.meta.get("path", "") or "forward"
        first = args[0] if args else None
        if name in _SAME:
            return first
        if name == "getitem":
            return self._item(where, first, args[1])
        if name == "zeros_like":
            return node.meta[EXAMPLE]
        if is_sum(node) and len(args) == 2 and not node.kwargs:
            return self._sum(where, args[0], args[1])
        if name == "unbind" and isinstance(first, Value) and first.form == "sequence":
            return tuple(Value(first.terms, "step", step) for step in range(self._steps))
        if name == "stack":
            return self._stack(where, first, node)
        if name in ("cat", "concat", "concatenate"):
            raise RefusalError(
                where,
                f"the operation '{name}', which concatenates",
                "NIR adds, it does not concatenate",
                "a layer on each of them, and the sum: conv_a(a) + conv_b(b)",
            )
        if name in ("mean", "sum") and isinstance(first, Value) and first.form == "sequence":
            if axes(node) != (0,):
                way = "x.mean(0), and AvgPool2d over space"
                raise RefusalError(
                    where, f"the operation '{name}' over axes other than time", "over axis 0", way
                )
            return Value(first.terms, "mean" if name == "mean" else "sum")
        if name in ("truediv", "div", "mul") and isinstance(first, Value):
            return self._scaled(where, name, first, args[1])
        if name in _SHAPING and isinstance(first, Value):
            return self._shaped(where, node, first)
        raise RefusalError(where, f"the operation '{name}'", KNOWN, "a layer or neuron that says the same")

    def _item(self, where: str, of: Any, index: Any) -> Any:
        if isinstance(of, tuple | list) and isinstance(index, int):
            return of[index]
        if isinstance(of, Value) and of.form == "sequence" and isinstance(index, int):
            return Value(of.terms, "step", index % self._steps)
        raise RefusalError(where, f"takes a part of a value: [{index}]", "x[t], one step", "a loop over x[t]")

    def _sum(self, where: str, left: Any, right: Any) -> Any:
        for zero, other in ((left, right), (right, left)):
            if is_zero(zero) and isinstance(other, Value):
                return other
        if not (isinstance(left, Value) and isinstance(right, Value)):
            raise RefusalError(where, "the operation 'add' of a constant", "sums of two values", "a bias")
        if (part := accumulated(left, right)) is not None:
            return part
        still = {v.form for v in (left, right)} == {"still", "step"}
        if not still and (left.form, left.step) != (right.form, right.step):
            raise RefusalError(where, "adds values of different steps", "values of one step")
        if set(left.terms) & set(right.terms):
            raise RefusalError(where, "a value added to itself", "edges are unique", "scaled weights")
        terms = (*left.terms, *right.terms)
        self._shape(where, terms)
        return replace(left if left.form == "step" else right, terms=terms)

    def _stack(self, where: str, values: Any, node: fx.Node) -> Any:
        dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        known = (
            [value for value in values if isinstance(value, Value)] if isinstance(values, Sequence) else []
        )
        alike = bool(known) and len(known) == len(values) and len({value.terms for value in known}) == 1
        if isinstance(values, Sequence) and values and all(isinstance(v, State) for v in values):
            return values[0]
        if dim == 0 and alike and all(value.form == "still" for value in known):
            return self._repeated(where, known[0], len(known))
        steps = [(value.form, value.step) for value in known]
        if dim != 0 or not alike or steps != [("step", step) for step in range(len(steps))]:
            raise RefusalError(
                where,
                "stacks other values than the steps of one",
                "time is axis 0, in order",
                "torch.stack(steps)",
            )
        return Value(known[0].terms, "sequence")

    def _repeated(self, where: str, value: Value, steps: int) -> Value:
        if self._known and steps != self._steps:
            what = f"repeats its input {steps} times; {self._steps} steps were asked for"
            raise RefusalError(where, what, "one number of steps", f"--timesteps {steps}")
        self._steps, self._repeats = steps, True
        return Value(value.terms, "sequence")

    def _scaled(self, where: str, name: str, value: Value, number: Any) -> Value:
        whole = value.form == "sum" or (value.form == "part" and value.count == self._total())
        if whole and isinstance(number, int | float):
            steps = number if name != "mul" else 1 / number if number else 0
            if math.isclose(steps, self._total()):
                return Value(value.terms, "mean")
        raise RefusalError(
            where,
            f"the operation '{name}', which scales",
            "a sum over all steps may be divided by T",
            "scaled weights",
        )

    def _total(self) -> int:
        """Steps that the forward runs."""
        return (
            max(self._calls.values(), default=1)
            if self._form == "still" and not self._repeats
            else self._steps
        )

    def _shaped(self, where: str, node: fx.Node, value: Value) -> Value:
        shape, given = self._shape(where, value.terms), node.meta[EXAMPLE]
        out = tuple(given.shape)
        source = node.all_input_nodes[0].meta[EXAMPLE]
        forms: list[tuple[Form, tuple[int, ...]]] = [("still", (BATCH,)), ("step", (BATCH,))]
        if value.form in ("sequence", "folded"):
            forms = [("sequence", (self._steps, BATCH)), ("folded", (self._steps * BATCH,))]
        elif (
            value.form == "still"
            and out[1:] == tuple(source.shape)
            and torch.equal(given, source.expand(out))
        ):
            return self._repeated(where, value, out[0]) if out[0] > 1 else value
        elif (
            value.form == "still" and function_name(node) in ("repeat", "expand") and len(out) == source.ndim
        ):
            return self._repeated(where, value, out[0])
        for form, lead in forms:
            rest = out[len(lead) :]
            if out[: len(lead)] != lead or (form in ("still", "step") and form != value.form):
                continue
            if rest == shape:
                return replace(value, form=form)
            if rest == (math.prod(shape),):
                path = node.meta.get("path", "")
                key = f"{path}.flatten" if path else "flatten", value.terms
                if key not in self._placed:
                    self._placed[key] = self._flatten(*key, -len(shape), -1, 0), value
                return Value(self._placed[key][0], form, value.step)
        raise RefusalError(
            where,
            f"{function_name(node)} to {out}",
            "time and batch axes stay apart, or are folded as one; the rest whole or flat",
            "flatten(2) of [T, B, ...], flatten(1) of one step",
        )

    def _end(self, result: Any) -> None:
        first = isinstance(result, tuple | list) and not any(isinstance(v, Value) for v in result[1:])
        if first and result:
            result = result[0]
        if not isinstance(result, Value):
            raise RefusalError(
                "forward",
                f"returns {called(result)}",
                "one tensor per step",
                "the output first, torch.stack(steps)",
            )
        counts = {self._calls[path] for path in self._stepped}
        loops = self._form == "still" and not self._repeats and counts not in (set(), {1})
        total = self._total()
        due = total if loops and not self._known else self._steps
        if counts - {due} and (loops or self._form == "sequence" or self._repeats):
            steps = ", ".join(str(count) for count in sorted(counts))
            what = f"runs {steps} steps; {due} were asked for"
            raise RefusalError("forward", what, "one number of steps", f"--timesteps {max(counts)}")
        alone = self._form == "still" and not self._repeats and not loops
        results: dict[Form, Result] = {"sequence": "steps", "mean": "mean", "sum": "sum"}
        kind_of: Result | None = results.get(result.form)
        if result.form == "step" or (alone and result.form == "still"):
            kind_of = "steps" if alone else "last" if result.step == total - 1 else None
        elif result.form == "part" and result.count == total:
            kind_of = "sum"
        outside = [term for term in result.terms if term not in self.modules]
        if kind_of is None or (kind_of != "steps" and outside):
            what = f"returns a {result.form} value"
            raise RefusalError(
                "forward", what, "every step, or their mean, sum or last", "torch.stack(steps)"
            )
        self._finish_with(result.terms)
        self.calling = Calling(
            time="sequence" if self._form == "sequence" else "steps" if alone else "repeats",
            result=kind_of,
            first=first,
            layers=tuple(name for name, node in self.nodes.items() if isinstance(node, SPIKING_NODES)),
            outputs=() if kind_of == "steps" else result.terms,
            timesteps=total if self._form == "still" and not alone else None,
        )
