"""Synapses that wait, as the hub says them: nodes that delay, before weights or behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.graph.lava.net import Dense, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """Weights ``[N, N_in]``, and steps that spikes wait before them ``[N_in]`` and sums behind them ``[N]``;
    0 for none."""

    weight: IntArray
    before: IntArray
    behind: IntArray

    @classmethod
    def of(cls, weight: IntArray, before: IntArray | int = 0, behind: IntArray | int = 0) -> Branch:
        """A branch, with one number for all where one is given."""
        outputs, inputs = weight.shape
        return cls(weight, np.broadcast_to(before, inputs), np.broadcast_to(behind, outputs))


def branches(layer: Dense) -> list[Branch]:
    """The branches whose sum a dense layer is: one where its delays are those of its inputs, or those of its
    neurons and no bias waits with them; else one for every number of steps."""
    if layer.delay is None:
        return [Branch.of(layer.weight)]
    used = layer.weight != 0
    known = np.where(used, layer.delay, 0)
    by_input, by_neuron = known.max(0), known.max(1)
    if (known == np.where(used, by_input, 0)).all():
        return [Branch.of(layer.weight, before=by_input)]
    biased = layer.bias is not None and layer.bias.any()
    if not biased and (known == np.where(used, by_neuron[:, None], 0)).all():
        return [Branch.of(layer.weight, behind=by_neuron)]
    steps = np.unique(layer.delay[used])
    return [Branch.of(np.where(layer.delay == s, layer.weight, 0), before=int(s)) for s in steps]
