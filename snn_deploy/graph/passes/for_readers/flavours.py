"""A NIR file that one named reader executes exactly: ``--for norse``, ``--for sinabs`` ...

What differs between readers is in :mod:`snn_deploy.graph.passes.for_readers.consumers`, how neurons are
translated in :mod:`snn_deploy.graph.passes.for_readers.neurons`. What a reader would drop or change silently
is refused, all of it at once (:mod:`snn_deploy.graph.passes.for_readers.unreadable`). The semantics in the
file's metadata are those of the reader, so that the file read back by the reference simulator shows what that
reader will compute.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.for_readers.channel_order import channels_last
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.passes.for_readers.encoding import encoded, encoded_graph, input_shapes
from snn_deploy.graph.passes.for_readers.neurons import NeuronWriter
from snn_deploy.graph.passes.for_readers.plain_convs import is_plain, plain_convolution
from snn_deploy.graph.passes.for_readers.pooling import average_pooling, sum_pooling
from snn_deploy.graph.passes.for_readers.rules import EARLY_BIAS, early_biases, reader_rules
from snn_deploy.graph.passes.for_readers.unreadable import in_order, unreadable
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import Plan

NEURONS = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)
POOLS = {"sum": sum_pooling, "average": average_pooling}


@dataclass(slots=True)
class Flavour:
    """A graph for one reader, the passes that made it, and what the reader cannot do (then no graph)."""

    graph: nir.NIRGraph | None
    passes: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def flavour(plan: Plan, name: str, allow: Collection[str] = ()) -> Flavour:
    """The graph of ``plan`` as the reader ``name`` (a key of ``CONSUMERS``) must find it.

    ``allow``: rules that may be broken; here ``early-bias``.
    """
    return _Builder(plan, name, allow).build()


class _Builder:
    def __init__(self, plan: Plan, name: str, allow: Collection[str]) -> None:
        self.plan, self.name, self.reader = plan, name, CONSUMERS[name]
        self.semantics = read_semantics(plan.graph)
        self.allow = allow
        self.problems: list[Problem] = []
        self.passes: list[dict[str, Any]] = []
        self.nodes: dict[str, nir.NIRNode] = dict(plan.graph.nodes)
        self.edges: list[Edge] = list(plan.graph.edges)
        if self.reader.depth_first:
            self.edges = in_order(plan, self.edges)

    def build(self) -> Flavour:
        """Rewrite, check and encode."""
        self._pools()
        self._convolutions()
        self.problems += unreadable(self.plan, self.nodes, self.edges, self.reader)
        self.problems += reader_rules(self.name, self.plan, self.nodes)
        if self.reader.late and EARLY_BIAS not in self.allow:
            self.problems += early_biases(self.plan, self.nodes)
        if self.reader.channels_last:
            self._channels_last()
        written = {} if self.problems else self._written()
        if self.problems:
            return Flavour(None, problems=self.problems)
        stated = self.semantics.stating(
            dt=self.reader.dt, integrator=self.reader.integrator, fires_at=self.reader.fires_at
        )
        graph = encoded_graph(self.plan, written, self.edges, stated)
        if self.reader.typed and (refusal := type_check(graph)):
            rule = f"{self.reader.title} reads through NIR's type check"
            return Flavour(None, problems=[Problem("graph", refusal, rule)])
        what = {"pass": f"flavour for {self.reader.title}", "dt": self.reader.dt}
        return Flavour(graph, [*self.passes, {**what, "setup": list(self.reader.setup)}])

    def _pools(self) -> None:
        self.nodes, rewritten, _ = POOLS[self.reader.pooling](self.nodes, self.edges)
        if rewritten:
            self.passes.append({"pass": f"{self.reader.pooling}_pooling", "windows": rewritten})

    def _convolutions(self) -> None:
        changed = []
        for name, node in self.nodes.items():
            if isinstance(node, nir.Conv1d | nir.Conv2d) and not is_plain(node):
                self.nodes[name], problems = plain_convolution(name, node, square=self.reader.typed)
                self.problems += problems
                changed.append(name)
        if changed:
            self.passes.append({"pass": "plain_convolutions", "nodes": changed})

    def _channels_last(self) -> None:
        """Move the columns of the dense weights that stand right behind a Flatten."""
        inputs, moved = input_shapes(self.plan), []
        for a, b in self.edges:
            if isinstance(self.nodes[a], nir.Flatten) and isinstance(self.nodes[b], nir.Affine | nir.Linear):
                shape = inputs[a]
                if len(shape) == 3 and self.plan.shapes[a] == (int(np.prod(shape)),):
                    self.nodes[b] = channels_last(self.nodes[b], (shape[0], shape[1], shape[2]))
                    moved.append(b)
        if moved:
            self.passes.append({"pass": "channels_last", "nodes": moved})

    def _written(self) -> dict[str, nir.NIRNode]:
        """Every node in the reader's form; a neuron may become a chain of two."""
        neurons = NeuronWriter(self.name, self.reader, self.semantics)
        inputs = input_shapes(self.plan)
        written: dict[str, nir.NIRNode] = {}
        for name in self.plan.order:
            node = self.nodes[name]
            if isinstance(node, NEURONS):
                *before, last = neurons.rewrite(name, node, inputs[name]) or [node]
                for made in before:
                    written[self._put_before(name)] = made
                written[name] = last
            elif isinstance(node, nir.Linear) and not self.reader.linear:
                zeros = np.zeros(len(node.weight), np.float32)
                affine = nir.Affine(node.weight, zeros, metadata=dict(node.metadata))
                written[name] = encoded(affine, inputs[name])
            else:
                written[name] = encoded(node, inputs.get(name, ()))
        self.problems += neurons.problems
        return written

    def _put_before(self, name: str) -> str:
        """A new node that takes over the edges into ``name`` and feeds it."""
        made = f"{name}_current"
        while made in self.nodes:
            made += "_"
        self.edges = [(a, made if b == name else b) for a, b in self.edges] + [(made, name)]
        return made


def type_check(graph: nir.NIRGraph) -> str:
    """What the type check of the installed NIR has against ``graph``; empty when nothing."""
    nodes = {name: copy.copy(node) for name, node in graph.nodes.items()}
    try:
        nir.NIRGraph(nodes, list(graph.edges), metadata={}, type_check=True)
    except (ValueError, TypeError, IndexError, AssertionError, NotImplementedError) as error:
        return str(error)
    return ""
