"""The form of a NIR graph that most frameworks read without silent changes (versions of September 2026).

==================  =====================================================================================
rule                because
==================  =====================================================================================
sum pooling         sinabs, Norse and Spyx know no AvgPool2d and drop it silently
thresholds          the NIR text fires at v > threshold; a network that fires at >= gets the next float32
                    below, so that both comparisons agree for every float32 membrane; not with
                    subtractive reset, which would subtract the lowered threshold
encoding            see :mod:`snn_deploy.graph.passes.for_readers.encoding`
==================  =====================================================================================
"""

from __future__ import annotations

from typing import Any

import nir

from snn_deploy.graph.passes.for_readers.encoding import encoded, encoded_graph, input_shapes
from snn_deploy.graph.passes.for_readers.pooling import sum_pooling
from snn_deploy.graph.semantics import read_semantics, reset_of
from snn_deploy.graph.types import SPIKING_NODES, Plan


def portable(plan: Plan) -> tuple[nir.NIRGraph, list[dict[str, Any]]]:
    """The portable form of a graph, and the passes applied with their parameters."""
    nodes, rewritten, kept = sum_pooling(plan.graph.nodes, plan.graph.edges)
    semantics = read_semantics(plan.graph)
    resets = {reset_of(plan.node(name), semantics) for name in plan.of_type(*SPIKING_NODES)}
    lower = semantics.fires_at == ">=" and semantics.spikes == "one" and resets <= {"zero", "none"}
    inputs = input_shapes(plan)
    written = {name: encoded(nodes[name], inputs.get(name, ()), lower=lower) for name in plan.order}
    stated = semantics.stating(fires_at=">") if lower else semantics
    graph = encoded_graph(plan, written, plan.graph.edges, stated)
    passes: list[dict[str, Any]] = []
    if rewritten:
        passes.append({"pass": "sum_pooling", "windows": rewritten, "kept": kept})
    if lower:
        passes.append({"pass": "threshold_below", "layers": list(plan.of_type(*SPIKING_NODES))})
    return graph, [*passes, {"pass": "portable_encoding"}]
