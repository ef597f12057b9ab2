"""Networks with convolutions, pooling, flatten and dense layers on real samples, for the table of spikes."""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional, layer, neuron
from support.students import NEURONS, student
from torch import nn

from interop.exchange import Case
from snn_deploy.data.options.sets import DigitsDvsOptions
from snn_deploy.data.sets.synthetic import digits_dvs
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics

STEPS = 8
NETWORKS = (
    "LIF",
    "LIF, no decay of the input",
    "LIF, v_reset -0.1",
    "IF",
    "PLIF",
    "PLIF, no decay",
    "CUBA",
    "CUBA, other decays",
    "LIF, soft reset",
    "IF, soft reset",
)


def samples(count: int) -> torch.Tensor:
    """The first samples of the test split of digits-dvs, ``[T, B, 2, 16, 16]``."""
    data = digits_dvs(DigitsDvsOptions(), timesteps=STEPS)
    return data.test.batch(torch.arange(count))


def case(name: str, x: torch.Tensor, *, bias: bool = True) -> tuple[Case, nn.Module]:
    """The network called ``name`` as a case, and the torch network it is made from."""
    net = student(make(name), size=16, gain=10.0)
    if not bias:
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
    graph = from_torch(net, tuple(x.shape[2:]), semantics=Semantics(timesteps=len(x)))
    return Case(name if bias else f"{name}, no biases", graph, x), net


def dense_case(name: str, x: torch.Tensor) -> tuple[Case, nn.Module]:
    """Two dense layers without biases: what readers without convolutions take."""
    torch.manual_seed(0)
    flat = x.flatten(2)
    net = nn.Sequential(
        layer.Linear(flat.shape[2], 64, bias=False),
        make(name)(),
        layer.Linear(64, 10, bias=False),
        make(name)(),
    )
    for module in net.modules():
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(4.0)
    functional.set_step_mode(net, "m")
    graph = from_torch(net.eval(), tuple(flat.shape[2:]), semantics=Semantics(timesteps=len(x)))
    return Case(f"{name}, dense", graph, flat), net


def make(name: str):
    """The maker of the neurons of a network; CUBA with soft reset besides those of the unit tests."""
    if name == "CUBA, soft reset":
        return lambda: neuron.CUBALIFNode(v_reset=None)
    return NEURONS[name]
