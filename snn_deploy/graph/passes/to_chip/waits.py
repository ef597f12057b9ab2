"""How many steps spikes wait on their way from one population to another, in the hub and in a chain."""

from __future__ import annotations

from collections.abc import Iterator

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.dynamics import delay_steps
from snn_deploy.graph.plan import execution_order
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.types import INTEGRATOR_NODES, SPIKING_NODES

Span = tuple[int, int]
ENDS = (nir.Input, *SPIKING_NODES, *INTEGRATOR_NODES)


def waits(graph: nir.NIRGraph, semantics: Semantics) -> dict[str, dict[str, Span]]:
    """Per node and population before it, the fewest and the most steps that its spikes wait until they enter
    the node. An edge that closes a loop takes one."""
    order, late = execution_order(graph.nodes, graph.edges)
    found: dict[str, dict[str, Span]] = {}
    for name in (*order, *order):  # once more: a loop begins with what comes last
        entering: dict[str, Span] = {}
        for source, target in graph.edges:
            if target != name:
                continue
            closing = int((source, target) in late)
            for start, (least, most) in _leaving(graph.nodes[source], source, found, semantics).items():
                known = entering.get(start, (least + closing, most + closing))
                entering[start] = min(known[0], least + closing), max(known[1], most + closing)
        found[name] = entering
    return found


def _leaving(
    node: nir.NIRNode, name: str, entering: dict[str, dict[str, Span]], semantics: Semantics
) -> dict[str, Span]:
    if isinstance(node, ENDS):
        return {name: (0, 0)}
    before = entering.get(name, {})
    if not isinstance(node, nir.Delay):
        return before
    steps = delay_steps(node, semantics)
    return {start: (a + int(steps.min()), b + int(steps.max())) for start, (a, b) in before.items()}
