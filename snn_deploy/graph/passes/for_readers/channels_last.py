"""The pass for readers whose tensors have the channels last (H, W, C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import nir
import numpy as np

from snn_deploy.graph.passes.for_readers.channel_order import channels_last
from snn_deploy.graph.passes.keeps import GraphPass
from snn_deploy.graph.passes.protocol import Made
from snn_deploy.graph.plan import input_shapes, make_plan


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
