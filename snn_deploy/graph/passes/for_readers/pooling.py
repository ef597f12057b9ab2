"""Average pooling as sum pooling, and back: sinabs, Norse and others know only one of them.

``AvgPool(x) = SumPool(x) / K`` with K elements in the window, and 1 / K (or K) moves into the weights behind
the pool (through flatten), or else, with the bias, into the weights before it: both are linear. Exact in
float32 when K is a power of two; otherwise every weight is rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

import nir
import numpy as np

from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.fold_batchnorm import bias_of, with_weights
from snn_deploy.graph.passes.journal import Names
from snn_deploy.graph.passes.keeps import GraphPass
from snn_deploy.graph.passes.protocol import Made
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import WEIGHT_NODES

_KINDS: dict[str, type[nir.NIRNode]] = {"sum": nir.SumPool2d, "average": nir.AvgPool2d}


@dataclass(frozen=True)
class Pooling(GraphPass):
    """Every pool that stands next to weights becomes one of ``kind``; the others stay."""

    name: ClassVar[str] = "pooling"
    kind: Literal["sum", "average"]

    @property
    def title(self) -> str:
        """``sum_pooling`` or ``average_pooling``."""
        return f"{self.kind}_pooling"

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """``windows``: the rewritten pools with their K; ``kept``: those that had to stay."""
        new = _KINDS[self.kind]
        (old,) = (kind for kind in _KINDS.values() if kind is not new)
        nodes, edges = dict(before.nodes), list(before.edges)
        windows: dict[str, int] = {}
        kept: list[str] = []
        origins: dict[str, Names] = {}
        for name, pool in list(nodes.items()):
            if not isinstance(pool, old):
                continue
            taking = _weights_behind(nodes, edges, name)
            giving = [] if taking else _weights_before(nodes, edges, name)
            if not taking and not giving:
                kept.append(name)
                continue
            windows[name] = prod(axes(pool.kernel_size, 2))
            for weights in (*taking, *giving):
                nodes[weights] = _scaled(nodes[weights], windows[name], new, with_bias=bool(giving))
                origins[weights] = (*origins.get(weights, (weights,)), name)
            nodes[name] = new(pool.kernel_size, pool.stride, pool.padding, metadata=dict(pool.metadata))
        if not windows:
            return Made(before)
        graph = nir.NIRGraph(nodes, edges, metadata=dict(before.metadata), type_check=False)
        return Made(graph, origins, {"windows": windows, "kept": kept})


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
