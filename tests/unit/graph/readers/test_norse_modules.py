"""Norse's cells and layers in modules: states handed on inside, by SequentialState, or by the caller."""

from __future__ import annotations

import pytest
import torch
from support.module_styles import OFTEN, T, equal, frames, kept, often_equal, refused_with_a_way_out, weighted
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.readers.from_torch import read_module
from snn_deploy.graph.semantics import Semantics

norse = pytest.importorskip("norse.torch")
SEMANTICS = Semantics(timesteps=T)


def lif(**how):
    given = {"v_th": 0.3, "tau_mem_inv": torch.tensor(300.0), **how}
    return norse.LIFParameters(**given)


def box(**how):
    given = {"v_th": torch.tensor(0.3), "tau_mem_inv": torch.linspace(200.0, 600.0, 16), **how}
    return norse.LIFBoxParameters(**given)


def iaf():
    from norse.torch.module.iaf import IAFCell

    return IAFCell()


def subtracting():
    from norse.torch.functional.reset import reset_subtract

    return norse.LIFBoxCell(box(reset_method=reset_subtract))


def cells(first, last):
    return norse.SequentialState(nn.Linear(12, 16), first, nn.Linear(16, 4), last)


CELLS = {
    "LIF, LI": lambda: cells(norse.LIFCell(lif()), norse.LICell()),
    "LIF away from 0": lambda: cells(norse.LIFCell(lif(v_leak=0.1, v_reset=0.1)), norse.LIFCell(lif())),
    "LIFBox, LIBox": lambda: cells(norse.LIFBoxCell(box()), norse.LIBoxCell()),
    "LIFBox that subtracts": lambda: cells(subtracting(), norse.LICell()),
    "IAF": lambda: cells(iaf(), iaf()),
    "LILinear": lambda: norse.SequentialState(
        nn.Linear(12, 16), norse.LIFCell(lif()), norse.LILinearCell(16, 4)
    ),
    "recurrent": lambda: norse.SequentialState(
        norse.LIFRecurrentCell(12, 16, lif()), nn.Linear(16, 4), iaf()
    ),
    "nested": lambda: norse.SequentialState(
        norse.SequentialState(nn.Linear(12, 16), norse.LIFCell(lif())), nn.Linear(16, 4), norse.LIFCell(lif())
    ),
}
LAYERS = {
    "LIF, LI": lambda: cells(norse.LIF(lif()), norse.LI()),
    "recurrent": lambda: norse.SequentialState(
        norse.LIFRecurrent(12, 16, lif()), nn.Linear(16, 4), norse.LIF(lif())
    ),
}


@OFTEN
@pytest.mark.parametrize("name", CELLS)
def test_the_state_goes_through_the_caller(name, tries):
    read = often_equal(CELLS[name], tries, (12,), layers=1)
    assert (read.calling.time, read.calling.carries) == ("steps", True)
    assert "with the state that it returned" in read.calling.sentence()


@OFTEN
@pytest.mark.parametrize("name", LAYERS)
def test_layers_over_time(name, tries):
    assert often_equal(LAYERS[name], tries, (12,), layers=1).calling.time == "sequence"


@OFTEN
def test_lifted_convolutions(tries):
    def net():
        return norse.SequentialState(
            norse.Lift(nn.Conv2d(2, 3, 3)), norse.LIF(lif()), norse.Lift(nn.AvgPool2d(2)), nn.Flatten(2),
            nn.Linear(12, 4), norse.LIF(lif()),
        )  # fmt: skip

    often_equal(net, tries)


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(12, 16), norse.LIFCell(lif())
        self.out, self.li = nn.Linear(16, 4), norse.LICell()

    def one(self, x, s=None, r=None):
        spikes, s = self.lif(self.fc(x), s)
        out, r = self.li(self.out(spikes), r)
        return out, s, r


class Loops(Loop):
    def forward(self, x):
        s, r, out = None, None, []
        for x_t in x:
            y, s, r = self.one(x_t, s, r)
            out.append(y)
        return torch.stack(out)


class LastMembrane(Loop):
    """As Norse's examples end: the last membrane of the readout."""

    def forward(self, x):
        s = r = None
        for t in range(x.shape[0]):
            y, s, r = self.one(x[t], s, r)
        return y


class StatesAsArguments(Loop):
    def forward(self, x, s=None, r=None):
        return self.one(x, s, r)


@OFTEN
@pytest.mark.parametrize("style", [Loops, LastMembrane, StatesAsArguments])
def test_states_are_handed_on(style, tries):
    read = often_equal(style, tries, (12,), layers=1)
    assert read.calling.result == ("last" if style is LastMembrane else "steps")


def test_the_caller_gets_what_the_graph_gives():
    net, x = weighted(CELLS["LIF, LI"](), 1), frames(1, (12,))
    untouched = kept(net)
    _, output, _ = equal(net, x)
    untouched()
    state, own = None, []
    with torch.no_grad():
        for x_t in x:
            y, state = net(x_t, state)
            own.append(y)
    assert torch.allclose(torch.stack(own), output, atol=1e-6)


class Forgets(Loop):
    def forward(self, x):
        return torch.stack([self.one(x_t)[0] for x_t in x])


class Swaps(Loop):
    def forward(self, x, r=None, s=None):
        return self.one(x, s, r)


class NoState(Loop):
    def forward(self, x):
        return self.one(x)[0]


REFUSED = {
    Forgets: "hand on what it returned: out, state = neuron(x[t], state)",
    Swaps: "a state as argument with default None that is returned too",
    NoState: "a state as argument with default None that is returned too",
}


@pytest.mark.parametrize("style", REFUSED)
def test_lost_states_are_refused_with_a_way_out(style):
    """The ways are those of ``Loops`` and ``StatesAsArguments``, which are read."""
    with pytest.raises(UnsupportedError) as caught:
        read_module(style(), (12,), semantics=SEMANTICS)
    assert REFUSED[style] in str(caught.value)


WAYS = [
    (lif(method="logistic"), "method='super'", lif(method="super")),
    (lif(v_leak=0.1), "v_reset = v_leak", lif(v_leak=0.1, v_reset=0.1)),
    (
        lif(tau_mem_inv=torch.tensor(2000.0)),
        "a shorter dt, or a longer tau",
        lif(tau_mem_inv=torch.tensor(900.0)),
    ),
]


@pytest.mark.parametrize(("wrong", "says", "right"), WAYS)
def test_settings_are_refused_with_a_way_out(wrong, says, right):
    nets = [cells(norse.LIFCell(how), norse.LICell()) for how in (wrong, right)]
    refused_with_a_way_out(nets[0], f"try: {says}", nets[1], (12,))


def test_other_neurons_are_refused_by_name():
    net = cells(norse.LIFRefracCell(), norse.LICell())
    with pytest.raises(UnsupportedError, match=r"'LIFRefracCell'.*try: one of IAFCell, LIFBoxCell"):
        read_module(net, (12,), semantics=SEMANTICS)
