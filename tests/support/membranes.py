"""What layers compare with their thresholds, in float64."""

from __future__ import annotations

import nir
import torch

from snn_deploy.graph.dynamics import discretise
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.neurons import NeuronLayer


@torch.no_grad()
def membranes64(plan: Plan, name: str, x: torch.Tensor, spikes: torch.Tensor) -> torch.Tensor:
    """What one layer compares with its threshold, in float64, when its resets are those of ``spikes``.

    Args:
        plan: the graph.
        name: a spiking layer; what a Threshold compares is its input.
        x: summed input of the layer, ``[T, B, *shape]``.
        spikes: its output in the run that is judged, ``[T, B, *shape]``.
    """
    x = x.double()
    if isinstance(plan.node(name), nir.Threshold):
        return x
    neuron = discretise(plan.node(name), read_semantics(plan.graph))
    layer = NeuronLayer(neuron, plan.shapes[name], torch.float64, x.device)
    return layer.membranes(x, layer.start(x.shape[1]), spikes.to(x))
