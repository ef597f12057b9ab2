"""snnTorch's neurons in modules: as its tutorials are written, with hidden states, reset and recurrent."""

from __future__ import annotations

import pytest
import torch
from support.module_styles import OFTEN, T, equal, frames, often_equal, refused_with_a_way_out, weighted
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.readers.from_torch import read_module
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference

snn = pytest.importorskip("snntorch")
utils = pytest.importorskip("snntorch.utils")
RESETS = [{}, {"reset_mechanism": "zero"}, {"reset_mechanism": "none"}, {"reset_delay": False}]
FORGETS = {"reset_mechanism": "zero", "reset_delay": False}


def synaptic(count, **how):
    return snn.Synaptic(alpha=0.6, beta=torch.linspace(0.3, 0.95, count), **how)


def recurrent(count, **how):
    return snn.RLeaky(beta=0.8, linear_features=count, **how)


def one_to_one(count, **how):
    return snn.RLeaky(beta=0.8, V=torch.linspace(-1, 0.5, count), all_to_all=False, **how)


def recurrent_synaptic(count, **how):
    return snn.RSynaptic(alpha=0.5, beta=0.8, linear_features=count, **how)


def leaky(count, **how):
    return snn.Leaky(beta=torch.linspace(0.2, 0.9, count), threshold=0.8, **how)


def endless(_count, **how):
    return snn.Leaky(beta=1.0, **how)


NEURONS = (leaky, endless, synaptic, recurrent, one_to_one, recurrent_synaptic)
CASES = [
    (make, how)
    for make in NEURONS
    for how in (*RESETS, FORGETS)
    if make is not recurrent_synaptic or how.get("reset_delay", True)
]


@OFTEN
@pytest.mark.parametrize(("make", "how"), CASES)
def test_hidden_states_and_resets(make, how, tries):
    hidden = {"init_hidden": True, **how}

    def net():
        return nn.Sequential(
            nn.Linear(12, 16), make(16, **hidden), nn.Linear(16, 4), make(4, **hidden, output=True)
        )

    often_equal(net, tries, (12,))


class Tutorial(nn.Module):
    """The input again in every step, membranes handed on by hand."""

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


@OFTEN
@pytest.mark.parametrize("options", RESETS)
def test_loops_of_the_tutorials(options, tries):
    often_equal(lambda: Tutorial(**options), tries, (12,), still=True)
    net, x = weighted(Tutorial(**options), 2), frames(2, (12,), still=True)
    _, output, _ = equal(net, x)
    with torch.no_grad():
        assert torch.equal(net(x[0])[0], output)


