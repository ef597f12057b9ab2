"""What the synapses of a whole dense layer have beside their weights: delays, and a second matrix for the
spikes that return to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_deploy.graph.lava.net import IntArray
from snn_deploy.graph.passes.to_chip.blocks import Layout, Rows, places_of
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, MergeError


class DelayError(MergeError):
    """Two synapses of different delays between the same two neurons."""


def delays_of(rows: Sequence[Rows], before: Layout) -> IntArray | None:
    """Steps that every synapse of a layer waits, ``[N, N_in]``; None where none waits.

    A synapse of weight 0 gets the longest delay of its column.

    Raises:
        DelayError: two synapses that would be one wait differently.
    """
    if not any(term.wait.any() for row in rows for term in row.terms):
        return None
    shape = (sum(row.count for row in rows), int(np.prod(before.shape)))
    found = np.full(shape, -1, np.int64)
    for row in rows:
        for term in row.terms:
            assert isinstance(term.map, Matrix)
            to, source = np.nonzero(term.map.weight)
            at = row.first + to, places_of(term, before)[source]
            waits = np.broadcast_to(term.wait, term.map.weight.shape)[to, source]
            if ((found[at] >= 0) & (found[at] != waits)).any():
                raise DelayError(f"sees '{term.source}' by two paths of different delays")
            found[at] = waits
    delays: IntArray = np.where(found < 0, np.maximum(found.max(0), 0), found)
    return delays


def recurrent_of(rows: Sequence[Rows]) -> FloatArray | None:
    """The matrix ``[N, N]`` of the spikes that return to a layer; None where none do."""
    if not any(row.loops for row in rows):
        return None
    size = sum(row.count for row in rows)
    found = np.zeros((size, size))
    for row in rows:
        own = slice(row.first, row.first + row.count)
        for term in row.loops:
            assert isinstance(term.map, Matrix)
            found[own, own] += term.map.weight
    return found
