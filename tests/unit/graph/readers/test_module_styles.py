"""Modules that handle time themselves: their own spikes in every layer, over random weights and inputs."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.ann2snn.modules import VoltageScaler
from support.module_styles import OFTEN, SHAPE, B, T, equal, frames, often_equal, weighted
from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import read_module
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.models.module_executable import ModuleExecutable
from snn_deploy.simulate.reference import Reference


class Layers(nn.Module):
    """What all styles have; ``mode`` is the step mode of the neurons."""

    def __init__(self, mode: str = "s", **_: object):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.n1 = neuron.LIFNode(step_mode=mode)
        self.fc = nn.Linear(108, 4)
        self.n2 = neuron.IFNode(step_mode=mode, v_reset=0.0)

    def one(self, x):
        return self.n2(self.fc(self.n1(self.conv(x)).flatten(1)))


class LoopOverInput(Layers):
    def forward(self, x):
        return torch.stack([self.one(x[t]) for t in range(x.shape[0])])


class LoopMean(Layers):
    def forward(self, x):
        out = []
        for x_t in x:
            out.append(self.one(x_t))
        return torch.stack(out, dim=0).mean(0)


class Accumulates(Layers):
    def forward(self, x):
        total = 0
        for t in range(len(x)):
            total = total + self.one(x[t])
        return total / x.size(0)


class Sums(Layers):
    def forward(self, x):
        total = self.one(x[0])
        for t in range(1, x.shape[0]):
            total += self.one(x[t])
        return total


class LastStep(Layers):
    def forward(self, x):
        for t in range(x.shape[0]):
            out = self.one(x[t])
        return out


class RepeatsByLoop(Layers):
    def forward(self, x):
        h = self.conv(x)
        return torch.stack([self.n2(self.fc(self.n1(h).flatten(1))) for _ in range(T)])


class Folds(Layers):
    def __init__(self):
        super().__init__("m")

    def forward(self, x):
        t, b = x.shape[:2]
        h = self.conv(x.flatten(0, 1))
        h = self.n1(h.view(t, b, *h.shape[1:]))
        h = self.fc(h.flatten(0, 1).flatten(1))
        return self.n2(h.reshape(t, b, -1))


class RepeatsAndFolds(Folds):
    def forward(self, x):
        return super().forward(x.unsqueeze(0).repeat(T, 1, 1, 1, 1)).mean(dim=0)


class SamplesFirst(Layers):
    def forward(self, x):
        return torch.stack([self.one(x[:, t]) for t in range(x.size(1))], dim=1)


class Transposes(Folds):
    def forward(self, x):
        return super().forward(x.permute(1, 0, 2, 3, 4)).transpose(0, 1)


class TimeSecond(Layers):
    def forward(self, x):
        return torch.stack([self.one(x[t]) for t in range(len(x))], dim=1)


class Glues(Layers):
    def forward(self, x):
        return torch.cat([self.one(x[t]).unsqueeze(0) for t in range(len(x))], dim=0)


class RepeatsRows(Folds):
    """The batch again and again along its own axis, unfolded later."""

    def forward(self, x):
        h = self.n1(self.conv(x.repeat(T, 1, 1, 1)).view(T, -1, 3, 6, 6))
        return self.n2(self.fc(h.flatten(2))).sum(0) / T


class RepeatsLater(Folds):
    """Direct coding: the first layer works once."""

    def forward(self, x):
        h = self.conv(x).unsqueeze(0).expand(T, -1, -1, -1, -1)
        return self.n2(self.fc(self.n1(h).flatten(2))).mean(0)


class Resets(Layers):
    def forward(self, x):
        functional.reset_net(self)
        return torch.stack([self.one(x_t) for x_t in x.unbind(0)])


class OneStep(Layers):
    def forward(self, x):
        return self.one(x)


class Averages(Layers):
    """Pooling by functions, and means over whole maps."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def one(self, x):
        h = nn.functional.avg_pool2d(self.n1(self.conv(x)), 2)
        return self.n2(self.fc(h.mean((-2, -1))))

    def forward(self, x):
        return torch.stack([self.one(x_t) for x_t in x])


class LoopsInside(Layers):
    def __init__(self):
        super().__init__()
        self.body = layer.MultiStepContainer(self.conv, self.n1, nn.Flatten(), self.fc, self.n2)
        del self.n1, self.n2

    def forward(self, x):
        return self.body(x)


class Container(Layers):
    def __init__(self):
        super().__init__("m")
        self.front = layer.SeqToANNContainer(self.conv)
        self.back = layer.SeqToANNContainer(nn.Flatten(), self.fc)

    def forward(self, x):
        return self.n2(self.back(self.n1(self.front(x))))


