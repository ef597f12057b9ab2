"""Small spikingjelly networks of every neuron we export, weighted so that every layer spikes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

IN_SHAPE = (2, 12, 12)
CLASSES = 10
MakeNeuron = Callable[[], nn.Module]


def _lif(**options) -> MakeNeuron:
    return lambda: neuron.LIFNode(**options)


def _plif(**options) -> MakeNeuron:
    return lambda: neuron.ParametricLIFNode(**options)


def _if(**options) -> MakeNeuron:
    return lambda: neuron.IFNode(**options)


def _cuba(**options) -> MakeNeuron:
    return lambda: neuron.CUBALIFNode(**options)


NEURONS: dict[str, MakeNeuron] = {
    "LIF": _lif(),
    "LIF, tau 3": _lif(tau=3.0),
    "LIF, no decay of the input": _lif(tau=2.5, decay_input=False),
    "LIF, v_reset -0.1": _lif(tau=1.7, v_reset=-0.1),
    "LIF, v_reset 0.1, no decay": _lif(tau=1.7, v_reset=0.1, decay_input=False),
    "LIF, soft reset": _lif(tau=2.3, v_reset=None),
    "LIF, soft reset, no decay": _lif(tau=3.3, v_reset=None, decay_input=False, v_threshold=0.7),
    "PLIF": _plif(init_tau=2.7),
    "PLIF, no decay": _plif(init_tau=2.7, decay_input=False),
    "IF": _if(),
    "IF, soft reset": _if(v_reset=None),
    "IF, v_reset 0.2": _if(v_reset=0.2),
    "CUBA": _cuba(),
    "CUBA, other decays": _cuba(c_decay=0.3, v_decay=0.6, v_threshold=0.9),
}


def student(
    make: MakeNeuron,
    *,
    norm: bool = False,
    pool: bool = True,
    seed: int = 0,
    size: int = IN_SHAPE[1],
    gain: float = 14.0,
) -> nn.Sequential:
    """conv, neuron, pool - strided conv, neuron - flatten, dropout - linear, neuron - linear, neuron.

    Takes frames of ``size`` x ``size``; weights are ``gain`` times torch's initial ones.
    """
    torch.manual_seed(seed)

    def block(conv: nn.Module, channels: int, **more: nn.Module) -> nn.Sequential:
        normed = {"norm": layer.BatchNorm2d(channels)} if norm else {}
        return nn.Sequential(OrderedDict(conv=conv, **normed, neuron=make(), **more))

    pools = {"pool": layer.AvgPool2d(2)} if pool else {}
    side = size // 4 if pool else size // 2
    net = nn.Sequential(
        OrderedDict(
            block1=block(layer.Conv2d(2, 6, 3, padding=1, bias=False), 6, **pools),
            block2=block(layer.Conv2d(6, 8, 3, padding=1, stride=2), 8),
            flatten=layer.Flatten(),
            drop=layer.Dropout(0.5),
            hidden=nn.Sequential(OrderedDict(linear=layer.Linear(8 * side**2, 24), neuron=make())),
            readout=nn.Sequential(OrderedDict(linear=layer.Linear(24, CLASSES, bias=False), neuron=make())),
        )
    )
    functional.set_step_mode(net, "m")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 1.0, 2.0)
            nn.init.normal_(module.bias, 0, 0.2)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data.mul_(gain)
    return net.eval()


def lively(network: nn.Module) -> nn.Module:
    """Weights and statistics with which every layer spikes, and norms that are worth folding."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 1.0, 2.0)
            nn.init.normal_(module.bias, 0.5, 0.5)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            gain = 10.0 if isinstance(module, nn.Linear) else 5.0
            nn.init.normal_(module.weight, 0, gain / module.weight[0].numel() ** 0.5)
    return network.eval()


def spikes_in(steps: int = 6, batch: int = 3, rate: float = 0.3, shape=IN_SHAPE) -> torch.Tensor:
    """Random input spikes ``[T, B, *shape]``."""
    return (torch.rand(steps, batch, *shape) < rate).float()


def multi(net: nn.Module) -> nn.Module:
    """``net`` in multi-step mode, for evaluation."""
    functional.set_step_mode(net, "m")
    return net.eval()


def pooled(**options: Any) -> nn.Module:
    """A maximum over the spikes of a neuron."""
    return multi(nn.Sequential(OrderedDict(neuron=neuron.IFNode(), pool=layer.MaxPool2d(**options))))
