"""Made-up counts for tests of pricing and reporting."""

from __future__ import annotations

import numpy as np

from snn_deploy.energy.counts import Counts, EdgeCounts, NeuronCounts


def edge(name="w", layer="n", *, sites=((10, 20), (30, 40)), units=None, **changes) -> EdgeCounts:
    """One edge; arrays are ``[T, B]``, two steps and two samples unless told."""
    events = np.array(sites, dtype=np.int64)
    values = {
        "name": name,
        "layer": layer,
        "sources": ("input",),
        "edge_class": "binary",
        "pooled": False,
        "quantum": 1.0,
        "source_size": 50,
        "connections": 1000,
        "connections_nonzero": 800,
        "active": events // 10,
        "sites": events,
        "sites_nonzero": events // 2,
        "units": events if units is None else np.array(units, dtype=np.int64),
        "units_nonzero": events // 2 if units is None else np.array(units, dtype=np.int64) // 2,
    } | changes
    return EdgeCounts(**values)


def neurons(name="n", *, size=100, spikes=((1, 3), (5, 7)), touched=((20, 20), (40, 40)), spiking=True):
    return NeuronCounts(name, size, spiking, np.array(spikes, np.int64), np.array(touched, np.int64))


def counts(*parts) -> Counts:
    """Counts of the given edges and neurons."""
    edges = tuple(part for part in parts if isinstance(part, EdgeCounts))
    layers = tuple(part for part in parts if isinstance(part, NeuronCounts))
    timesteps, samples = (edges[0].sites if edges else layers[0].spikes).shape
    return Counts(timesteps, samples, edges, layers)
