r"""Thresholds for readers that compare with the other of ``>=`` and ``>``.

The NIR text fires at v > threshold. A network that fires at v >= threshold gets the next float32 below each
threshold, so that both comparisons agree for every float32 membrane. Not with subtractive reset, which would
subtract the lowered threshold, nor with several spikes per step, which are counted in thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.passes.keeps import GraphChange, GraphPass
from snn_deploy.graph.passes.protocol import Made
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Comparison, read_semantics, reset_of, write_semantics
from snn_deploy.graph.shapes import NEURON_FIELDS
from snn_deploy.graph.types import SPIKING_NODES

_FIELDS = {"threshold", "v_threshold"}


@dataclass(frozen=True)
class ThresholdBelow(GraphPass):
    """A network with hard reset that fires at ``>=`` fires at ``>`` a threshold one float32 lower."""

    name: ClassVar[str] = "threshold_below"
    changes: ClassVar[frozenset[str]] = frozenset({"neurons", "semantics"})

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """``layers``: the neurons whose thresholds moved."""
        semantics = read_semantics(before)
        layers = make_plan(before).of_type(*SPIKING_NODES)
        resets = {reset_of(before.nodes[name], semantics) for name in layers}
        if semantics.fires_at == ">" or semantics.spikes != "one" or not resets <= {"zero", "none"}:
            return Made(before)
        nodes = {name: _lowered(node) if name in layers else node for name, node in before.nodes.items()}
        graph = nir.NIRGraph(nodes, list(before.edges), metadata=dict(before.metadata), type_check=False)
        write_semantics(graph, semantics.stating(fires_at=">"))
        return Made(graph, facts={"layers": list(layers)})

    def ensures(self, change: GraphChange) -> Iterable[Problem]:
        """Only thresholds move, by one float32; of the semantics only the comparison changes."""
        yield from super().ensures(change)
        if read_semantics(change.after) != read_semantics(change.before).stating(fires_at=">"):
            yield Problem("graph", "other semantics than the comparison", "fires at '>', else as before")
        for name, node in change.after.nodes.items():
            for field in NEURON_FIELDS.get(type(node), ()):
                old, new = (np.float32(getattr(n, field)) for n in (change.before.nodes[name], node))
                up = np.nextafter(new, np.float32(np.inf)) if field in _FIELDS else new
                if not np.array_equal(old, up):
                    yield Problem(name, f"{field} {new.min()}, before {old.min()}", "one float32 lower")


def _lowered(node: nir.NIRNode) -> nir.NIRNode:
    values: dict[str, Any] = {field: getattr(node, field) for field in NEURON_FIELDS[type(node)]}
    for field in _FIELDS & values.keys():
        values[field] = compared(np.float32(values[field]), ">=", ">")
    return type(node)(**values, metadata=dict(node.metadata))


def compared(threshold: Any, written: Comparison, read: Comparison) -> Any:
    """``threshold`` (float32), one float away where the comparison ``read`` is not ``written``."""
    if written == read:
        return threshold
    return np.nextafter(threshold, np.float32(-np.inf if read == ">" else np.inf))