class MyNeuron(neuron.LIFNode):
    def __init__(self, gain: float = 0.5):
        super().__init__(tau=1.5, v_threshold=gain, step_mode="m")
        self.gain = gain

    def extra_repr(self):
        return "mine"


class Subclass(Folds):
    def __init__(self):
        super().__init__()
        self.n1 = MyNeuron()


class Learns(Folds):
    """PLIF in step mode s, in nested Sequentials."""

    def __init__(self):
        super().__init__()
        front = nn.Sequential(self.conv, nn.BatchNorm2d(3), neuron.ParametricLIFNode(init_tau=3.0))
        self.net = nn.Sequential(front, nn.Sequential(nn.Flatten(), self.fc), neuron.IFNode())

    def forward(self, x):
        return torch.stack([self.net(x_t) for x_t in x])


class Scaled(Folds):
    def __init__(self):
        super().__init__()
        self.n1 = nn.Sequential(VoltageScaler(0.5, step_mode="m"), neuron.IFNode(step_mode="m"))


REPEATING = (RepeatsByLoop, RepeatsAndFolds, RepeatsRows, RepeatsLater)
BY_SAMPLE = (SamplesFirst, Transposes)
STYLES = (
    *REPEATING,
    *BY_SAMPLE,
    LoopOverInput,
    LoopMean,
    Accumulates,
    Sums,
    LastStep,
    TimeSecond,
    Glues,
    Folds,
    Resets,
    OneStep,
    Averages,
    LoopsInside,
    Container,
    Subclass,
    Learns,
    Scaled,
)


@OFTEN
@pytest.mark.parametrize("style", STYLES)
def test_spikes_are_those_of_the_module(style, tries):
    often_equal(style, tries, still=style in REPEATING)


@pytest.mark.parametrize("style", STYLES)
def test_the_output_is_what_the_module_returns(style):
    net, x = weighted(style(), 3), frames(still=style in REPEATING)
    _, output, _ = equal(net, x)
    functional.reset_net(net)
    taken = x[0] if style in REPEATING else x.transpose(0, 1) if style in BY_SAMPLE else x
    with torch.no_grad():
        own = torch.stack([net(x_t) for x_t in x]) if style is OneStep else net(taken)
    if style in (*BY_SAMPLE, TimeSecond):
        own = own.transpose(0, 1)
    means = (LoopMean, Accumulates, RepeatsAndFolds, RepeatsRows, RepeatsLater)
    reduced = {**dict.fromkeys(means, output.mean(0)), Sums: output.sum(0), LastStep: output[-1]}
    assert torch.allclose(reduced.get(style, output), own, atol=1e-5)


@pytest.mark.parametrize("style", STYLES)
def test_the_number_of_steps_need_not_be_stated(style):
    equal(weighted(style(), 3), frames(still=style in REPEATING), None)


def test_what_was_found():
    semantics = Semantics(timesteps=T)
    repeats = read_module(weighted(RepeatsAndFolds(), 3), SHAPE, semantics=Semantics())
    assert (repeats.calling.time, repeats.calling.result) == ("repeats", "mean")
    assert read_semantics(repeats.graph).timesteps == T
    last = read_module(weighted(LastStep(), 3), SHAPE, semantics=semantics)
    assert (last.calling.result, read_semantics(last.graph).decode) == ("last", "last")
    assert "returns the last step" in last.calling.sentence()


def test_a_repeating_module_is_not_given_a_film():
    net = weighted(RepeatsByLoop(), 3)
    read = read_module(net, SHAPE, semantics=Semantics())
    with pytest.raises(ConfigError, match="change from step to step"):
        ModuleExecutable(net, read.calling, read.shapes).run(frames())
    with pytest.raises(ConfigError, match="runs 4 steps by itself; the data have 2"):
        ModuleExecutable(net, read.calling, read.shapes).run(frames()[:2])


def test_forced_layers_are_seen_behind_them():
    net, x = weighted(LoopMean(), 3), frames()
    read = read_module(net, SHAPE, semantics=Semantics(timesteps=T))
    silent = {"n1": torch.zeros(T, B, 3, 6, 6)}
    judge = ModuleExecutable(net, read.calling, read.shapes)
    found = judge.run(x, record=True, forced=silent)
    expected = Reference(make_plan(read.graph)).run(x, record=True, forced=silent)
    assert torch.equal(found.records["n1"], judge.run(x, record=True).records["n1"])
    assert torch.equal(found.records["n2"], expected.records["n2"])
