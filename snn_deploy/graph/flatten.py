"""Dissolve nested graphs: inner nodes get the name ``outer.inner``, inner Input and Output become edges."""

from __future__ import annotations

import nir

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.graph.faults import Faults
from snn_deploy.graph.loops import Edge

MAX_NODES = 10_000
MAX_NESTED = 512
MAX_DEPTH = 16


def flatten(graph: nir.NIRGraph, faults: Faults) -> tuple[dict[str, nir.NIRNode], list[Edge]]:
    """Nodes and edges of ``graph`` without nesting; the order of edges into a node is kept.

    Raises:
        DataError: more than ``MAX_NODES`` nodes or ``MAX_NESTED`` nested graphs.
    """
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[Edge] = []
    doors: list[str] = []
    _expand(graph, "", 0, nodes, edges, doors, faults)
    for door in doors:
        edges = _contract(edges, door, faults)
    return {name: node for name, node in nodes.items() if name not in set(doors)}, edges


def _expand(
    graph: nir.NIRGraph,
    prefix: str,
    depth: int,
    nodes: dict[str, nir.NIRNode],
    edges: list[Edge],
    doors: list[str],
    faults: Faults,
) -> None:
    entries: dict[str, str] = {}
    exits: dict[str, str] = {}
    for name, node in graph.nodes.items():
        full = prefix + name
        if isinstance(node, nir.NIRGraph):
            inner = _doors(full, node, depth, faults)
            if inner is None:
                continue
            entries[name], exits[name] = inner
            doors.extend(inner)
            if len(doors) > 2 * MAX_NESTED:
                raise DataError(f"The graph holds more than {MAX_NESTED} nested graphs.")
            _expand(node, f"{full}.", depth + 1, nodes, edges, doors, faults)
        elif full in nodes:
            faults.damage.append(Problem(full, "two nodes get this name when nested graphs are dissolved"))
        else:
            nodes[full] = node
    if len(nodes) > MAX_NODES:
        raise DataError(f"The graph has more than {MAX_NODES} nodes.")
    edges.extend((exits.get(a, prefix + a), entries.get(b, prefix + b)) for a, b in graph.edges)


def _doors(full: str, node: nir.NIRGraph, depth: int, faults: Faults) -> tuple[str, str] | None:
    inputs = [name for name, inner in node.nodes.items() if isinstance(inner, nir.Input)]
    outputs = [name for name, inner in node.nodes.items() if isinstance(inner, nir.Output)]
    if len(inputs) == len(outputs) == 1 and depth < MAX_DEPTH:
        return f"{full}.{inputs[0]}", f"{full}.{outputs[0]}"
    what = f"nested graph with {len(inputs)} inputs and {len(outputs)} outputs on level {depth + 1}"
    faults.unsupported.append(Problem(full, what, rule=f"one input, one output, at most {MAX_DEPTH} levels"))
    return None


def _contract(edges: list[Edge], door: str, faults: Faults) -> list[Edge]:
    """Replace every path ``a -> door -> b`` by ``a -> b``."""
    before = [a for a, b in edges if b == door]
    if door in before:
        faults.damage.append(Problem(door, "feeds itself"))
    seen: set[Edge] = set()
    made: set[Edge] = set()
    kept: list[Edge] = []
    for a, b in edges:
        if b == door:
            continue
        for edge in [(source, b) for source in before] if a == door else [(a, b)]:
            if edge in seen and (a == door or edge in made):
                where = " -> ".join(edge)
                what = "doubled by dissolving a nested graph"
                faults.unsupported.append(Problem(where, what, rule="edges are unique"))
            elif edge[0] != door:
                kept.append(edge)
            seen.add(edge)
            if a == door:
                made.add(edge)
    return kept
