"""Average pooling as sum pooling, and back: sinabs, Norse and others know only one of them.

``AvgPool(x) = SumPool(x) / K`` with K elements in the window, and 1 / K (or K) moves into the weights behind
the pool (through flatten), or else, with the bias, into the weights before it: both are linear. Exact in
float32 when K is a power of two; otherwise every weight is rounded once.
"""

from __future__ import annotations

from math import prod
from typing import Any

import nir
import numpy as np

from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.fold_batchnorm import bias_of, with_weights
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import WEIGHT_NODES

Rewritten = tuple[dict[str, nir.NIRNode], dict[str, int], list[str]]
"""The nodes (edges stay), the rewritten pools with their K, and the pools that had to stay."""


def sum_pooling(nodes: dict[str, nir.NIRNode], edges: list[Edge]) -> Rewritten:
    """Rewrite every AvgPool2d that stands next to weights as a SumPool2d."""
    return _rewritten(nodes, edges, nir.AvgPool2d, nir.SumPool2d)


def average_pooling(nodes: dict[str, nir.NIRNode], edges: list[Edge]) -> Rewritten:
    """Rewrite every SumPool2d that stands next to weights as an AvgPool2d."""
    return _rewritten(nodes, edges, nir.SumPool2d, nir.AvgPool2d)


def _rewritten(
    nodes: dict[str, nir.NIRNode], edges: list[Edge], old: type[nir.NIRNode], new: type[nir.NIRNode]
) -> Rewritten:
    nodes = dict(nodes)
    rewritten: dict[str, int] = {}
    kept: list[str] = []
    for name, pool in list(nodes.items()):
        if not isinstance(pool, old):
            continue
        taking = _weights_behind(nodes, edges, name)
        before = [] if taking else _weights_before(nodes, edges, name)
        if not taking and not before:
            kept.append(name)
            continue
        window = prod(axes(pool.kernel_size, 2))
        for weights in taking:
            nodes[weights] = _scaled(nodes[weights], window, new, with_bias=False)
        for weights in before:
            nodes[weights] = _scaled(nodes[weights], window, new, with_bias=True)
        nodes[name] = new(pool.kernel_size, pool.stride, pool.padding, metadata=dict(pool.metadata))
        rewritten[name] = window
    return nodes, rewritten, kept


def _weights_behind(nodes: dict[str, nir.NIRNode], edges: list[Edge], name: str) -> list[str]:
    """The weight nodes that alone receive the output of ``name``; empty when anything else does."""
    found: list[str] = []
    for follower in [b for a, b in edges if a == name]:
        if sum(b == follower for _, b in edges) != 1:
            return []
        if isinstance(nodes[follower], WEIGHT_NODES):
            found.append(follower)
        elif isinstance(nodes[follower], nir.Flatten):
            behind = _weights_behind(nodes, edges, follower)
            if not behind:
                return []
            found.extend(behind)
        else:
            return []
    return found


def _weights_before(nodes: dict[str, nir.NIRNode], edges: list[Edge], name: str) -> list[str]:
    """The one weight node that feeds ``name`` and nothing else, or nothing."""
    before = [a for a, b in edges if b == name]
    if len(before) != 1 or not isinstance(nodes[before[0]], WEIGHT_NODES):
        return []
    return before if sum(a == before[0] for a, _ in edges) == 1 else []


def _scaled(node: nir.NIRNode, window: int, new: type[nir.NIRNode], *, with_bias: bool) -> nir.NIRNode:
    """``node`` with weights divided by ``window`` for a sum, multiplied for an average."""

    def scaled(values: Any) -> Any:
        return values / window if new is nir.SumPool2d else values * window

    bias = bias_of(node)
    if with_bias and bias is not None:
        bias = scaled(bias)
    return with_weights(node, scaled(np.asarray(node.weight, dtype=np.float64)), bias)
