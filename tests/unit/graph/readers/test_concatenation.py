"""Concatenated channels as edges that add: the module's own spikes, or refused with a way out."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron
from support.module_styles import (
    OFTEN,
    equal,
    frames,
    often_equal,
    refused_with_a_way_out,
    weighted,
)
from torch import nn

from snn_deploy.graph.readers.concatenation import parts_of


class Two(nn.Module):
    """Two branches of 3 and 2 channels; ``joined`` works on both."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.n1, self.n2, self.n3 = neuron.LIFNode(), neuron.LIFNode(), neuron.LIFNode()
        self.conv = nn.Conv2d(5, 4, 3, padding=1)
        self.norm, self.pool, self.most = nn.BatchNorm2d(5), nn.AvgPool2d(2), nn.MaxPool2d(2)
        self.all, self.fewer = nn.Linear(180, 4), nn.Linear(45, 4)

    def both(self, x):
        return torch.cat([self.n1(self.a(x)), self.n2(self.b(x))], dim=1)

    def forward(self, x):
        return torch.stack([self.n3(self.joined(x_t)) for x_t in x])


class IntoConvolution(Two):
    def joined(self, x):
        return self.conv(self.both(x))


class IntoLinear(Two):
    def joined(self, x):
        return self.all(self.both(x).flatten(1))


class ThroughPool(Two):
    def joined(self, x):
        return self.fewer(self.pool(self.both(x)).flatten(1))


class ThroughMaximum(Two):
    def joined(self, x):
        return self.fewer(self.most(self.both(x)).flatten(1))


class ThroughNorm(Two):
    """Currents are concatenated; batch norm goes into the weights before."""

    def joined(self, x):
        both = torch.cat([self.n1(self.a(x)), self.b(x)], dim=1)
        return self.conv(self.norm(self.conv2(both)))

    def __init__(self):
        super().__init__()
        self.conv2 = nn.Conv2d(5, 5, 1)
        del self.n2


class OfThree(Two):
    """The input too, in two steps."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(9, 4, 1)

    def joined(self, x):
        return self.wide(torch.cat([torch.cat((x, self.both(x)), 1), x], -3))


class Features(nn.Module):
    """Vectors in multi-step mode, traced once."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = layer.Linear(12, 6), layer.Linear(12, 5), layer.Linear(11, 4)
        self.n1, self.n2, self.n3 = (neuron.IFNode(step_mode="m") for _ in range(3))

    def forward(self, x):
        return self.n3(self.out(torch.cat([self.n1(self.a(x)), self.n2(self.b(x))], dim=-1)))


class Mean(Two):
    """The last layer on both, and its mean over time."""

    def forward(self, x):
        return torch.stack([self.all(self.both(x_t).flatten(1)) for x_t in x]).mean(0)


CONCATENATED = (IntoConvolution, IntoLinear, ThroughPool, ThroughMaximum, ThroughNorm, OfThree)


@OFTEN
@pytest.mark.parametrize("style", CONCATENATED)
def test_parts_add(style, tries):
    often_equal(style, tries)


@OFTEN
def test_parts_of_features_add(tries):
    read = often_equal(Features, tries, (12,), layers=3)
    assert {"out", "out:2"} <= set(read.graph.nodes)
    assert np.any(read.graph.nodes["out"].bias) and isinstance(read.graph.nodes["out:2"], nir.Linear)


@OFTEN
def test_a_mean_over_concatenated_parts(tries):
    often_equal(Mean, tries)
    net, x = weighted(Mean(), 4), frames()
    read, output, _ = equal(net, x)
    assert read.calling.outputs == ("all",)
    for part in net.modules():
        if isinstance(part, neuron.BaseNode):
            part.reset()
    with torch.no_grad():
        assert torch.allclose(output.mean(0), net(x), atol=1e-5)


def test_weights_are_split_where_the_parts_meet():
    """By hand: W [x; y] + b = (W_x x + b) + W_y y."""
    weight, bias = np.arange(6.0).reshape(2, 3), np.array([10.0, 20.0])
    first, second = parts_of(nir.Affine(weight, bias), [(1,), (2,)])
    x, y = np.array([2.0]), np.array([3.0, 4.0])
    assert first.weight.tolist() == [[0.0], [3.0]] and second.weight.tolist() == [[1.0, 2.0], [4.0, 5.0]]
    assert np.array_equal(first.weight @ x + first.bias + second.weight @ y, weight @ [2.0, 3.0, 4.0] + bias)
    assert parts_of(nir.Conv1d(8, np.ones((4, 1, 3)), 1, 1, 1, 2, np.zeros(4)), [(1, 8), (1, 8)]) is None


class IntoNeuron(Two):
    """Refused: neurons on the parts together."""

    def joined(self, x):
        return self.all(self.n1(torch.cat([self.a(x), self.b(x)], 1)).flatten(1))


class Grouped(Two):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(5, 5, 1, groups=5)

    def joined(self, x):
        return self.conv(self.both(x))


class Returned(Two):
    def forward(self, x):
        return torch.stack([self.both(x_t) for x_t in x])


class OverSteps(Two):
    def forward(self, x):
        return torch.cat([self.n3(self.conv(self.both(x_t))) for x_t in x], 0)


class AlongRows(Two):
    def joined(self, x):
        h = self.n1(self.a(x))
        return self.n2(torch.cat([h, h], 2))


class PlusSum(Two):
    def joined(self, x):
        return self.conv(self.both(x) + self.n3(self.wide(x)))

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(2, 5, 1)


REFUSED = {
    IntoNeuron: ("one for each part, in front of torch.cat", IntoLinear),
    Grouped: ("one for each part, in front of torch.cat", IntoConvolution),
    Returned: ("return one of them, or a layer on both", Mean),
    OverSteps: ("torch.stack(steps)", IntoConvolution),
    AlongRows: ("torch.cat(maps, dim of C)", IntoConvolution),
    PlusSum: ("add the parts, and concatenate the sums", IntoConvolution),
}


@pytest.mark.parametrize("style", REFUSED)
def test_other_concatenations_are_refused_with_a_way_out(style):
    says, way = REFUSED[style]
    refused_with_a_way_out(style(), f"try: {says}", way())
