"""NeuroBench's published dense counts, on the published structures, counted live and as graphs.

Structures: github.com/NeuroBench/neurobench, examples/dvs_gesture and examples/gsc (Yik et al., Nature
Communications 16, 2025); figures: their leaderboard. No weights and no data are needed: dense counts depend
on shapes only.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from snn_deploy.energy.fanout import fan_out
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.types import WEIGHT_NODES
from snn_deploy.synapses.live import EventCounter


def dvs_gesture() -> nn.Module:
    """Three 5 x 5 convolutions with maximum pools, and a linear read-out, on 2 x 32 x 32 event frames."""
    parts = []
    for inputs, outputs in ((2, 16), (16, 32), (32, 64)):
        parts += [nn.Conv2d(inputs, outputs, 5, padding="same"), nn.MaxPool2d(2), neuron.LIFNode()]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(64 * 4 * 4, 11), neuron.LIFNode())


def speech_commands_spiking() -> nn.Module:
    """Four linear layers of spiking neurons on 20 channels of spikes."""
    sizes = (20, 256, 256, 256, 35)
    parts = [[nn.Linear(a, b), neuron.LIFNode()] for a, b in pairwise(sizes)]
    return nn.Sequential(*(part for pair in parts for part in pair))


def speech_commands_m5() -> nn.Module:
    """M5 on 8,000 samples of sound."""
    parts = []
    for inputs, outputs, kernel, stride in ((1, 32, 80, 16), (32, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)):
        parts += [
            nn.Conv1d(inputs, outputs, kernel, stride),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.MaxPool1d(4),
        ]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 35))


@pytest.mark.parametrize(
    ("network", "shape", "steps", "published"),
    [
        (dvs_gesture, (2, 32, 32), 150, 891_206_400),
        (speech_commands_spiking, (20,), 200, 29_030_400),
        (speech_commands_spiking, (20,), 201, 29_175_552),
        (speech_commands_m5, (1, 8000), 1, 1_880_256),
    ],
)
def test_dense(network, shape, steps, published):
    """Every step costs the same, so two are run and scaled (one for the network without time)."""
    made, ran = network().eval(), min(steps, 2)
    with EventCounter(made) as counter, torch.no_grad():
        for _ in range(ran):
            made(torch.zeros(1, *shape))
    assert counter.counts(samples=1).dense * steps == published * ran


def test_dense_of_the_graph():
    network = speech_commands_spiking()
    plan = make_plan(from_torch(network, (20,), semantics=Semantics()))
    fans = [
        fan_out(plan.node(name), plan.shapes[plan.sources[name][0]], plan.shapes[name])
        for name in plan.of_type(*WEIGHT_NODES)
    ]
    assert 200 * sum(fan.dense for fan in fans) == 29_030_400


def test_dense_of_the_graph_with_strides_in_place_of_maximum_pools():
    """NIR has no maximum pool; the three convolutions alone, each on the size it has in the network."""
    total = 0
    for inputs, outputs, size in ((2, 16, 32), (16, 32, 16), (32, 64, 8)):
        part = nn.Sequential(layer.Conv2d(inputs, outputs, 5, padding="same"), neuron.LIFNode())
        functional.set_step_mode(part, "m")
        plan = make_plan(from_torch(part, (inputs, size, size), semantics=Semantics()))
        (name,) = plan.of_type(*WEIGHT_NODES)
        total += fan_out(plan.node(name), (inputs, size, size), plan.shapes[name]).dense
    assert 150 * (total + 64 * 4 * 4 * 11) == 891_206_400
