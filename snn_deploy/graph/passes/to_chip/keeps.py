"""What lowering to a chain keeps: told in relations between the hub graph and the chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.dynamics import discretise, parameters
from snn_deploy.graph.passes.keeps import paths
from snn_deploy.graph.passes.to_chip.layers import Chain, ChipLayer, Member, held_by
from snn_deploy.graph.passes.to_chip.waits import largest_weights
from snn_deploy.graph.semantics import Semantics, reset_of
from snn_deploy.graph.shapes import shapes_from_input
from snn_deploy.graph.types import NEURON_NODES, SPIKING_NODES

_ROUNDING = 1e-12
"""Relative, of the float64 in which thresholds are computed."""


def populations_placed(graph: nir.NIRGraph, chain: Chain) -> Iterator[Problem]:
    """Every population is in one layer, with its neurons, its threshold and its leak."""
    shapes = shapes_from_input(graph.nodes, graph.edges)
    placed: dict[str, list[tuple[ChipLayer, Member]]] = {}
    for layer in chain.layers:
        for member in held_by(layer):
            if not member.relay:
                placed.setdefault(member.name, []).append((layer, member))
    rule = "every population is in one layer with its neurons"
    for name, node in graph.nodes.items():
        if not isinstance(node, NEURON_NODES):
            continue
        found = placed.get(name, [])
        if len(found) != 1:
            yield Problem(name, f"is in {len(found)} layers", rule)
            continue
        ((layer, member),) = found
        if (member.count, *layer.shape[1:]) != shapes[name]:
            what = f"holds {(member.count, *layer.shape[1:])} neurons, before {shapes[name]}"
            yield Problem(name, what, rule)
            continue
        yield from _same_neurons(name, node, layer, member, chain.semantics)


def _same_neurons(
    name: str, node: nir.NIRNode, layer: ChipLayer, member: Member, semantics: Semantics
) -> Iterator[Problem]:
    """Thresholds as they were, or 1 where they differ in the layer; one that spikes has one."""
    if isinstance(node, nir.Threshold):
        wanted = parameters(node)["threshold"]
    elif (fire := discretise(node, semantics).fire) is not None:
        softly = fire.reset == "subtract" and layer.recurrent is not None
        wanted = fire.threshold if softly else fire.threshold - fire.v_reset
    else:
        if layer.threshold is not None:
            yield Problem(name, f"fires at {layer.threshold:g}", "an integrator does not fire")
        return
    normalised = np.ptp(wanted) > 0 or len(held_by(layer)) > 1
    if layer.threshold is None or not (
        np.allclose(wanted, layer.threshold, rtol=_ROUNDING, atol=0)
        or (normalised and layer.threshold == 1.0)
    ):
        what = f"threshold {layer.threshold}, before {np.max(wanted):g}"
        yield Problem(name, what, "thresholds are kept, or 1 where those of a layer differ")


def wired_as_before(graph: nir.NIRGraph, chain: Chain) -> Iterator[Problem]:
    """A population is fed by those that fed it, and by no others."""
    before: dict[str, dict[str, int]] = {}
    for ((source,), (target,)), ways in paths(graph, lambda name: (name,), NEURON_NODES).items():
        before.setdefault(target, {})[source] = ways
    (output,) = (name for name, node in graph.nodes.items() if isinstance(node, nir.Output))
    dead = {name for name, node in graph.nodes.items() if _zeroes(node)}
    layout: Mapping[str, slice] = {chain.input_name: slice(0, chain.input_shape[0])}
    channels = chain.input_shape[0]
    for layer in chain.layers:
        blocks = largest_weights(layer, channels)
        for member in (m for m in held_by(layer) if not m.relay):
            population = isinstance(graph.nodes.get(member.name), NEURON_NODES)
            wanted = before.get(member.name if population else output, {})
            own = member.rows
            fed = {source for source, columns in layout.items() if blocks[own, columns].any()}
            if layer.recurrent is not None:
                fed |= {other.source for other in held_by(layer) if layer.recurrent[own, other.rows].any()}
            silent = {source for source, ways in wanted.items() if ways > 1 or dead & set(layer.nodes)}
            if _subtracts(graph.nodes.get(member.name), chain.semantics):
                fed.discard(member.name)
            if fed - wanted.keys() or wanted.keys() - fed - silent:
                what = f"is fed by {_listed(fed)}, before by {_listed(wanted)}"
                yield Problem(member.name, what, "a layer is wired as the network")
        layout, channels = _layout(layer), layer.shape[0]


def _subtracts(node: nir.NIRNode | None, semantics: Semantics) -> bool:
    """Whether spikes of these neurons return to them as their reset."""
    return isinstance(node, SPIKING_NODES) and reset_of(node, semantics) == "subtract"


def _zeroes(node: nir.NIRNode) -> bool:
    """Whether the node may turn what enters it into nothing."""
    weight = getattr(node, "weight", 1.0)
    factors = [getattr(node, name, 1.0) for name in ("scale", "r", "w_in")]
    return not np.any(weight) or not all(np.all(factor) for factor in factors)


def _layout(layer: ChipLayer) -> dict[str, slice]:
    """Per population that a layer holds or relays, the first of its channels to the last."""
    found: dict[str, slice] = {}
    for member in held_by(layer):
        first = found[member.source].start if member.source in found else member.first
        found[member.source] = slice(first, member.first + member.count)
    return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
