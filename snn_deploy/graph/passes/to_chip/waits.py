"""How many steps spikes wait on their way from one population to another, in the hub and in a chain."""

from __future__ import annotations

from collections.abc import Iterator

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.dynamics import delay_steps
from snn_deploy.graph.passes.to_chip.layers import Chain, ChipLayer, Member, held_by
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, with_groups
from snn_deploy.graph.plan import execution_order
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.types import NEURON_NODES

Span = tuple[int, int]
ENDS = (nir.Input, *NEURON_NODES)


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


def waits_kept(graph: nir.NIRGraph, chain: Chain) -> Iterator[Problem]:
    """Spikes wait on their way to a population as long as they did, in relays and synapses together."""
    before = waits(graph, chain.semantics)
    if all(layer.delay is None for layer in chain.layers) and not any(
        most for spans in before.values() for _, most in spans.values()
    ):
        return
    (output,) = (name for name, node in graph.nodes.items() if isinstance(node, nir.Output))
    channels = chain.input_shape[0]
    held: list[tuple[Member, Span]] = [(Member(chain.input_name, chain.input_name, 0, channels), (0, 0))]
    for layer in chain.layers:
        blocks, now = largest_weights(layer, channels), []
        for member in held_by(layer):
            spent: dict[str, Span] = {}
            for sender, (least, most) in held:
                if blocks[member.rows, sender.rows].any():
                    low, high = _waiting(layer, member, sender, channels)
                    known = spent.get(sender.source, (least + low, most + high))
                    spent[sender.source] = min(known[0], least + low), max(known[1], most + high)
            now.append((member, spent.get(member.source, (0, 0)) if member.relay else (0, 0)))
            if not member.relay:
                name = member.name if isinstance(graph.nodes.get(member.name), ENDS) else output
                yield from _compared(name, spent, before[name])
        held, channels = now, layer.shape[0]


def _compared(name: str, now: dict[str, Span], before: dict[str, Span]) -> Iterator[Problem]:
    for source, (least, most) in now.items():
        low, high = before.get(source, (0, 0))
        if not low <= least <= most <= high:
            what = f"spikes of '{source}' wait {least} to {most} steps, before {low} to {high}"
            yield Problem(name, what, "delays are kept")


def _waiting(layer: ChipLayer, member: Member, sender: Member, channels: int) -> Span:
    """The fewest and the most steps that the synapses from ``sender`` to ``member`` wait."""
    if layer.delay is None:
        return 0, 0
    rows = (layer.shape[0], channels, -1)
    steps, weight = (a.reshape(rows)[member.rows, sender.rows] for a in (layer.delay, layer.map.weight))
    used = steps[weight != 0]
    return int(used.min()), int(used.max())


def largest_weights(layer: ChipLayer, channels: int) -> FloatArray:
    """Largest weight from every channel of the layer before to every channel, ``[C_out, C_in]``."""
    if isinstance(layer.map, Matrix):
        weight = layer.map.weight.reshape(len(layer.map.weight), channels, -1)
    else:
        weight = with_groups(layer.map, 1).weight.reshape(layer.shape[0], channels, -1)
    largest: FloatArray = np.abs(weight).max(2)
    return largest
