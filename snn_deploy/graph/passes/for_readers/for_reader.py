"""The last passes of a file that one named reader executes exactly: ``--for norse``, ``--for sinabs`` ...

What differs between readers is in :mod:`snn_deploy.graph.passes.for_readers.consumers`, how neurons are
translated in :mod:`snn_deploy.graph.passes.for_readers.neurons`. What a reader would drop or change silently
is refused, all of it at once (:mod:`snn_deploy.graph.passes.for_readers.unreadable`). The semantics in the
file's metadata are those of the reader, so that the file read back by the reference simulator shows what that
reader will compute.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import nir
import numpy as np

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS, Consumer
from snn_deploy.graph.passes.for_readers.encoding import door_origins, encoded, encoded_graph
from snn_deploy.graph.passes.for_readers.neurons import NeuronWriter, dynamics_kept
from snn_deploy.graph.passes.for_readers.rules import EARLY_BIAS, early_biases, reader_rules
from snn_deploy.graph.passes.for_readers.unreadable import in_order, unreadable
from snn_deploy.graph.passes.journal import Names
from snn_deploy.graph.passes.keeps import GraphChange, GraphPass
from snn_deploy.graph.passes.protocol import Made
from snn_deploy.graph.plan import input_shapes, make_plan
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.types import Plan

NEURONS = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)


@dataclass(frozen=True)
class DepthFirst(GraphPass):
    """Edges in the order in which a depth-first walk meets first what we run first."""

    name: ClassVar[str] = "depth_first_edges"

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """The same nodes; several edges into one of them may add in another order."""
        edges = in_order(make_plan(before), before.edges)
        if edges == list(before.edges):
            return Made(before)
        return Made(nir.NIRGraph(before.nodes, edges, metadata=dict(before.metadata), type_check=False))


@dataclass(frozen=True)
class ForReader(GraphPass):
    """Neurons in the arithmetic of the reader called ``reader`` (a key of ``CONSUMERS``), encoded for a file.

    ``allow``: rules that may be broken; here ``early-bias``.
    """

    name: ClassVar[str] = "flavour"
    changes: ClassVar[frozenset[str]] = frozenset({"neurons", "semantics"})
    reader: str
    allow: tuple[str, ...] = ()

    @property
    def _facts(self) -> Consumer:
        return CONSUMERS[self.reader]

    @property
    def title(self) -> str:
        """With the name and version of the reader."""
        return f"flavour for {self._facts.title}"

    def requires(self, before: nir.NIRGraph) -> Iterable[Problem]:
        """The reader executes every node and edge, in our order."""
        plan = make_plan(before)
        yield from unreadable(plan, before.nodes, before.edges, self._facts)
        yield from reader_rules(self.reader, plan, before.nodes)
        if self._facts.late and EARLY_BIAS not in self.allow:
            yield from early_biases(plan, before.nodes)

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """The graph in the reader's terms; ``setup`` is what its user must do.

        Raises:
            UnsupportedError: neurons that the reader cannot be, or a graph that NIR's type check refuses.
        """
        plan = make_plan(before)
        origins: dict[str, Names] = door_origins(plan)
        nodes, edges = self._translated(plan, origins)
        graph = encoded_graph(plan, nodes, edges, self._stated(before))
        if self._facts.typed and (refusal := type_check(graph)):
            rule = f"{self._facts.title} reads through NIR's type check"
            raise UnsupportedError("NIR refuses the graph.", problems=[Problem("graph", refusal, rule)])
        return Made(graph, origins, {"dt": self._facts.dt, "setup": list(self._facts.setup)})

    def ensures(self, change: GraphChange) -> Iterable[Problem]:
        """Neurons compute the same in the reader's arithmetic, which the metadata state."""
        yield from super().ensures(change)
        yield from dynamics_kept(change)
        if read_semantics(change.after) != self._stated(change.before):
            yield Problem("graph", "other semantics than the reader's", f"those of {self._facts.title}")

    def _stated(self, graph: nir.NIRGraph) -> Semantics:
        reader = self._facts
        return read_semantics(graph).stating(
            dt=reader.dt, integrator=reader.integrator, fires_at=reader.fires_at
        )

    def _translated(self, plan: Plan, origins: dict[str, Names]) -> tuple[dict[str, nir.NIRNode], list[Edge]]:
        """Every node in the reader's form; a neuron may become a chain of two, the first under a new name."""
        neurons = NeuronWriter(self.reader, self._facts, read_semantics(plan.graph))
        entering = input_shapes(plan)
        written: dict[str, nir.NIRNode] = {}
        edges = list(plan.graph.edges)
        for name in plan.order:
            node = plan.node(name)
            if isinstance(node, NEURONS):
                *first, last = neurons.rewrite(name, node, entering[name]) or [node]
                for current in first:
                    made = _free_name(f"{name}_current", plan.graph.nodes)
                    written[made], origins[made] = current, (name,)
                    edges = [(a, made if b == name else b) for a, b in edges] + [(made, name)]
                written[name] = last
            elif isinstance(node, nir.Linear) and not self._facts.linear:
                zeros = np.zeros(len(node.weight), np.float32)
                affine = nir.Affine(node.weight, zeros, metadata=dict(node.metadata))
                written[name] = encoded(affine, entering[name])
            else:
                written[name] = encoded(node, entering.get(name, ()))
        if neurons.problems:
            message = f"{self._facts.title} cannot compute these neurons."
            raise UnsupportedError(message, problems=neurons.problems)
        return written, edges


def _free_name(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "_"
    return name


def type_check(graph: nir.NIRGraph) -> str:
    """What the type check of the installed NIR has against ``graph``; empty when nothing."""
    nodes = {name: copy.copy(node) for name, node in graph.nodes.items()}
    try:
        nir.NIRGraph(nodes, list(graph.edges), metadata={}, type_check=True)
    except (ValueError, TypeError, IndexError, AssertionError, NotImplementedError) as error:
        return str(error)
    return ""
