"""Nodes that take no part in what a graph computes: no input reaches them, or they reach no output.

They are the marks of a damaged export: a cycle of its own, a neuron whose edge got lost, a dead end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import nir

from snn_deploy.core.errors import Problem
from snn_deploy.graph.loops import Edge

NO_INPUT = "no input reaches this node"
NO_OUTPUT = "no output is reached from this node"
ALLOW = "unreachable"
"""The rule that ``--allow`` takes: such nodes are left out."""


def unreached(nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge]) -> list[Problem]:
    """Every node that is not on a way from an Input to an Output."""
    inputs = [name for name, node in nodes.items() if isinstance(node, nir.Input)]
    outputs = [name for name, node in nodes.items() if isinstance(node, nir.Output)]
    fed = _reached(inputs, edges)
    used = _reached(outputs, [(b, a) for a, b in edges])
    rule = "every node lies on a way from the input to the output"
    return [
        Problem(
            name,
            NO_INPUT if name not in fed else NO_OUTPUT,
            rule,
            try_instead=f"--allow {ALLOW}: leave it out",
        )
        for name in nodes
        if name not in fed or name not in used
    ]


def _reached(starts: Iterable[str], edges: Sequence[Edge]) -> set[str]:
    following: dict[str, list[str]] = {}
    for a, b in edges:
        following.setdefault(a, []).append(b)
    found, work = set(starts), list(starts)
    while work:
        for name in following.get(work.pop(), ()):
            if name not in found:
                found.add(name)
                work.append(name)
    return found
