"""A student in the form that a chip computes: made from a real one, read back as a real one.

Batch norm is folded and frozen, dropout is left out, time constants become decays of 4096ths and are not
trained further; weights and biases go on learning as integers (:mod:`snn_deploy.models.chip_modules`). Module
paths stay what they were, so methods tap the same places and reports name the same layers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

from snn_deploy.graph.dynamics import discretise
from snn_deploy.graph.grains import input_grains
from snn_deploy.graph.lava.net import DECAY_ONE, neuron_of
from snn_deploy.graph.passes.quantize.quantize import Quantized
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid
from snn_deploy.graph.passes.to_chip.neurons import CubaForm
from snn_deploy.graph.readers.kinds import kind
from snn_deploy.graph.readers.torch_modules.layers import DROPPED
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.trained_form import TrainedForm
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan
from snn_deploy.models.chip_draft import Draft, consumers, populations_of
from snn_deploy.models.chip_modules import ChipConv2d, ChipLinear, ChipNeuron, ChipSynapses


def convert(student: nn.Module, plan: Plan, bits: int) -> None:
    """Replace the layers of ``student`` (in place) by those of the chip, with ``plan``'s folded weights.

    Scales are 1 and neurons neutral until :func:`set_numbers`, or a file, says otherwise.
    """
    device = next(student.parameters()).device
    for path, module in list(student.named_modules()):
        node = plan.graph.nodes.get(path) if path else None
        made: nn.Module
        if isinstance(node, WEIGHT_NODES):
            made = _synapses(module, node, _remembers(plan, path), bits)
        elif isinstance(node, SPIKING_NODES) and not isinstance(node, nir.Threshold):
            threshold = float(np.ravel(node.v_threshold)[0])
            made = ChipNeuron(threshold, module.surrogate_function, module.detach_reset)
        elif kind(type(module)) in DROPPED or isinstance(module, nn.modules.batchnorm._BatchNorm):
            made = nn.Identity()
        else:
            continue
        _replace(student, path, made.to(device))


def set_numbers(student: nn.Module, drafted: Draft, quantized: Quantized, grid: InputGrid) -> None:
    """Give a converted ``student`` the scales, decays and thresholds of a quantisation of its chain."""
    plan = drafted.plan
    grains = input_grains(plan, grid)
    places = {
        name: (layer, neuron_of(population), float(scale))
        for layer, population, scale in zip(
            drafted.chain.layers, quantized.net.populations, quantized.scales, strict=True
        )
        for name in populations_of(layer)
    }
    for path in plan.of_type(*WEIGHT_NODES):
        follower = consumers(plan, path)[0]
        fires = follower in places
        layer, cuba, scale = places[follower if fires else path]
        gain, grain = 1.0, grains[path]
        if fires:
            form = _cuba_form(plan, follower)
            assert form.threshold is not None and layer.threshold is not None
            gain = float(form.gain)
            scale *= layer.threshold / float(form.threshold)  # populations side by side share one threshold
            numbers = {
                "threshold": cuba.threshold,
                "current_decay": np.rint(form.current_leak * DECAY_ONE),
                "voltage_decay": np.rint(form.voltage_leak * DECAY_ONE),
            }
            _fill(student.get_submodule(follower), {"scale": scale, "gain": gain, **numbers})
        synapses = {"scale": scale, "gain": gain, "unit": grain.unit, "low": grain.low, "high": grain.high}
        _fill(student.get_submodule(path), synapses)


def as_real(student: nn.Module) -> nn.Module:
    """A copy of the converted ``student`` with real layers: weights ``W_q / S``, a threshold halfway between
    the last state that does not fire and the first that does.

    It lacks the truncation of the state toward zero (1/64 weight unit at every step), so leaking neurons may
    now and then fire at another step.
    """
    copied = copy.deepcopy(student)
    for path, module in list(copied.named_modules()):
        if isinstance(module, ChipSynapses | ChipNeuron):
            _replace(copied, path, module.as_real())
    return copied.eval()


def trained_form(student: nn.Module, plan: Plan, target: str) -> TrainedForm:
    """What an exporter must know to write the integers of the converted ``student`` whose real copy has the
    graph of ``plan``."""
    neurons = {n: m for n, m in student.named_modules() if isinstance(m, ChipNeuron)}
    synapses = {n: m for n, m in student.named_modules() if isinstance(m, ChipSynapses)}
    first = next(module for name, module in synapses.items() if _sees_input(plan, name))
    return TrainedForm(
        target=target,
        bits=first.bits,
        thresholds={name: module.real_threshold for name, module in neurons.items()},
        scales={n: float(m.scale) for n, m in synapses.items() if plan.output in consumers(plan, n)},
        grid=InputGrid(float(first.unit), (int(first.low), int(first.high)), 0.0),
    )


def _synapses(module: nn.Module, node: nir.NIRNode, remembers: bool, bits: int) -> ChipSynapses:
    """``module`` with the folded weights of ``node``. A bias is not for currents that remember."""
    weight = torch.from_numpy(np.array(node.weight, np.float32))
    bias = getattr(node, "bias", None)
    moved = None if bias is None or remembers else torch.from_numpy(np.array(bias, np.float32))
    if isinstance(module, nn.Conv2d):
        return ChipConv2d(module, weight, moved, bits)
    assert isinstance(module, nn.Linear)
    return ChipLinear(module, weight, moved, bits)


def _remembers(plan: Plan, path: str) -> bool:
    return any(isinstance(plan.node(b), nir.CubaLIF) for b in consumers(plan, path))


def _sees_input(plan: Plan, name: str) -> bool:
    """Whether the weights ``name`` take the network's input."""
    if not isinstance(plan.node(name), WEIGHT_NODES):
        return False
    sources = list(plan.sources[name])
    while sources and isinstance(plan.node(sources[0]), nir.Flatten):
        sources = list(plan.sources[sources[0]])
    return plan.input in sources


def _cuba_form(plan: Plan, name: str) -> CubaForm:
    """The neurons ``name`` as hardware computes them."""
    cuba = CubaForm.of(discretise(plan.node(name), read_semantics(plan.graph)), plan.shapes[name])
    assert cuba is not None  # lowering has refused what has none
    return cuba


def _replace(student: nn.Module, path: str, made: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(student.get_submodule(parent), name, made)


def _fill(module: nn.Module, numbers: Mapping[str, Any]) -> None:
    for name, value in numbers.items():
        module.get_buffer(name).fill_(float(value))
