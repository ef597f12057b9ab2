"""Networks that a graph cannot hold: refused by path, all at once, with the rule and a way out."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from spikingjelly.activation_based import layer, neuron
from support.students import multi, pooled
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics

SEMANTICS = Semantics(timesteps=6)


def refused(net: nn.Module, shape=(2, 8, 8)) -> str:
    with pytest.raises(UnsupportedError) as caught:
        from_torch(net, shape, semantics=SEMANTICS)
    return str(caught.value)


def test_everything_foreign_is_refused_at_once_by_path():
    class Custom(neuron.LIFNode):
        def multi_step_forward(self, x_seq):
            return 1 - super().multi_step_forward(x_seq)

    net = multi(
        nn.Sequential(
            OrderedDict(
                conv=layer.Conv2d(2, 4, 3, padding_mode="reflect", padding=1),
                relu=nn.ReLU(),
                pool=layer.AdaptiveAvgPool2d(2),
                most=nn.AdaptiveMaxPool2d(2),
                custom=Custom(),
                block=nn.Sequential(layer.AvgPool2d(3, ceil_mode=True), layer.GroupNorm(2, 4)),
                vote=layer.VotingLayer(2),
            )
        )
    )
    text = refused(net)
    assert "conv: Conv2d: padding mode 'reflect'; try: zero padding" in text
    assert "relu: 'ReLU'; rule: NIR has no node for it; try: a spiking neuron" in text
    assert "most: 'AdaptiveMaxPool2d'; rule: NIR has no node for it; try: average pooling" in text
    assert "custom: 'Custom'" in text
    assert "block.1: 'GroupNorm'" in text
    assert "vote: 'VotingLayer'" in text
    assert "block.0: AvgPool2d: ceil_mode" in refused(multi(nn.Sequential(OrderedDict(block=net.block))))


def test_several_faults_in_parallel_branches_are_listed_together():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.ReLU(), layer.GroupNorm(2, 2), nn.Softmax(-1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.a(x) + self.b(x)) + self.c(x) * 2.0

    text = refused(multi(Branches()))
    assert "a: 'ReLU'" in text
    assert "b: 'GroupNorm'" in text
    assert "c: 'Softmax'" in text


def test_the_maximum_over_anything_else_is_refused() -> None:
    net = multi(nn.Sequential(OrderedDict(conv=layer.Conv2d(2, 4, 3), pool=layer.MaxPool2d(2))))
    assert "pool: MaxPool2d of conv, which are not the spikes of one layer" in refused(net)
    assert "pool: MaxPool2d: ceil_mode" in refused(pooled(kernel_size=2, ceil_mode=True))
    assert "pool: MaxPool2d: returns indices" in refused(pooled(kernel_size=2, dilation=2))


class Forward(nn.Module):
    """A module with a given forward and two linear layers."""

    def __init__(self, function) -> None:
        super().__init__()
        self.first, self.second = layer.Linear(3, 3), layer.Linear(3, 3)
        self.fire = neuron.IFNode()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda m, x: m.first(x) * 2.0, "the operation 'mul'"),
        (lambda m, x: m.first(x) + 1.0, "the operation 'add'"),
        (lambda m, x: torch.add(m.first(x), m.second(x), alpha=2), "the operation 'add'"),
        (lambda m, x: m.first(x).mean(1), "the operation 'mean'"),
        (lambda m, x: m.first(x).flatten(1), "time and batch axes stay apart"),
        (lambda m, x: x + x, "a value added to itself"),
        (lambda m, x: m.fire(m.fire(x)), "fire: a neuron that is called twice"),
        (lambda m, x: (m.first(x), x), "returns tuple; rule: one tensor per step"),
        (lambda m, x: m.first(x) if x.sum() > 0 else x, "forward: its forward cannot be followed"),
        (lambda m, x: torch.cat([x, x], -1), "the operation 'cat'"),
    ],
)
def test_operations_that_are_no_layers_are_refused(function, says):
    assert says in refused(multi(Forward(function)), (3,))


def test_mixed_resets_and_mixed_step_modes_are_refused():
    net = multi(nn.Sequential(neuron.IFNode(), neuron.IFNode(v_reset=None)))
    assert "1: subtracts the threshold, unlike the neurons before it" in refused(net)
    net = multi(nn.Sequential(layer.Linear(8, 8), neuron.IFNode(), neuron.IFNode()))
    net[1].step_mode = "s"
    text = refused(net, (8,))
    assert "1: step mode 's' in a network of step mode 'm'" in text
    assert "functional.set_step_mode(net, 'm')" in text


def test_shapes_that_do_not_fit_are_refused_with_numbers():
    net = multi(nn.Sequential(OrderedDict(flat=layer.Flatten(), fc=layer.Linear(100, 3))))
    assert "fc: Affine: weights (3, 100) expect an input of (100,), found (128,)" in refused(net)
    net = multi(nn.Sequential(layer.AdaptiveAvgPool2d(3)))
    assert "windows of different sizes: (8, 8) to (3, 3)" in refused(net)
    net = multi(nn.Sequential(layer.Conv2d(2, 3, 1), layer.BatchNorm2d(4)))
    assert "batch norm of 4 channels on an input of (3, 8, 8)" in refused(net)
