"""Students in the chip's arithmetic, what is exported of them, and networks to make them of."""

from __future__ import annotations

from collections import OrderedDict

import torch
from spikingjelly.activation_based import layer
from torch import nn

from snn_deploy.graph.passes.quantize.quantize import Quantize, Quantized
from snn_deploy.graph.passes.to_chip.input_grid import input_grid
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.chip import as_real, convert, set_numbers, trained_form
from snn_deploy.models.chip_draft import draft
from snn_deploy.simulate.reference import Reference
from support.students import MakeNeuron


def put_on_chip(net: nn.Module, x: torch.Tensor, bits: int) -> Quantized:
    """Convert ``net`` in place with the scales of its post-training quantisation on ``x``; it is returned."""
    drafted = draft(net, tuple(x.shape[2:]), Semantics(timesteps=len(x)))
    spikes = Reference(drafted.plan).run(x, record=True).records
    quantized = Quantize(x, spikes, bits=bits, nearest=True)(drafted.chain)
    convert(net, drafted.plan, bits)
    set_numbers(net, drafted, quantized, input_grid(x))
    return quantized


def exported(net: nn.Module, x: torch.Tensor) -> Quantized:
    """What an exporter makes of a converted ``net`` when it calibrates on ``x``."""
    plan = make_plan(from_torch(as_real(net), tuple(x.shape[2:]), semantics=Semantics(timesteps=len(x))))
    form = trained_form(net, plan, "loihi2")
    spikes = Reference(plan).run(x, record=True).records
    return Quantize(x, spikes, bits=form.bits, trained=form)(Lower()(plan.graph))


def train_a_little(net: nn.Module, seed: int, size: float = 0.3) -> None:
    """Move every weight and bias, as training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight += size * weight.abs().mean() * torch.randn(weight.shape, generator=generator)


def random_student(seed: int, make: MakeNeuron, *, spiking: bool) -> tuple[nn.Sequential, tuple[int, ...]]:
    """Up to three convolutions (strides, dilation, groups, norms, average pools) and one or two dense layers;
    and the shape of their input."""
    generator = torch.Generator().manual_seed(seed)

    def pick(*options: int) -> int:
        return options[int(torch.randint(len(options), (), generator=generator))]

    shape = [pick(1, 2, 3), pick(5, 6, 9), pick(6, 8)]
    in_shape = tuple(shape)
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(pick(1, 2, 3)):
        channels, kernel, stride, dilation = pick(2, 4, 6), pick(1, 3), pick(1, 1, 2), pick(1, 1, 2)
        groups = pick(1, 2) if shape[0] % 2 == 0 else 1
        conv = layer.Conv2d(
            shape[0], channels, kernel, stride, kernel // 2, dilation, groups, pick(0, 1) == 1
        )
        parts = OrderedDict(conv=conv, norm=layer.BatchNorm2d(channels) if pick(0, 1) else nn.Identity())
        parts["neuron"] = make()
        size = [(n + 2 * (kernel // 2) - dilation * (kernel - 1) - 1) // stride + 1 for n in shape[1:]]
        if min(size) < 1:
            break
        if all(n % 2 == 0 for n in size) and pick(0, 1):
            parts["pool"], size = layer.AvgPool2d(2), [n // 2 for n in size]
        blocks[f"block{number}"] = nn.Sequential(parts)
        shape = [channels, *size]
    features = shape[0] * shape[1] * shape[2]
    blocks["flatten"] = layer.Flatten()
    blocks["drop"] = layer.Dropout(0.5)
    if pick(0, 1):
        hidden = layer.Linear(features, 7, bias=pick(0, 1) == 1)
        blocks["hidden"], features = nn.Sequential(OrderedDict(linear=hidden, neuron=make())), 7
    readout: OrderedDict[str, nn.Module] = OrderedDict(linear=layer.Linear(features, 4, bias=pick(0, 1) == 1))
    if spiking:
        readout["neuron"] = make()
    net = nn.Sequential(OrderedDict(blocks, readout=nn.Sequential(readout)))
    for module in net.modules():
        if hasattr(module, "step_mode"):
            module.step_mode = "m"
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data.normal_(0.2, 1.0, generator=generator).mul_(
                2.5 / module.weight[0].numel() ** 0.5
            )
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0.2, 0.2, generator=generator)
    return net.eval(), in_shape
