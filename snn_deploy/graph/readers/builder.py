"""Walks the traced operations of a torch module and collects the nodes and edges of its graph."""

from __future__ import annotations

from collections import Counter
from typing import Any

import nir
import numpy as np
from torch import fx, nn

from snn_deploy.core.errors import Problem
from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine
from snn_deploy.graph.readers.concatenation import joins, parts_of
from snn_deploy.graph.readers.kinds import kind
from snn_deploy.graph.readers.torch_modules import spikingjelly, started
from snn_deploy.graph.readers.torch_modules.conversion import Law, ModuleError, Neurons
from snn_deploy.graph.readers.torch_modules.known import (
    CONVERTERS,
    DROPPED,
    FLATTENS,
    INSTEAD,
    INSTEAD_IN,
    MAXIMA,
    NEURONS,
    is_known,
)
from snn_deploy.graph.readers.tracing import flatten_arguments, function_name, is_sum, made_name
from snn_deploy.graph.shapes import Shape, ShapeError, flatten_range, output_shape
from snn_deploy.graph.types import SPIKING_NODES

OTHERWISE = "a layer or neuron of the table in docs/own.md, or a subclass that overrides nothing"
CONCATENATIONS = ("cat", "concat", "concatenate")
Terms = tuple[str, ...]
"""A value of the traced module: the nodes whose outputs it is the sum of, or one concatenation of such."""


