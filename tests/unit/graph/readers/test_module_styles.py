"""Modules that handle time themselves: the module's own spikes in every layer, or refused with a way out."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.ann2snn.modules import VoltageScaler
from torch import nn

from snn_deploy.core.errors import ConfigError, UnsupportedError
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import read_module
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.models.module_executable import ModuleExecutable
from snn_deploy.simulate.reference import Reference

T, B, SHAPE = 4, 5, (2, 6, 6)


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


class Scaled(Folds):
    def __init__(self):
        super().__init__()
        self.n1 = nn.Sequential(VoltageScaler(0.5, step_mode="m"), neuron.IFNode(step_mode="m"))


REPEATING = (RepeatsByLoop, RepeatsAndFolds)
STYLES = (
    LoopOverInput,
    LoopMean,
    Accumulates,
    Sums,
    LastStep,
    RepeatsByLoop,
    Folds,
    RepeatsAndFolds,
    Container,
    Subclass,
    Scaled,
)


def frames(*, still: bool = False) -> torch.Tensor:
    x = (torch.rand(T, B, *SHAPE, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    return x[:1].expand(T, *x.shape[1:]) if still else x


def made(style: type[nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    net = style()
    for parameter in net.parameters():
        parameter.data *= 5
    return net.eval()


def equal(net: nn.Module, x: torch.Tensor, timesteps: int | None = T, shape=SHAPE) -> torch.Tensor:
    read = read_module(net, shape, semantics=Semantics(timesteps=timesteps))
    plan = make_plan(read.graph)
    wanted = ModuleExecutable(net, read.calling, read.shapes).run(x, record=True)
    found = Reference(plan).run(x, record=True)
    assert set(wanted.records) == set(read.calling.layers) and len(wanted.records) >= 2
    for path, spikes in wanted.records.items():
        assert 0.001 < spikes.mean() < 0.999, path
        assert torch.equal(found.records[path], spikes), path
    assert torch.allclose(found.output, wanted.output, atol=1e-5)
    return found.output


@pytest.mark.parametrize("style", STYLES)
def test_spikes_are_those_of_the_module(style):
    net, x = made(style), frames(still=style in REPEATING)
    output = equal(net, x)
    functional.reset_net(net)
    with torch.no_grad():
        own = net(x[0] if style in REPEATING else x)
    reduced = {LoopMean: output.mean(0), Accumulates: output.mean(0), RepeatsAndFolds: output.mean(0)}
    reduced |= {Sums: output.sum(0), LastStep: output[-1]}
    assert torch.allclose(reduced.get(style, output), own, atol=1e-5)


@pytest.mark.parametrize("style", STYLES)
def test_the_number_of_steps_need_not_be_stated(style):
    equal(made(style), frames(still=style in REPEATING), None)


def test_what_was_found():
    semantics = Semantics(timesteps=T)
    repeats = read_module(made(RepeatsAndFolds), SHAPE, semantics=Semantics())
    assert (repeats.calling.time, repeats.calling.result) == ("repeats", "mean")
    assert read_semantics(repeats.graph).timesteps == T
    last = read_module(made(LastStep), SHAPE, semantics=semantics)
    assert (last.calling.result, read_semantics(last.graph).decode) == ("last", "last")
    assert "returns the last step" in last.calling.sentence()


def test_a_repeating_module_is_not_given_a_film():
    net = made(RepeatsByLoop)
    read = read_module(net, SHAPE, semantics=Semantics())
    with pytest.raises(ConfigError, match="change from step to step"):
        ModuleExecutable(net, read.calling, read.shapes).run(frames())
    with pytest.raises(ConfigError, match="runs 4 steps by itself; the data have 2"):
        ModuleExecutable(net, read.calling, read.shapes).run(frames()[:2])


def test_forced_layers_are_seen_behind_them():
    net, x = made(LoopMean), frames()
    read = read_module(net, SHAPE, semantics=Semantics(timesteps=T))
    silent = {"n1": torch.zeros(T, B, 3, 6, 6)}
    judge = ModuleExecutable(net, read.calling, read.shapes)
    found = judge.run(x, record=True, forced=silent)
    expected = Reference(make_plan(read.graph)).run(x, record=True, forced=silent)
    assert torch.equal(found.records["n1"], judge.run(x, record=True).records["n1"])
    assert torch.equal(found.records["n2"], expected.records["n2"])


class Concatenates(Layers):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(216, 4)

    def forward(self, x):
        h = self.n1(self.conv(x))
        return self.fc(torch.cat([h, h], 1).flatten(1))


class MyRule(neuron.LIFNode):
    def multi_step_forward(self, x_seq):
        return super().multi_step_forward(x_seq) * 0.5


class Overrides(Folds):
    def __init__(self):
        super().__init__()
        self.n1 = MyRule(step_mode="m")


class TimeSecond(Layers):
    def forward(self, x):
        return torch.stack([self.one(x[t]) for t in range(len(x))], dim=1)


class Fewer(Layers):
    def forward(self, x):
        return torch.stack([self.one(x[t]) for t in range(2)])


class OneStepLess(Layers):
    def forward(self, x):
        return torch.stack([self.one(x) for _ in range(3)])


REFUSED = {
    Concatenates: "conv_a(a) + conv_b(b)",
    Overrides: "n1: 'MyRule'",
    TimeSecond: "time is axis 0",
    Fewer: "runs 2 steps; 4 were asked for",
    OneStepLess: "--timesteps 3",
}


@pytest.mark.parametrize("style", REFUSED)
def test_refusals_name_a_way_out(style):
    with pytest.raises(UnsupportedError) as caught:
        read_module(made(style), SHAPE, semantics=Semantics(timesteps=T))
    assert REFUSED[style] in str(caught.value)
    assert "try:" in str(caught.value)


snn = pytest.importorskip("snntorch")


class Leaky(nn.Module):
    """As snnTorch's tutorials are written: the input again in every step, membranes handed on by hand."""

    def __init__(self, **options):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(12, 16), nn.Linear(16, 4)
        self.lif1, self.lif2 = snn.Leaky(beta=0.9, **options), snn.Leaky(beta=0.7, threshold=0.8, **options)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk_rec, mem_rec = [], []
        for _ in range(T):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk_rec.append(spk2)
            mem_rec.append(mem2)
        return torch.stack(spk_rec, dim=0), torch.stack(mem_rec, dim=0)


