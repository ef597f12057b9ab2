"""Walks the traced operations of a torch module and collects the nodes and edges of its graph."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from torch import fx, nn

from snn_deploy.core.errors import Problem
from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine
from snn_deploy.graph.readers.kinds import kind
from snn_deploy.graph.readers.modules import (
    CONVERTERS,
    DROPPED,
    FLATTENS,
    INSTEAD,
    MAXIMA,
    NEURONS,
    ModuleError,
    is_known,
)
from snn_deploy.graph.readers.stepped_modules import BY_FILE
from snn_deploy.graph.readers.tracing import flatten_arguments, function_name, is_sum
from snn_deploy.graph.shapes import Shape, ShapeError, flatten_range, output_shape
from snn_deploy.graph.types import SPIKING_NODES

OTHERWISE = "a layer or neuron of the table in docs/own.md, or a subclass that overrides nothing"
Terms = tuple[str, ...]
"""A value of the traced module: the nodes whose outputs it is the sum of."""


class RefusalError(Exception):
    """One operation that NIR cannot express."""

    def __init__(self, where: str, what: str, rule: str = "", try_instead: str = "") -> None:
        self.problem = Problem(where, what, rule=rule, try_instead=try_instead)
        super().__init__(what)


class Builder:
    """Walks the traced operations in order and collects nodes, edges, shapes and problems."""

    def __init__(self, module: nn.Module, in_shape: Shape, dt: float, leading: int) -> None:
        self.modules = dict(module.named_modules())
        self.dt = dt
        self.leading = leading
        self.in_shape = tuple(int(n) for n in in_shape)
        self.values: dict[fx.Node, Terms] = {}
        self.shapes: dict[str, Shape] = {}
        self.input = "input" if "input" not in self.modules else "input_node"
        self.output = "output" if "output" not in self.modules else "output_node"
        self._soft: dict[str, bool] = {}
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[Edge] = []
        self.problems: list[Problem] = []

    @property
    def soft(self) -> bool:
        """Whether the neurons reset by subtraction."""
        return any(self._soft.values())

    def add(self, node: fx.Node) -> None:
        """Take one traced operation. Behind a refused one shapes are unknown: only its kind is checked."""
        if any(operand not in self.values for operand in node.all_input_nodes):
            if node.op == "call_module" and not is_known(self.modules[str(node.target)]):
                self.problems.append(self._unknown(str(node.target)).problem)
            return
        direct = [operand for operand in node.args if isinstance(operand, fx.Node)]
        operands = [self.values[operand] for operand in (direct or node.all_input_nodes)]
        try:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(str(node.target))
            elif node.op == "call_module":
                self.values[node] = self._module(str(node.target), node, operands[0])
            elif node.op == "output":
                self._finish(node.args[0])
            else:
                self.values[node] = self._operation(node, operands)
        except RefusalError as refusal:
            self.problems.append(refusal.problem)

    def refuse(self, paths: list[str]) -> None:
        """Name modules that NIR has no node for."""
        self.problems.extend(self._unknown(path).problem for path in paths)

    def _placeholder(self, name: str) -> Terms:
        if self.nodes:
            raise RefusalError(name, "a second input", "exactly one input")
        self.nodes[self.input] = nir.Input({"input": np.array(self.in_shape)})
        self.shapes[self.input] = self.in_shape
        return (self.input,)

    def _module(self, path: str, node: fx.Node, terms: Terms) -> Terms:
        module = self.modules[path]
        if not is_known(module):
            raise self._unknown(path)
        if (name := kind(type(module))) in DROPPED:
            return terms
        if name in FLATTENS:
            folded = node.meta["per_step"] or getattr(module, "step_mode", "s") == "m"
            leading = 1 if folded else self.leading
            return self._flatten(path, terms, module.start_dim, module.end_dim, leading)
        if name in NEURONS:
            self._check_neuron(path, module)
        convert = {**CONVERTERS, **MAXIMA}[name]
        try:
            converted = convert(module, self._shape(path, terms), self.dt)
        except ModuleError as error:
            what = f"{type(module).__name__}: {error}"
            raise RefusalError(path, what, "", error.try_instead) from None
        return (self._maximum if name in MAXIMA else self._place)(path, converted, terms)

    def _maximum(self, path: str, total: nir.NIRNode, terms: Terms) -> Terms:
        """The largest of a window of spikes is 1 where their ``total`` is at least 1."""
        if not all(isinstance(self.nodes[term], SPIKING_NODES) for term in terms) or len(terms) > 1:
            raise RefusalError(
                path,
                f"MaxPool2d of {' + '.join(terms)}, which are not the spikes of one layer",
                "a maximum over spikes, 0 or 1, is a neuron",
                "pool right behind neurons, average (layer.AvgPool2d), or stride",
            )
        counted = self._place(f"{path}.sum", total, terms)
        return self._place(path, nir.Threshold(np.full(self.shapes[counted[0]], 0.5)), counted)

    def _unknown(self, path: str) -> RefusalError:
        name = type(self.modules[path]).__name__
        library = kind(type(self.modules[path])).partition(".")[0]
        way = INSTEAD.get(name, "") or BY_FILE.get(library, OTHERWISE)
        rule = "NIR has no node for it" if library not in BY_FILE else "not read from the module"
        return RefusalError(path, f"'{name}'", rule, way)

    def _check_neuron(self, path: str, module: nn.Module) -> None:
        if path in self._soft:
            raise RefusalError(path, "a neuron that is called twice", "its state belongs to one place")
        self._soft[path] = module.v_reset is None
        if len(set(self._soft.values())) > 1:
            kind = "subtracts the threshold" if self._soft[path] else "resets to a value"
            what = f"{kind}, unlike the neurons before it"
            raise RefusalError(path, what, "one kind of reset in a network")

    def _operation(self, node: fx.Node, operands: list[Terms]) -> Terms:
        path = node.meta.get("path", "")
        where = path or "forward"
        if is_sum(node) and len(operands) == 2:
            if set(operands[0]) & set(operands[1]):
                raise RefusalError(where, "a value added to itself", "edges are unique", "scaled weights")
            terms = (*operands[0], *operands[1])
            self._shape(where, terms)
            return terms
        name = function_name(node)
        if name == "contiguous":
            return operands[0]
        if name == "flatten":
            start, end = flatten_arguments(node)
            return self._flatten(
                f"{path}.flatten" if path else "flatten", operands[0], start, end, self.leading
            )
        raise RefusalError(where, f"the operation '{name}'", "layers, sums of two values, and flatten")

    def _flatten(self, path: str, terms: Terms, start: int, end: int, leading: int) -> Terms:
        if 0 <= start < leading or 0 <= end < leading:
            raise RefusalError(path, f"flattens axes {start} to {end}", "time and batch axes stay apart")
        shape = self._shape(path, terms)
        start, end = (axis - leading if axis >= 0 else axis for axis in (start, end))
        if len(shape) == 1:
            return terms
        try:
            flatten_range(start, end, len(shape))
        except ShapeError as error:
            raise RefusalError(path, str(error)) from None
        return self._place(path, nir.Flatten({"input": np.array(shape)}, start, end), terms)

    def _place(self, path: str, node: nir.NIRNode, terms: Terms) -> Terms:
        shape = self._shape(path, terms)
        try:
            out = shape if isinstance(node, ChannelAffine) else output_shape(node, shape)
        except ShapeError as error:
            raise RefusalError(path, f"{type(node).__name__}: {error}") from None
        if isinstance(node, ChannelAffine) and len(node.scale) != shape[0]:
            raise RefusalError(path, f"batch norm of {len(node.scale)} channels on an input of {shape}")
        name, count = path, 1
        while name in self.nodes:
            count += 1
            name = f"{path}:{count}"
        self.nodes[name], self.shapes[name] = node, out
        self.edges.extend((term, name) for term in terms)
        return (name,)

    def _shape(self, where: str, terms: Terms) -> Shape:
        shapes = {self.shapes[term] for term in terms}
        if len(shapes) > 1:
            listed = ", ".join(f"{term} {self.shapes[term]}" for term in terms)
            raise RefusalError(where, f"adds values of different shapes: {listed}", "no broadcasting")
        return self.shapes[terms[0]]

    def _finish(self, result: Any) -> None:
        if not isinstance(result, fx.Node):
            raise RefusalError("forward", f"returns {type(result).__name__}", "one tensor per step")
        self._finish_with(self.values[result])

    def _finish_with(self, terms: Terms) -> None:
        self.nodes[self.output] = nir.Output({"output": np.array(self._shape("forward", terms))})
        self.edges.extend((term, self.output) for term in terms)
