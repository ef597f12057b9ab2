"""What a reader of NIR files drops, changes or refuses: found before a file is written for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.for_readers.consumers import Consumer
from snn_deploy.graph.passes.for_readers.plain_convs import unsquare
from snn_deploy.graph.plan import loop_groups
from snn_deploy.graph.types import INTEGRATOR_NODES, STATEFUL_NODES, WEIGHT_NODES, Plan


def unreadable(
    plan: Plan, nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge], reader: Consumer
) -> list[Problem]:
    """Every node and edge that ``reader`` would not execute if ``plan`` had ``nodes`` and ``edges``."""
    found = [problem for name in plan.order for problem in _node(name, nodes[name], reader)]
    found += _sums(plan, nodes, reader)
    found += _loops(plan, nodes, reader)
    if reader.depth_first:
        found += _order(plan, edges, reader)
    if len({name.replace(".", "_") for name in nodes}) < len(nodes):
        rule = f"{reader.title} takes both for one"
        found.append(Problem("graph", "names of nodes that differ only in '.' and '_'", rule))
    return found


def _node(name: str, node: nir.NIRNode, reader: Consumer) -> Iterator[Problem]:
    pool = isinstance(node, nir.AvgPool2d | nir.SumPool2d)
    if pool and not isinstance(node, reader.nodes):
        rule = f"{reader.title} knows {reader.pooling} pooling only, and the pool stands next to no weights"
        yield Problem(name, type(node).__name__, rule, try_instead="a convolution or dense layer next to it")
    elif not isinstance(node, reader.nodes):
        instead = "a spiking readout" if isinstance(node, INTEGRATOR_NODES) else ""
        yield Problem(name, type(node).__name__, f"{reader.title} does not read it", try_instead=instead)
    elif pool and np.any(node.padding) and not isinstance(node, reader.padded_pools):
        rule = f"{reader.title} ignores it"
        yield Problem(name, "a pool with padding", rule, try_instead="padding 0")
    elif isinstance(node, nir.Conv2d) and reader.typed and (problem := unsquare(name, node)):
        yield problem
    elif isinstance(node, nir.Conv2d) and np.any(np.not_equal(node.dilation, 1)) and not reader.dilation:
        yield Problem(name, f"a dilation of {node.dilation}", f"{reader.title} ignores it")


def _sums(plan: Plan, nodes: Mapping[str, nir.NIRNode], reader: Consumer) -> Iterator[Problem]:
    if reader.sums == "anywhere":
        return
    place = "the output" if reader.sums == "inside" else "a node"
    for name in plan.order:
        sources = [*plan.sources[name], *plan.feedback.get(name, ())]
        if len(sources) > 1 and (reader.sums == "nowhere" or isinstance(nodes[name], nir.Output)):
            rule = f"{reader.title} adds no edges into {place}"
            instead = "a layer behind the sum" if reader.sums == "inside" else ""
            yield Problem(name, f"the sum of {', '.join(sources)}", rule, try_instead=instead)


def _loops(plan: Plan, nodes: Mapping[str, nir.NIRNode], reader: Consumer) -> Iterator[Problem]:
    for name, sources in plan.feedback.items():
        if not reader.loops:
            rule = f"{reader.title} does not carry it to the next step"
            yield Problem(f"{', '.join(sources)} -> {name}", "a recurrent edge", rule)
        elif isinstance(nodes[name], WEIGHT_NODES) and np.any(getattr(nodes[name], "bias", 0.0)):
            rule = f"{reader.title} leaves it out in the first step"
            instead = "add it to the bias of the input weights"
            yield Problem(name, "a bias on recurrent weights", rule, try_instead=instead)
    for group in loop_groups(plan) if reader.loops == "one neuron" else ():
        neurons = [name for name in group if isinstance(nodes[name], STATEFUL_NODES)]
        if len(neurons) > 1:
            rule = f"{reader.title} delays another of its edges than we do"
            yield Problem(", ".join(neurons), f"a loop through {len(neurons)} neurons", rule)


def in_order(plan: Plan, edges: Sequence[Edge]) -> list[Edge]:
    """``edges`` so that a depth-first walk meets what we run first first."""
    rank = {name: position for position, name in enumerate(plan.order)}
    return sorted(edges, key=lambda edge: (rank[edge[0]], rank[edge[1]]))


def _order(plan: Plan, edges: Sequence[Edge], reader: Consumer) -> Iterator[Problem]:
    follow: dict[str, list[str]] = {}
    for a, b in edges:
        follow.setdefault(a, []).append(b)
    walk: dict[str, int] = {}
    waiting = [plan.input]
    while waiting:
        name = waiting.pop()
        if name not in walk:
            walk[name] = len(walk)
            waiting += reversed(follow.get(name, []))
    group = {name: number for number, names in enumerate(loop_groups(plan)) for name in names}
    for name, sources in plan.sources.items():
        early = [s for s in sources if walk[s] > walk[name] and group[s] != group[name]]
        if early:
            rule = (
                f"{reader.title} runs it before {', '.join(early)} and then adds the values of the last step"
            )
            yield Problem(name, "a sum of parallel branches", rule, try_instead="one branch that is an edge")
    if walk[plan.output] != len(walk) - 1:
        rule = f"{reader.title} returns the node that it runs last"
        yield Problem(plan.output, "an output that another node comes after", rule)
