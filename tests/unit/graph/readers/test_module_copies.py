"""Reading and running touch nothing of the module: weights, states, modes, attributes, random numbers."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import neuron
from support.module_styles import T, equal, frames, kept
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.readers.from_torch import read_module
from snn_deploy.graph.semantics import Semantics

snn = pytest.importorskip("snntorch")


class Jelly(nn.Module):
    """Writes into itself, and draws random numbers, while it runs."""

    def __init__(self):
        super().__init__()
        self.fc, self.neuron, self.drop = nn.Linear(12, 16), neuron.LIFNode(), nn.Dropout(0.3)
        self.out, self.last = nn.Linear(16, 4), neuron.IFNode()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        self.history = [x]
        torch.rand(3)
        return self.last(self.out(self.drop(self.neuron(self.fc(x)))))


class Torch(Jelly):
    def __init__(self):
        super().__init__()
        self.neuron, self.last = (snn.Leaky(beta=0.8, init_hidden=True) for _ in range(2))


@pytest.mark.parametrize("style", [Jelly, Torch])
def test_in_the_middle_of_training(style):
    """States hold gradients, the module is in training mode and some parts are frozen."""
    torch.manual_seed(0)
    net = style().train()
    net.out.eval()
    net(frames(0, (12,))[0]).sum().backward()
    state = net.neuron.v if style is Jelly else net.neuron.mem
    before, gradient = state.detach().clone(), net.fc.weight.grad.clone()
    assert state.requires_grad
    untouched = kept(net)
    equal(net, frames(1, (12,)))
    untouched()
    now = net.neuron.v if style is Jelly else net.neuron.mem
    assert now is state and torch.equal(now.detach(), before)
    assert torch.equal(net.fc.weight.grad, gradient)
    assert type(net) is style


def test_a_refused_module_is_untouched_too():
    net = nn.Sequential(Jelly(), nn.ReLU())
    untouched = kept(net)
    with pytest.raises(UnsupportedError):
        read_module(net, (12,), semantics=Semantics(timesteps=T))
    untouched()
