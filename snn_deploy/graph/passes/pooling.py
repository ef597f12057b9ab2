"""Average pooling as sum pooling: sinabs, Norse and others know only the latter.

``AvgPool(x) = SumPool(x) / K`` with K elements in the window, and 1 / K moves into the weights behind the
pool (through flatten), or else, with the bias, into the weights before it: both are linear. Exact in float32
when K is a power of two; otherwise every weight is rounded once.
"""

from __future__ import annotations

from math import prod

import nir
import numpy as np

from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.fold_batchnorm import bias_of, with_weights
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import WEIGHT_NODES


def sum_pooling(
    nodes: dict[str, nir.NIRNode], edges: list[Edge]
) -> tuple[dict[str, nir.NIRNode], dict[str, int], list[str]]:
    """Rewrite every AvgPool2d that stands next to weights.

    Returns:
        The nodes (edges stay), the rewritten pools with their K, and the pools that had to stay.
    """
    nodes = dict(nodes)
    rewritten: dict[str, int] = {}
    kept: list[str] = []
    for name, pool in list(nodes.items()):
        if not isinstance(pool, nir.AvgPool2d):
            continue
        taking = _weights_behind(nodes, edges, name)
        before = [] if taking else _weights_before(nodes, edges, name)
        if not taking and not before:
            kept.append(name)
            continue
        window = prod(axes(pool.kernel_size, 2))
        for weights in taking:
            nodes[weights] = _divided(nodes[weights], window, with_bias=False)
        for weights in before:
            nodes[weights] = _divided(nodes[weights], window, with_bias=True)
        nodes[name] = nir.SumPool2d(pool.kernel_size, pool.stride, pool.padding, metadata=dict(pool.metadata))
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


def _divided(node: nir.NIRNode, window: int, *, with_bias: bool) -> nir.NIRNode:
    bias = bias_of(node)
    if with_bias and bias is not None:
        bias = bias / window
    return with_weights(node, np.asarray(node.weight, dtype=np.float64) / window, bias)
