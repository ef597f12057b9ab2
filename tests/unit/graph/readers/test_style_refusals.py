"""Forwards that are refused: each names a way out, and the network written that way is read."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from support.module_styles import SHAPE, T, refused_with_a_way_out
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.readers.from_torch import read_module
from snn_deploy.graph.semantics import Semantics


class Net(nn.Module):
    """Layers of which ``forward`` is made; all neurons in step mode ``mode``."""

    def __init__(self, forward, mode="s", **changes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(108, 4)
        self.n1, self.n2 = neuron.LIFNode(), neuron.LIFNode()
        self.rec, self.delay = nn.Linear(4, 4), layer.Delay(1)
        self.norm = nn.BatchNorm1d(4)
        for name, module in changes.items():
            setattr(self, name, module)
        functional.set_step_mode(self, mode)
        self.function = forward

    def forward(self, x):
        return self.function(self, x)

    def one(self, x):
        return self.n2(self.fc(self.n1(self.conv(x)).flatten(1)))

    def whole(self, x):
        """All steps ``[T, B, ...]`` of multi-step neurons, up to the last layer."""
        h = self.n1(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return self.fc(h.flatten(2))


class MyRule(neuron.LIFNode):
    def single_step_forward(self, x):
        return super().single_step_forward(x) * 0.5


class MyLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


def steps(x):
    return range(x.shape[0])


def good(m, x):
    return torch.stack([m.one(x[t]) for t in steps(x)])


def by_hand(m, x):
    """Recurrence by hand."""
    s, out = torch.zeros(x.shape[1], 4), []
    for t in steps(x):
        s = m.n2(m.fc(m.conv(x[t]).flatten(1)) + m.rec(s))
        out.append(s)
    return torch.stack(out)


GOOD = Net(good)
MULTI = Net(lambda m, x: m.n2(m.whole(x)), "m")
SOFT = {"n1": neuron.IFNode(v_reset=None), "n2": neuron.IFNode(v_reset=None)}
CASES = {
    "max over time": (Net(lambda m, x: good(m, x).max(0)[0]), "the mean, the sum or the last step", GOOD),
    "amax over time": (Net(lambda m, x: good(m, x).amax(0)), "the mean, the sum or the last step", GOOD),
    "keepdim": (Net(lambda m, x: good(m, x).mean(0, keepdim=True)), "x.mean(0) over time", GOOD),
    "mean over the batch": (Net(lambda m, x: good(m, x).mean(1)), "x.mean(0) over time", GOOD),
    "scaled": (Net(lambda m, x: good(m, x) * 0.5), "a VoltageScaler, or scaled weights", GOOD),
    "a wrong mean": (Net(lambda m, x: good(m, x).sum(0) / 3), "a VoltageScaler, or scaled weights", GOOD),
    "difference": (
        Net(lambda m, x: m.n2(m.fc(m.conv(x).flatten(1)) - m.rec(m.fc(m.conv(x).flatten(1))))),
        "a layer with the opposite weights, and the sum",
        Net(lambda m, x: m.n2(m.fc(m.conv(x).flatten(1)) + m.rec(m.fc(m.conv(x).flatten(1))))),
    ),
    "softmax": (Net(lambda m, x: good(m, x).mean(0).softmax(-1)), "class scores are decoded after", GOOD),
    "a layer by its function": (
        Net(lambda m, x: m.n1(nn.functional.conv2d(x, m.conv.weight))),
        "the module: nn.Linear, nn.Conv2d",
        Net(lambda m, x: m.n1(m.conv(x))),
    ),
    "chunks": (
        Net(lambda m, x: torch.stack([m.one(part[0]) for part in x.chunk(T)])),
        "x.unbind(0), or x[t]",
        Net(lambda m, x: torch.stack([m.one(x_t) for x_t in x.unbind(0)])),
    ),
    "random": (
        Net(lambda m, x: m.one((x > torch.rand_like(x)).float())),
        "make the spikes of the input before",
        GOOD,
    ),
    "random dropout": (
        Net(lambda m, x: m.one(nn.functional.dropout(x))),
        "training=self.training",
        Net(lambda m, x: m.one(nn.functional.dropout(x, training=m.training))),
    ),
    "steps that differ": (
        Net(lambda m, x: torch.stack([m.one(x[t]) for t in (0, 2, 1, 3)])),
        "for t in range",
        GOOD,
    ),
    "some steps": (Net(lambda m, x: torch.stack([m.one(x[t]) for t in range(2)])), "--timesteps 2", GOOD),
    "a slice": (Net(lambda m, x: m.one(x[0:2].flatten(0, 1))), "x[t] of [T, B, ...]", GOOD),
    "step 1 of the spikes": (Net(lambda m, x: good(m, x)[1]), "torch.stack(steps)", GOOD),
    "twice in a step": (
        Net(lambda m, x: torch.stack([m.one(x[t]) + m.one(x[t]) for t in steps(x)])),
        "a neuron of its own for each place",
        GOOD,
    ),
    "by hand": (Net(by_hand), "RLeaky of snnTorch or LIFRecurrentCell of Norse", GOOD),
    "reset between steps": (
        Net(lambda m, x: torch.stack([(functional.reset_net(m), m.one(x[t]))[1] for t in steps(x)])),
        "reset the network before a run, outside of forward",
        GOOD,
    ),
    "reset in every call": (
        Net(lambda m, x: (functional.reset_net(m), m.one(x))[1]),
        "reset the network before a run, outside of forward",
        Net(lambda m, x: m.one(x)),
    ),
    "time mixed with batch": (
        Net(lambda m, x: m.n2(m.fc(m.conv(x.flatten(0, 1)).view(x.shape[1], x.shape[0], -1))), "m"),
        "flatten(2) of [T, B, ...]",
        MULTI,
    ),
    "single-step neurons on a sequence": (
        Net(lambda m, x: m.n2(m.whole(x))),
        "functional.set_step_mode(net, 'm')",
        MULTI,
    ),
    "multi-step neurons on steps": (Net(good, "m"), "functional.set_step_mode(net, 's')", GOOD),
    "batch norm over the batch axis": (
        Net(lambda m, x: m.n2(m.norm(m.whole(x))), "m", norm=nn.BatchNorm1d(2)),
        "x.flatten(0, 1) in front",
        Net(lambda m, x: m.n2(m.norm(m.whole(x).flatten(0, 1)).unflatten(0, x.shape[:2])), "m"),
    ),
    "a neuron in SeqToANNContainer": (
        Net(lambda m, x: m.body(x), "m", body=layer.SeqToANNContainer(nn.Conv2d(2, 3, 1), neuron.IFNode())),
        "the neuron behind it",
        Net(lambda m, x: m.n1(m.body(x)), "m", body=layer.SeqToANNContainer(nn.Conv2d(2, 3, 1))),
    ),
    "a delay in a loop": (
        Net(lambda m, x: torch.stack([m.n1(m.delay(m.conv(x[t]))) for t in steps(x)])),
        "functional.set_step_mode(net, 'm')",
        Net(lambda m, x: m.n1(m.delay(m.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))), "m"),
    ),
    "no spikes": (
        Net(good, n1=neuron.LIFNode(surrogate_function=surrogate.Sigmoid(spiking=False))),
        "surrogate_function with spiking=True",
        Net(good, n1=neuron.LIFNode(surrogate_function=surrogate.Sigmoid(spiking=True))),
    ),
    "mixed resets": (
        Net(good, n1=neuron.IFNode(v_reset=None)),
        "v_reset=None in all neurons",
        Net(good, **SOFT),
    ),
    "an overridden rule": (Net(good, n1=MyRule()), "a subclass that overrides nothing", GOOD),
    "an overridden layer": (Net(good, fc=MyLinear(108, 4)), "the module: nn.Linear", GOOD),
    "a ReLU": (Net(good, n1=nn.ReLU()), "a spiking neuron", GOOD),
    "two outputs": (Net(lambda m, x: (good(m, x), x)), "the output first", Net(lambda m, x: (good(m, x), 1))),
    "a dict": (Net(lambda m, x: {"out": good(m, x)}), "the output first", GOOD),
    "a value twice": (
        Net(lambda m, x: (lambda h: m.n1(h + h))(m.conv(x))),
        "scaled weights",
        Net(lambda m, x: m.n1(m.conv(x))),
    ),
    "a constant": (Net(lambda m, x: m.n1(m.conv(x) + 1.0)), "a bias", Net(lambda m, x: m.n1(m.conv(x)))),
}


@pytest.mark.parametrize("case", CASES)
def test_the_way_out_works(case):
    refused_with_a_way_out(*CASES[case])


class Locked(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self, *held):
        super().__init__()
        self.fc, self.held = nn.Linear(12, 4), held

    def forward(self, x):
        return self.fc(x)


def test_what_cannot_be_copied_is_said():
    def endless():
        yield 1

    with pytest.raises(UnsupportedError, match=r"cannot be copied.*try: keep open files, locks"):
        read_module(Locked(endless()), (12,), semantics=Semantics(timesteps=T))
    read_module(Locked(), (12,), semantics=Semantics(timesteps=T))


def test_another_number_of_steps_is_read_when_stated():
    net = Net(lambda m, x: torch.stack([m.one(x) for _ in range(3)]))
    with pytest.raises(UnsupportedError, match="try: --timesteps 3"):
        read_module(net, SHAPE, semantics=Semantics(timesteps=T))
    assert read_module(net, SHAPE, semantics=Semantics(timesteps=3)).calling.timesteps == 3


def test_a_second_input_is_read_when_it_has_a_default():
    class Second(Net):
        def forward(self, x, mask):
            return self.one(x)

    class Defaulting(Net):
        def forward(self, x, mask=None):
            return self.one(x) if mask is None else mask

    with pytest.raises(UnsupportedError, match="try: give it the default None"):
        read_module(Second(good), SHAPE, semantics=Semantics(timesteps=T))
    read_module(Defaulting(good), SHAPE, semantics=Semantics(timesteps=T))
