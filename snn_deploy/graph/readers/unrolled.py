"""Forwards that handle time themselves: loops over steps, repeated inputs, folded time, means over time.

A traced value has a form that says where its time is; the nodes whose outputs it is the sum of are the same
in every step. A loop is followed step by step: every step must do the same, on the state that the step before
left.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from snn_deploy.core.errors import Problem
from snn_deploy.graph.readers.builder import RefusalError, Terms
from snn_deploy.graph.readers.calling import Calling, Layout, Result
from snn_deploy.graph.readers.forms import LAID_OUT, REDUCED, Form, State, Value, called, unfolded
from snn_deploy.graph.readers.kinds import is_a, kind
from snn_deploy.graph.readers.over_time import RECURRENT, OverTime
from snn_deploy.graph.readers.shaped import EXAMPLE
from snn_deploy.graph.readers.torch_modules.known import (
    DROPPED,
    FLATTENS,
    FOLDS,
    NEURONS,
    SUMS,
    is_known,
    takes,
)
from snn_deploy.graph.shapes import Shape

_HAND_ON = "hand on what it returned: out, state = neuron(x[t], state)"
_KEEP = "a loop over x[t] in forward, or a state as argument with default None that is returned too"


class Unrolled(OverTime):
    """Takes the operations of a graph that :class:`~snn_deploy.graph.readers.shaped.ShapedTracer` traced.

    ``form``: what the module is given; ``carries``: its state of the step before, too.
    """

    def __init__(
        self,
        module: nn.Module,
        in_shape: Shape,
        dt: float,
        form: Form,
        example: tuple[int, int],
        *,
        known: bool,
        carries: bool = False,
    ) -> None:
        super().__init__(module, in_shape, dt, example, known=known)
        self._form, self._carries = form, carries
        self._found: dict[fx.Node, Any] = {}
        self._calls: dict[str, int] = {}
        self._fed: dict[str, tuple[Terms, Terms]] = {}
        self._stepped: set[str] = set()
        self._anew: set[str] = set()
        self._by_sample: set[str] = set()
        self._refused: set[str] = set()
        self.calling: Calling | None = None

    def add(self, node: fx.Node) -> None:
        """Take one traced operation; what needs a refused one is left out."""
        if any(operand not in self._found for operand in node.all_input_nodes):
            if node.op == "call_module" and not is_known(self.modules[str(node.target)]):
                self._refuse(node, self._unknown(str(node.target)).problem)
            return
        args = [self._bare(argument) for argument in node.args]
        kwargs = {name: self._bare(argument) for name, argument in node.kwargs.items()}
        try:
            if node.op == "output":
                self._end(args[0])
            else:
                where = node.meta.get("path", "") or "forward"
                self._found[node] = self._checked(where, node, self._take(node, args, kwargs))
        except RefusalError as refusal:
            self._refuse(node, refusal.problem)

    def _refuse(self, node: fx.Node, problem: Problem) -> None:
        """Keep a problem; of a module, and of steps that do the same, only the first."""
        path = str(node.target) if node.op == "call_module" else ""
        if problem not in self.problems and path not in self._refused:
            self.problems.append(problem)
        self._refused |= {path} - {""}

    def _bare(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return self._found[argument]
        if isinstance(argument, slice):
            return argument
        return [self._bare(item) for item in argument] if isinstance(argument, tuple | list) else argument

    def _take(self, node: fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if node.op == "placeholder":
            return Value(self._placeholder(str(node.target)), self._form)
        if node.op == "get_attr":
            return node.meta[EXAMPLE]
        if node.op == "call_module":
            return self._call(str(node.target), node, args, kwargs)
        return self._operate(node, args, kwargs)

    def _call(self, path: str, node: fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        module, value = self.modules[path], args[0] if args else None
        if not is_known(module):
            raise self._unknown(path)
        if not isinstance(value, Value):
            rule = "layers work on spikes and currents"
            way = f"its input first: layer(x); {RECURRENT}"
            raise RefusalError(path, "is not given a value of the network", rule, way)
        name = kind(type(module))
        if name in DROPPED:
            return value
        if name in NEURONS:
            names = list(inspect.signature(module.forward).parameters)[1:]
            return self._neuron(path, node, value, {**dict(zip(names, args[1:], strict=False)), **kwargs})
        if name in SUMS:
            return self._sum(path, value, args[1])
        if len(args) > 1 or kwargs:
            raise RefusalError(path, "a layer with more than one argument", "layer(x)", "leave the rest out")
        if value.form in REDUCED:
            rule, way = "layers work in every step", "the layer in front of the sum or mean"
            raise RefusalError(path, f"works on {value.words}", rule, way)
        if name in (*FLATTENS, *FOLDS):
            return self._shaped(path, path, node, value)
        multi = getattr(module, "step_mode", "s") == "m"
        if name == "spikingjelly.Delay" and not multi:
            way = "functional.set_step_mode(net, 'm')"
            raise RefusalError(path, "a delay in a loop over time", "it counts its own steps", way)
        if multi and value.form != "sequence":
            way = "functional.set_step_mode(net, 's')"
            raise RefusalError(path, f"a multi-step layer on {value.words}", LAID_OUT["sequence"], way)
        if (
            "BatchNorm" in name
            and value.form in ("sequence", "samples")
            and not (multi or node.meta["inside"])
        ):
            way = "x.flatten(0, 1) in front, and unflatten behind it"
            raise RefusalError(path, f"batch norm of {value.words}", "time is folded into the batch", way)
        terms = self._once(path, value.terms, functools.partial(self._module, path, node))
        if value.form in ("samples", "rows"):
            self._by_sample.add(path)
        return replace(value, terms=terms)

    def _neuron(self, path: str, node: fx.Node, value: Value, state: dict[str, Any]) -> Any:
        module, inside = self.modules[path], node.meta["inside"]
        count = self._calls.get(path, 0)
        own = "sequence" if inside == "spikingjelly.MultiStepContainer" else takes(module)
        if value.form not in (("still", "step") if own == "step" else (own,)) or value.axis is not None:
            due = LAID_OUT[own]
            way = f"give it {due}"
            if is_a(module, "spikingjelly.StepModule"):
                way = f"functional.set_step_mode(net, '{'s' if own == 'sequence' else 'm'}')"
            raise RefusalError(path, f"a neuron on {value.words}", f"it takes {due}", way)
        self._take_state(path, count, state)
        if value.form == "step" and value.step != count:
            what = f"its call {count} is on step {value.step}"
            way = "for t in range(len(x)): ... x[t], and a neuron of its own for each place"
            raise RefusalError(path, what, "one call per step, in order", way)
        if count == 0:
            self._fed[path] = value.terms, self._module(path, node, value.terms)
        elif own != "step" or self._fed[path][0] != value.terms:
            way = "a neuron of its own for each place"
            raise RefusalError(
                path, "is called again with another input", "its state belongs to one place", way
            )
        self._calls[path] = count + 1
        self._stepped |= {path} if own == "step" else set()
        self._by_sample |= {path} if own in ("samples", "rows") else set()
        terms = self._fed[path][1]
        spikes = Value(terms, "step", count) if own == "step" else replace(value, terms=terms)
        if isinstance(node.meta[EXAMPLE], tuple):
            return (spikes, *(State(path, count, i) for i in range(1, len(node.meta[EXAMPLE]))))
        return spikes

    def _take_state(self, path: str, count: int, state: dict[str, Any]) -> None:
        """What a call is given: at first nothing or zeros, then the states that the call before returned.

        It returns its spikes and its states in the order of its arguments, which may begin with its spikes.
        """
        names = list(inspect.signature(self.modules[path].forward).parameters)[1:]
        norse = kind(type(self.modules[path])).startswith("norse.")
        if norse and all(held is None for held in state.values()) and count:
            raise RefusalError(path, "forgets its state in every step", "it keeps none itself", _HAND_ON)
        if count == 0 and (norse or any(isinstance(held, torch.Tensor) for held in state.values())):
            self._anew.add(path)
        for name, held in state.items():
            place = names.index(name) + (0 if names[0] == "spk" else 1)
            mine = place == 0 and isinstance(held, Value) and held.form == "step"
            if held == State(path, count - 1, place):
                continue
            if mine and count and (held.step, held.terms) == (count - 1, self._fed[path][1]):
                continue
            if held is None or (isinstance(held, torch.Tensor) and count == 0 and not bool(held.any())):
                continue
            rule = "zeros, then what it returned"
            raise RefusalError(path, "is given a state that is not its own", rule, _HAND_ON)

    def _stack(self, where: str, values: Any, dim: int) -> Any:
        made = super()._stack(where, values, dim)
        if isinstance(made, Value) and len(values) != self.steps:
            if self._known or self._form != "still":
                raise self._wrong_steps(len(values))
            self.steps = len(values)
        return made

    def _wrong_steps(self, *counts: int) -> RefusalError:
        runs = ", ".join(str(count) for count in sorted(counts))
        what = f"runs {runs} steps; {self.steps} were asked for"
        return RefusalError("forward", what, "one number of steps", f"--timesteps {max(counts)}")

    def _total(self) -> int:
        loops = self._form == "still" and not self._repeats
        return max(self._calls.values(), default=1) if loops else self.steps

    def _end(self, result: Any) -> None:
        first = isinstance(result, tuple | list) and not any(isinstance(v, Value) for v in result[1:])
        result = result[0] if first and result else result
        if not isinstance(result, Value) or result.axis is not None:
            what = "what a neuron remembers" if isinstance(result, State) else called(result)
            way = "the output first, torch.stack(steps); for membranes an integrator that does not fire"
            raise RefusalError("forward", f"returns {what}", "one tensor per step", way)
        total, counts = self._total(), {self._calls[path] for path in self._stepped}
        still = self._form == "still" and not self._repeats
        loops = still and counts not in (set(), {1})
        due = total if loops and not self._known else self.steps
        if counts - {due} and (loops or not still):
            raise self._wrong_steps(*counts)
        alone = still and not loops
        if alone and self._anew:
            alone = self._one_step(sorted(self._anew))
        kind_of = self._result(result, alone=alone, total=total)
        outputs = () if kind_of == "steps" else self._outputs(result)
        self._finish_with(result.terms)
        layouts: dict[str, Layout] = {"samples": "samples", "rows": "rows", "folded": "folded"}
        times: Any = {"sequence": "sequence", "samples": "samples", "rows": "rows"}
        repeats = self._form == "still" and not alone
        self.calling = Calling(
            time="steps" if alone or self._carries else "repeats" if repeats else times[self._form],
            result=kind_of,
            layout=layouts.get(result.form, "sequence"),
            first=first or self._carries,
            carries=self._carries,
            layers=self.layers,
            outputs=outputs,
            by_sample=tuple(sorted(self._by_sample & {*self.layers, *outputs})),
            timesteps=total if repeats else None,
        )

    def _one_step(self, anew: list[str]) -> bool:
        """Neurons that begin anew in every call run one step each time: False."""
        if self._known and self.steps != 1:
            raise RefusalError(anew[0], "begins anew in every call of forward", "one run, one state", _KEEP)
        self.steps, self._repeats = 1, True
        return False

    def _result(self, result: Value, *, alone: bool, total: int) -> Result:
        if unfolded(result).form in ("sequence", "samples") or (alone and result.form in ("still", "step")):
            return "steps"
        if result.form == "mean":
            return "mean"
        if result.form == "sum" or (result.form == "part" and result.count == total):
            return "sum"
        if result.form == "step" and result.step == total - 1:
            return "last"
        what = f"returns {result.words}"
        raise RefusalError("forward", what, "every step, or their mean, sum or last", "torch.stack(steps)")

    def _outputs(self, result: Value) -> Terms:
        """The modules whose outputs add up to the result of a step, each of which is called on one value."""
        made = tuple(dict.fromkeys(self.made_by.get(term, term) for term in result.terms))
        for path in made:
            nodes = {name for name, maker in self.made_by.items() if maker == path}
            calls = [key for key in self._placed if key[0] == path]
            if path not in self.modules or not nodes <= set(result.terms) or len(calls) > 1:
                way = "return every step, torch.stack(steps)"
                raise RefusalError("forward", f"reduces '{path}' over time", "the output of a layer", way)
        return made
