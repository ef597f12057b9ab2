"""Counted activity of a network: exact integers per edge and neuron layer, step and sample.

Counting is separate from pricing: what is stored here can be priced again with another profile, without
running the network again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import DataError
from snn_deploy.synapses.events import EdgeClass, join_classes

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EdgeCounts:
    """Events of one weighted edge. All arrays are int64 ``[T, B]``.

    Attributes:
        name: the weight node.
        layer: the neuron node that it feeds (itself where no neuron follows); several edges may feed one.
        sources: nodes whose summed outputs enter the weight node.
        edge_class: binary, signed unary, graded or analog; decided once for the whole run.
        pooled: whether a pool lies between the last neurons and the weights.
        quantum: value of one unit; None for analog activity.
        source_size: elements that enter the weight node.
        connections, connections_nonzero: dense connections of one step, all and with a weight that is not 0.
        active: non-zero source elements.
        sites, sites_nonzero: events by site, sum over non-zero elements of their fan-out.
        units, units_nonzero: events by unit, sum of |value| / quantum times fan-out; None for analog.
    """

    name: str
    layer: str
    sources: tuple[str, ...]
    edge_class: EdgeClass
    pooled: bool
    quantum: float | None
    source_size: int
    connections: int
    connections_nonzero: int
    active: IntArray
    sites: IntArray
    sites_nonzero: IntArray
    units: IntArray | None
    units_nonzero: IntArray | None


@dataclass(frozen=True, slots=True)
class NeuronCounts:
    """Activity of one layer of neurons. Arrays are int64 ``[T, B]``.

    Attributes:
        name: the neuron node.
        size: number of neurons; a clocked chip updates all of them in every step.
        spiking: False for integrators, which emit values instead of spikes.
        spikes: neurons that fired.
        touched: neurons that received at least one event.
    """

    name: str
    size: int
    spiking: bool
    spikes: IntArray
    touched: IntArray


@dataclass(frozen=True, slots=True)
class Counts:
    """All counts of one run, in execution order; ``uncounted`` names nodes whose arithmetic is left out."""

    timesteps: int
    samples: int
    edges: tuple[EdgeCounts, ...]
    neurons: tuple[NeuronCounts, ...]
    uncounted: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers in execution order: neuron nodes, and weight nodes that no neuron follows."""
        names = [edge.layer for edge in self.edges] + [neuron.name for neuron in self.neurons]
        return tuple(dict.fromkeys(names))

    def edges_of(self, layer: str) -> tuple[EdgeCounts, ...]:
        """The weighted edges that feed ``layer``."""
        return tuple(edge for edge in self.edges if edge.layer == layer)

    def neurons_of(self, layer: str) -> NeuronCounts | None:
        """The neurons of ``layer``; None where it is a weight node without neurons."""
        return next((neuron for neuron in self.neurons if neuron.name == layer), None)

    def sops(self) -> IntArray:
        """Synaptic events by site over all connections and edges, ``[T, B]``."""
        total = np.zeros((self.timesteps, self.samples), dtype=np.int64)
        for edge in self.edges:
            total += edge.sites
        return total

    def spikes(self) -> IntArray:
        """Spikes of all spiking neurons, ``[T, B]``."""
        total = np.zeros((self.timesteps, self.samples), dtype=np.int64)
        for neuron in self.neurons:
            total += neuron.spikes
        return total

    @property
    def connections(self) -> int:
        """Dense connections of one step over all edges."""
        return sum(edge.connections for edge in self.edges)


def concatenate(parts: Sequence[Counts], *, axis: Literal["sample", "time"] = "sample") -> Counts:
    """Join the counts of successive batches, or of successive blocks of time, of one network.

    An edge takes the widest class that any part showed; parts that disagree on the quantum make it analog.

    Raises:
        DataError: the parts are not of one network and one number of steps (of samples, for blocks of time).
    """
    if not parts:
        raise DataError("There are no counts to join.")
    first, along = parts[0], 1 if axis == "sample" else 0
    names = _names(first, along)
    if any(_names(part, along) != names for part in parts):
        what = "steps" if axis == "sample" else "samples"
        raise DataError(f"Counts of different networks, or of different numbers of {what}, cannot be joined.")
    if len(parts) == 1:
        return first
    return replace(
        first,
        timesteps=first.timesteps if along else sum(part.timesteps for part in parts),
        samples=sum(part.samples for part in parts) if along else first.samples,
        edges=tuple(_join_edges(edges, along) for edges in zip(*(p.edges for p in parts), strict=True)),
        neurons=tuple(_join_neurons(group, along) for group in zip(*(p.neurons for p in parts), strict=True)),
    )


def _names(counts: Counts, along: int) -> tuple[object, ...]:
    fixed = counts.timesteps if along else counts.samples
    return (fixed, *(e.name for e in counts.edges), *(n.name for n in counts.neurons))


def _join_edges(edges: Sequence[EdgeCounts], along: int) -> EdgeCounts:
    widest, quantum = join_classes([(e.edge_class, e.quantum, bool(e.active.any())) for e in edges])
    analog = widest == "analog"
    return replace(
        edges[0],
        edge_class=widest,
        quantum=quantum,
        active=_stack([edge.active for edge in edges], along),
        sites=_stack([edge.sites for edge in edges], along),
        sites_nonzero=_stack([edge.sites_nonzero for edge in edges], along),
        units=None if analog else _stack([_known(edge.units) for edge in edges], along),
        units_nonzero=None if analog else _stack([_known(edge.units_nonzero) for edge in edges], along),
    )


def _join_neurons(group: Sequence[NeuronCounts], along: int) -> NeuronCounts:
    return replace(
        group[0],
        spikes=_stack([neuron.spikes for neuron in group], along),
        touched=_stack([neuron.touched for neuron in group], along),
    )


def _stack(arrays: Sequence[IntArray], along: int) -> IntArray:
    return np.concatenate(arrays, axis=along)


def _known(units: IntArray | None) -> IntArray:
    if units is None:
        raise ValueError("only analog edges have no units")
    return units
