"""Dense weights behind a Flatten for readers whose tensors have the channels last (H, W, C).

Only the columns move: column ``(h W + w) C + c`` holds what column ``(c H + h) W + w`` held. A metadata entry
of the node keeps (C, H, W), so that reading the file gives the hub's order back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import nir
import numpy as np

from snn_deploy.graph.passes.keeps import GraphPass
from snn_deploy.graph.passes.protocol import Made
from snn_deploy.graph.plan import input_shapes, make_plan

KEY = "snn_deploy_channels_last"


@dataclass(frozen=True)
class ChannelsLast(GraphPass):
    """Move the columns of the dense weights that stand right behind a Flatten of images."""

    name: ClassVar[str] = "channels_last"

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """``nodes``: the weights whose columns moved."""
        plan = make_plan(before)
        entering = input_shapes(plan)
        moved = {}
        for a, b in before.edges:
            node, shape = before.nodes[b], entering.get(a, ())
            if not isinstance(before.nodes[a], nir.Flatten) or not isinstance(node, nir.Affine | nir.Linear):
                continue
            if len(shape) == 3 and plan.shapes[a] == (int(np.prod(shape)),):
                moved[b] = channels_last(node, (shape[0], shape[1], shape[2]))
        if not moved:
            return Made(before)
        nodes = {**before.nodes, **moved}
        graph = nir.NIRGraph(nodes, list(before.edges), metadata=dict(before.metadata), type_check=False)
        return Made(graph, facts={"nodes": list(moved)})


def channels_last(node: nir.NIRNode, shape: tuple[int, int, int]) -> nir.NIRNode:
    """A weight node behind the Flatten of ``shape`` (C, H, W), for an input flattened as (H, W, C)."""
    weight = np.asarray(node.weight)
    moved = weight.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(weight.shape)
    return _with(node, moved, {**node.metadata, KEY: np.array(shape)})


def channels_first(node: nir.NIRNode) -> nir.NIRNode:
    """The hub's form of ``node``; itself unless it was written by :func:`channels_last`."""
    if KEY not in node.metadata or not isinstance(node, nir.Affine | nir.Linear):
        return node
    weight, shape = np.asarray(node.weight), np.asarray(node.metadata[KEY])
    if shape.shape != (3,) or (shape < 1).any() or int(np.prod(shape, dtype=object)) != weight.shape[-1]:
        raise ValueError(f"'{KEY}' is {shape.tolist()} for weights of shape {weight.shape}")
    c, h, w = (int(size) for size in shape)
    moved = weight.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(weight.shape)
    return _with(node, moved, {name: value for name, value in node.metadata.items() if name != KEY})


def _with(node: nir.NIRNode, weight: np.ndarray, metadata: dict[str, object]) -> nir.NIRNode:
    stored = np.ascontiguousarray(weight)
    if isinstance(node, nir.Affine):
        return nir.Affine(stored, node.bias, metadata=metadata)
    return nir.Linear(stored, metadata=metadata)
