"""The nodes of a graph as a report lists them."""

from __future__ import annotations

import nir
import numpy as np

from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.report.shown import NetworkNode

KINDS = {
    "Affine": "dense",
    "Linear": "dense",
    "Conv1d": "convolution",
    "Conv2d": "convolution",
    "AvgPool2d": "average pool",
    "SumPool2d": "sum pool",
    "Flatten": "flatten",
    "Scale": "scale",
    "Delay": "delay",
    "Threshold": "threshold",
    "Input": "input",
    "Output": "output",
}
"""Words for NIR's nodes; neurons keep their names (LIF, CubaLIF, LI)."""


def network_nodes(plan: Plan) -> tuple[NetworkNode, ...]:
    """All nodes of ``plan`` in execution order."""
    return tuple(_node(plan, name) for name in plan.order)


def _node(plan: Plan, name: str) -> NetworkNode:
    node = plan.node(name)
    kind = type(node).__name__
    weights = int(np.asarray(node.weight).size) if isinstance(node, WEIGHT_NODES) else 0
    return NetworkNode(
        name=name,
        kind=KINDS.get(kind, kind),
        detail=_detail(node),
        shape=plan.shapes[name],
        weights=weights,
        sources=plan.sources[name],
        feedback=plan.feedback.get(name, ()),
    )


def _detail(node: nir.NIRNode) -> str:
    if isinstance(node, nir.Affine | nir.Linear):
        rows, columns = np.asarray(node.weight).shape[-2:]
        return f"{columns} to {rows}"
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        out, into, *kernel = np.asarray(node.weight).shape
        parts = ["×".join(map(str, kernel)), f"{into * int(node.groups)} to {out}"]
        strides = {int(s) for s in np.ravel(np.asarray(node.stride))}
        if strides != {1}:
            parts.append(f"stride {'×'.join(map(str, sorted(strides)))}")
        if int(node.groups) > 1:
            parts.append(f"{int(node.groups)} groups")
        return ", ".join(parts)
    if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        return "×".join(str(int(k)) for k in np.ravel(np.asarray(node.kernel_size)))
    return ""