class ByName(nn.Module):
    """Two states, by place and by name, and spikes handed back to a recurrent layer."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(12, 16), nn.Linear(16, 4)
        self.lif1, self.lif2 = snn.Synaptic(alpha=0.5, beta=0.8), snn.RLeaky(beta=0.7, linear_features=4)

    def forward(self, x):
        (syn, mem), (spk, mem2), out = self.lif1.reset_mem(), self.lif2.init_rleaky(), []
        for x_t in x:
            spk1, syn, mem = self.first(x_t, syn, mem)
            spk, mem2 = self.lif2(self.fc2(spk1), spk, mem2)
            out.append(spk)
        return torch.stack(out)

    def first(self, x_t, syn, mem):
        return self.lif1(self.fc1(x_t), mem=mem, syn=syn)


class ResetByUtils(ByName):
    def forward(self, x):
        utils.reset(self)
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(x_t))[0]))[0] for x_t in x])


@OFTEN
@pytest.mark.parametrize("style", [ByName, ResetByUtils])
def test_states_are_handed_on(style, tries):
    often_equal(style, tries, (12,))


def test_resets_by_utils_leave_other_networks_alone():
    other = snn.Leaky(beta=0.9, init_hidden=True)
    other(torch.ones(1, 3))
    before = other.mem.clone()
    equal(weighted(ResetByUtils(), 0), frames(0, (12,)))
    assert torch.equal(other.mem, before) and bool(before.any())


class Convolving(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(27, 4)
        self.lif1 = snn.RLeaky(beta=0.5, conv2d_channels=3, kernel_size=3, init_hidden=True)
        self.lif2 = snn.Leaky(beta=0.5, init_hidden=True)

    def forward(self, x):
        h = nn.functional.max_pool2d(self.lif1(self.conv(x)), 2)
        return self.lif2(self.fc(h.flatten(1)))


@OFTEN
def test_recurrent_convolutions(tries):
    often_equal(Convolving, tries, gain=3.0)


@pytest.mark.parametrize("make", [leaky, synaptic, recurrent, recurrent_synaptic])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_as_its_own_exporter_and_our_reading_of_the_file(make, reset, tmp_path):
    from support.snntorch_nets import exported

    hidden = {"init_hidden": True, "reset_mechanism": reset}
    net = weighted(nn.Sequential(nn.Linear(12, 16), make(16, **hidden)), 1)
    for part in net.modules():  # its exporter wants one value per neuron
        for name in ("beta", "alpha", "threshold"):
            if hasattr(part, name) and getattr(part, name).ndim == 0:
                setattr(part, name, getattr(part, name).expand(16).clone())
    x = frames(1, (12,))
    _, output, _ = equal(net, x)
    plan, _ = read_plan(exported(net, tmp_path / "net.nir", x), Reading(writer="snntorch", reset=reset))
    assert torch.equal(Reference(plan).run(x).output, output)


class Swapped(ByName):
    def first(self, x_t, syn, mem):
        return self.lif1(self.fc1(x_t), mem, syn)


class EveryCall(ByName):
    """One step in every call, from zero."""

    def forward(self, x):
        spk1, _, _ = self.lif1(self.fc1(x), *self.lif1.init_synaptic())
        return self.lif2(self.fc2(spk1))[0]


class ResetInEveryStep(ResetByUtils):
    def forward(self, x):
        utils.reset(self)
        return self.lif2(self.fc2(self.lif1(self.fc1(x))[0]))[0]


class Membranes(ByName):
    def forward(self, x):
        return torch.stack([self.lif1(self.fc1(x_t))[2] for x_t in x])


REFUSED = {
    Swapped: "hand on what it returned",
    EveryCall: "a loop over x[t] in forward",
    ResetInEveryStep: "reset the network before a run, outside of forward",
    Membranes: "the output first, torch.stack(steps)",
}


@pytest.mark.parametrize("style", REFUSED)
def test_refusals_name_a_way_out(style):
    """The way is that of ``ByName``, which is read."""
    with pytest.raises(UnsupportedError) as caught:
        read_module(style(), (12,), semantics=Semantics(timesteps=T))
    assert f"try: {REFUSED[style]}" in str(caught.value)
    assert all(problem.try_instead for problem in caught.value.problems)


HIDDEN = {"init_hidden": True}
WAYS = [
    (lambda: snn.Alpha(alpha=0.9, beta=0.8, **HIDDEN), "one of Leaky, Synaptic", lambda: leaky(4, **HIDDEN)),
    (lambda: leaky(4, inhibition=True, **HIDDEN), "inhibition=False", lambda: leaky(4, **HIDDEN)),
    (
        lambda: leaky(4, graded_spikes_factor=2.0, **HIDDEN),
        "graded_spikes_factor=1",
        lambda: leaky(4, **HIDDEN),
    ),
    (lambda: leaky(4, spike_grad=torch.tanh, **HIDDEN), "a surrogate of", lambda: leaky(4, **HIDDEN)),
    (lambda: leaky(3, **HIDDEN), "one value, or one per neuron", lambda: leaky(4, **HIDDEN)),
    (
        lambda: snn.Synaptic(alpha=1.0, beta=0.5, **HIDDEN),
        "alpha below 1",
        lambda: snn.Synaptic(alpha=0.9, beta=0.5, **HIDDEN),
    ),
    (
        lambda: recurrent_synaptic(4, reset_delay=False, **HIDDEN),
        "reset_delay=True",
        lambda: recurrent_synaptic(4, **HIDDEN),
    ),
]


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize(("wrong", "says", "right"), WAYS)
def test_settings_are_refused_with_a_way_out(wrong, says, right):
    nets = [nn.Sequential(nn.Linear(12, 4), make()) for make in (wrong, right)]
    refused_with_a_way_out(nets[0], f"try: {says}", nets[1], (12,))
