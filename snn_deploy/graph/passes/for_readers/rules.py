"""What single readers cannot do, beyond the facts that all readers share a form for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan

EARLY_BIAS = "early-bias"
"""Rule that may be broken by name: a bias that the reader adds before the layer's first input arrives."""

Nodes = Mapping[str, nir.NIRNode]


def reader_rules(reader: str, plan: Plan, nodes: Nodes) -> list[Problem]:
    """Problems of ``plan`` with ``nodes`` in the reader called ``reader``."""
    if reader == "spinnaker2":
        return [*_spinnaker2_edges(plan, nodes), *_spinnaker2_nodes(plan, nodes)]
    if reader == "spyx":
        return [*_spyx_names(plan, nodes), *_spyx_neurons(plan, nodes)]
    return []


def early_biases(plan: Plan, nodes: Nodes) -> list[Problem]:
    """Biases behind a layer that fires late: until its first spikes can arrive, only the bias does."""
    late: dict[str, int] = {}
    found = []
    for name in plan.order:
        late[name] = max((late[source] for source in plan.sources[name]), default=0)
        if late[name] and isinstance(nodes[name], WEIGHT_NODES) and np.any(getattr(nodes[name], "bias", 0.0)):
            found.append(
                Problem(
                    name,
                    f"a bias that acts {late[name]} steps before the first spikes can arrive",
                    rule="every spiking layer fires a step late in this reader",
                    try_instead=f"bias=False, or --allow {EARLY_BIAS}",
                )
            )
        late[name] += isinstance(nodes[name], SPIKING_NODES)
    return found


def _spinnaker2_edges(plan: Plan, nodes: Nodes) -> Iterator[Problem]:
    for a, b in plan.graph.edges:
        ends = (type(nodes[a]).__name__, type(nodes[b]).__name__)
        what = f"{ends[1]} '{b}' behind {ends[0]}"
        if isinstance(nodes[a], WEIGHT_NODES) and isinstance(nodes[b], WEIGHT_NODES):
            yield Problem(a, what, "py-spinnaker2 takes no two weight layers in a row")
        elif isinstance(nodes[a], nir.Conv2d) and isinstance(nodes[b], nir.CubaLIF):
            yield Problem(a, what, "py-spinnaker2 has no CUBA neurons behind a convolution")
        elif isinstance(nodes[b], nir.CubaLIF) and np.any(getattr(nodes[a], "bias", 0.0)):
            rule = "py-spinnaker2 adds the bias to the membrane, not to the current"
            yield Problem(a, f"a bias before CubaLIF '{b}'", rule, try_instead="bias=False")


def _spinnaker2_nodes(plan: Plan, nodes: Nodes) -> Iterator[Problem]:
    for name in plan.order:
        node = nodes[name]
        if isinstance(node, nir.Conv2d) and any(step != 1 for step in axes(node.dilation, 2)):
            yield Problem(name, f"a dilation of {node.dilation}", "py-spinnaker2 ignores it")
        if isinstance(node, nir.Conv2d) and np.any(node.bias):
            rule = "py-spinnaker2 adds one bias per neuron, not per channel"
            yield Problem(name, "a bias", rule, try_instead="bias=False")
        if isinstance(node, nir.SumPool2d) and axes(node.kernel_size, 2) != axes(node.stride, 2):
            yield Problem(name, f"a stride of {node.stride}", "py-spinnaker2 takes that of the window")


def _spyx_names(plan: Plan, nodes: Nodes) -> Iterator[Problem]:
    for name, door in (("input", plan.input), ("output", plan.output)):
        if name in nodes and name != door:
            rule = f"Spyx 1.0 takes the node of this name for the {name}"
            yield Problem(name, type(nodes[name]).__name__, rule, try_instead="rename the node")


def _spyx_neurons(plan: Plan, nodes: Nodes) -> Iterator[Problem]:
    for name in plan.of_type(nir.LIF, nir.CubaLIF, nir.Threshold):
        if len(plan.shapes[name]) > 1:
            rule = (
                "Spyx 1.0 subtracts the threshold of a LIF after the leak, and has CUBA neurons, which do it "
                "before, behind dense weights only"
            )
            yield Problem(
                name, type(nodes[name]).__name__, rule, try_instead="IF neurons behind convolutions"
            )