class RefusalError(Exception):
    """One operation that NIR cannot express, the rule, and what to try."""

    def __init__(self, where: str, what: str, rule: str, try_instead: str) -> None:
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
        self.law: Law | None = None
        self._firing = False
        self._soft: dict[str, bool] = {}
        self._joined: dict[str, tuple[Terms, ...]] = {}
        self.made_by: dict[str, str] = {}
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[Edge] = []
        self.problems: list[Problem] = []

    @property
    def soft(self) -> bool:
        """Whether spikingjelly's neurons reset by subtraction."""
        return any(self._soft.values())

    @property
    def layers(self) -> Terms:
        """Module paths of its neurons: those that stand for one node."""
        makers = Counter(self.made_by.values())
        return tuple(
            name
            for name, node in self.nodes.items()
            if isinstance(node, SPIKING_NODES) and name in self.modules and makers[self.made_by[name]] == 1
        )

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
            way = "give it the default None, or make it a buffer"
            raise RefusalError(name, "a second input", "exactly one input", way)
        self.nodes[self.input] = nir.Input({"input": np.array(self.in_shape)})
        self.shapes[self.input] = self.in_shape
        return (self.input,)

    def _module(self, path: str, node: fx.Node, terms: Terms) -> Terms:
        module = self.modules[path]
        if not is_known(module):
            raise self._unknown(path)
        name, inside = kind(type(module)), node.meta["inside"]
        if name in DROPPED:
            return terms
        if name in FLATTENS:
            folded = inside or getattr(module, "step_mode", "s") == "m"
            return self._flatten(path, terms, module.start_dim, module.end_dim, 1 if folded else self.leading)
        if name in NEURONS:
            if inside == "spikingjelly.SeqToANNContainer":
                rule, way = "there time is batch, and neurons remember nothing", "the neuron behind it"
                raise RefusalError(path, "a neuron in a SeqToANNContainer", rule, way)
            return self._neurons(path, module, terms)
        if name in MAXIMA:
            return self._maximum(path, module, terms)
        if name not in CONVERTERS:
            raise RefusalError(path, f"'{type(module).__name__}' on one value", "it joins two", OTHERWISE)
        return self._place(path, self._converted(path, module, terms), terms)

    def _converted(self, path: str, module: nn.Module, terms: Terms) -> Any:
        """The node of ``module``, or its :class:`Neurons`."""
        convert: Any = {**CONVERTERS, **MAXIMA, **NEURONS}[kind(type(module))]
        try:
            return convert(module, self._shape(path, terms), self.dt)
        except ModuleError as error:
            what = f"{type(module).__name__}: {error}"
            raise RefusalError(path, what, "", error.try_instead) from None

    def _neurons(self, path: str, module: nn.Module, terms: Terms) -> Terms:
        self._check_neuron(path, module)
        made: Neurons = self._converted(path, module, terms)
        self._agree(path, made)
        if made.front is not None:
            terms = self._place(f"{path}.{made.front[0]}", made.front[1], terms)
        spikes = self._place(path, made.node, terms)
        if made.back is not None:
            returned = self._place(f"{path}.{made.back[0]}", made.back[1], spikes)
            self.edges.extend((name, path) for name in returned)
            self._shape(path, (*returned, *spikes))
        return spikes

    def _agree(self, path: str, made: Neurons) -> None:
        """Neurons of one network mean the same by a step."""
        mine, known = made.law, self.law
        fires = isinstance(made.node, SPIKING_NODES)
        whole = fires and self._firing
        if known is not None and (known != mine if whole else known.integrator != mine.integrator):
            what = f"{mine.words}; before it {known.words}"
            raise RefusalError(path, what, "one law in a network", "neurons of one library, set up alike")
        if fires or known is None:
            self.law = mine
        self._firing |= fires

    def _maximum(self, path: str, module: nn.Module, terms: Terms) -> Terms:
        """The largest of a window of spikes is 1 where their total is at least 1."""
        alone = [part for term in terms for part in self._joined.get(term, ((term,),))]
        spikes = all(len(part) == 1 and isinstance(self.nodes[part[0]], SPIKING_NODES) for part in alone)
        if not spikes or len(terms) > 1 or (self.law and self.law.spikes != "one"):
            raise RefusalError(
                path,
                f"MaxPool2d of {' + '.join(terms)}, which are not the spikes of one layer",
                "a maximum over spikes, 0 or 1, is a neuron",
                "pool right behind neurons, average (layer.AvgPool2d), or stride",
            )
        counted = self._place(f"{path}.sum", self._converted(path, module, terms), terms)
        return self._place(path, nir.Threshold(np.full(self.shapes[counted[0]], 0.5)), counted)

    def _unknown(self, path: str) -> RefusalError:
        name = type(self.modules[path]).__name__
        library = kind(type(self.modules[path])).partition(".")[0]
        way = INSTEAD.get(name, "") or INSTEAD_IN.get(library, OTHERWISE)
        return RefusalError(path, f"'{name}'", "NIR has no node for it", way)

    def _check_neuron(self, path: str, module: Any) -> None:
        if path in self.nodes:
            way = "a neuron of its own for each place"
            raise RefusalError(path, "a neuron that is called twice", "its state belongs to one place", way)
        if kind(type(module)) not in {**spikingjelly.NEURONS, **started.NEURONS}:
            return
        self._soft[path] = module.v_reset is None
        if len(set(self._soft.values())) > 1:
            what = "subtracts the threshold" if self._soft[path] else "resets to a value"
            way = "v_reset=None in all neurons, or in none"
            raise RefusalError(
                path, f"{what}, unlike the neurons before it", "one kind of reset in a network", way
            )

    def _operation(self, node: fx.Node, operands: list[Terms]) -> Terms:
        where = node.meta.get("path", "") or "forward"
        name = function_name(node)
        if is_sum(node) and len(operands) == 2:
            return self._added(where, operands[0], operands[1])
        if name == "contiguous":
            return operands[0]
        if name == "flatten":
            start, end = flatten_arguments(node)
            return self._flatten(made_name(node, "flatten"), operands[0], start, end, self.leading)
        if name in CONCATENATIONS and isinstance(node.args[0], tuple | list):
            values = [self.values[part] for part in node.args[0] if isinstance(part, fx.Node)]
            rank = self.leading + len(self._shape(where, values[0][:1]))
            dim: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            return self._concatenated(where, values, dim % rank - self.leading)
        rule = "layers, sums of two values, flatten and cat"
        raise RefusalError(where, f"the operation '{name}'", rule, "a layer or neuron that says the same")

    def _added(self, where: str, left: Terms, right: Terms) -> Terms:
        if set(left) & set(right):
            raise RefusalError(where, "a value added to itself", "edges are unique", "scaled weights")
        terms = (*left, *right)
        self._shape(where, terms)
        if any(term in self._joined for term in terms):
            way = "add the parts, and concatenate the sums"
            raise RefusalError(where, "adds to a concatenation", "its parts add behind a layer", way)
        return terms

    def _concatenated(self, where: str, values: list[Terms], axis: int) -> Terms:
        """A value whose channels are those of all ``values``; ``axis`` counts without T and B."""
        parts = tuple(p for value in values for p in self._joined.get(value[0], (value,)))
        shapes = [self._shape(where, part) for part in parts]
        if axis != 0 or len({shape[1:] for shape in shapes}) > 1:
            what = f"concatenates {', '.join(map(str, shapes))} along their axis {axis}"
            raise RefusalError(
                where, what, "channels, or features, of equal maps", "torch.cat(maps, dim of C)"
            )
        name = f"[{', '.join(' + '.join(part) for part in parts)}]"
        self._joined[name] = parts
        self.shapes[name] = (sum(shape[0] for shape in shapes), *shapes[0][1:])
        return (name,)

    def _flatten(self, path: str, terms: Terms, start: int, end: int, leading: int) -> Terms:
        shape = self._shape(path, terms)
        if 0 <= start < leading or 0 <= end < leading:
            way = f"flatten({leading}), which keeps them"
            raise RefusalError(path, f"flattens axes {start} to {end}", "time and batch axes stay apart", way)
        start, end = (axis - leading if axis >= 0 else axis for axis in (start, end))
        if len(shape) == 1:
            return terms
        try:
            flatten_range(start, end, len(shape))
        except ShapeError as error:
            raise RefusalError(
                path, str(error), "", f"flatten({leading}), which keeps time and batch"
            ) from None
        return self._place(path, nir.Flatten({"input": np.array(shape)}, start, end), terms)

    def _place(self, path: str, node: nir.NIRNode, terms: Terms) -> Terms:
        shape = self._shape(path, terms)
        try:
            out = shape if isinstance(node, ChannelAffine) else output_shape(node, shape)
        except ShapeError as error:
            way = "a layer that fits, or the right shape of the input"
            raise RefusalError(path, f"{type(node).__name__}: {error}", "", way) from None
        if isinstance(node, ChannelAffine) and len(node.scale) != shape[0]:
            what = f"batch norm of {len(node.scale)} channels on an input of {shape}"
            raise RefusalError(path, what, "one number per channel", f"BatchNorm of {shape[0]} channels")
        if terms[0] in self._joined:
            return self._place_parts(path, node, self._joined[terms[0]])
        name, count = path, 1
        while name in self.nodes:
            count += 1
            name = f"{path}:{count}"
        self.nodes[name], self.shapes[name], self.made_by[name] = node, out, path
        self.edges.extend((term, name) for term in terms)
        return (name,)

    def _place_parts(self, path: str, node: nir.NIRNode, parts: tuple[Terms, ...]) -> Terms:
        """``node`` on a concatenation of ``parts``."""
        nodes = parts_of(node, [self._shape(path, part) for part in parts])
        if nodes is None:
            what = f"{type(node).__name__} on a concatenation"
            way = "one for each part, in front of torch.cat"
            raise RefusalError(path, what, "layers without groups, pools and flatten only", way)
        placed = [self._place(path, part, terms) for part, terms in zip(nodes, parts, strict=True)]
        if joins(node):
            return tuple(name for terms in placed for name in terms)
        return self._concatenated(path, placed, 0)

    def _shape(self, where: str, terms: Terms) -> Shape:
        shapes = {self.shapes[term] for term in terms}
        if len(shapes) > 1:
            listed = ", ".join(f"{term} {self.shapes[term]}" for term in terms)
            what, way = f"adds values of different shapes: {listed}", "layers that give equal shapes"
            raise RefusalError(where, what, "no broadcasting", way)
        return self.shapes[terms[0]]

    def _finish(self, result: Any) -> None:
        if not isinstance(result, fx.Node):
            way = "return the output alone, or first"
            raise RefusalError("forward", f"returns {type(result).__name__}", "one tensor per step", way)
        self._finish_with(self.values[result])

    def _finish_with(self, terms: Terms) -> None:
        if terms[0] in self._joined:
            way = "return one of them, or a layer on both"
            raise RefusalError(
                "forward", "returns what the operation 'cat' gives", "one value, or a sum", way
            )
        self.nodes[self.output] = nir.Output({"output": np.array(self._shape("forward", terms))})
        self.edges.extend((term, self.output) for term in terms)