@pytest.mark.parametrize(
    "options", [{}, {"reset_mechanism": "zero"}, {"reset_mechanism": "none"}, {"reset_delay": False}]
)
def test_loops_of_snntorch(options):
    torch.manual_seed(2)
    net = Leaky(**options)
    for parameter in net.parameters():
        parameter.data *= 3
    x = torch.rand(1, 40, 12, generator=torch.Generator().manual_seed(0)).expand(T, 40, 12)
    output = equal(net, x, shape=(12,))
    with torch.no_grad():
        assert torch.equal(net(x[0])[0], output)


def test_a_hidden_state_of_snntorch():
    torch.manual_seed(2)
    hidden = {"init_hidden": True, "beta": 0.8}
    net = nn.Sequential(
        nn.Linear(12, 16), snn.Leaky(**hidden), nn.Linear(16, 4), snn.Leaky(**hidden, output=True)
    )
    for parameter in net.parameters():
        parameter.data *= 3
    equal(net, torch.rand(T, 40, 12), shape=(12,))


def test_other_neurons_go_by_their_exporters():
    net = nn.Sequential(nn.Linear(12, 16), snn.Synaptic(alpha=0.5, beta=0.8, init_hidden=True))
    with pytest.raises(UnsupportedError, match=r"export_to_nir.*--from snntorch"):
        read_module(net, (12,), semantics=Semantics(timesteps=T))
