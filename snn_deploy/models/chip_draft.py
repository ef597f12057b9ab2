"""Whether a student can be trained under the rules of a chip, and the chain that would be written of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nir
from spikingjelly.activation_based import neuron
from torch import nn

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.grains import input_grains
from snn_deploy.graph.lava.net import DECAY_ONE
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid
from snn_deploy.graph.passes.to_chip.layers import Chain, ChipLayer
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics, read_semantics, reset_of
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan

_RULE = "every population has weights of its own right before it"
_POOL_LATER = "pool behind neurons, add spikes rather than currents"
_FORWARD = "chip training knows layers that feed forward, a step at a time"
_LATER = "train without a target; the export has loops and delays in integers"
_HARD = "neurons that learn as integers reset to 0"
_TRAIN_HARD = "train with a hard reset (v_reset=0.0)"
_ALONE = "a maximum over spikes is a layer of its own"
_BINARY = InputGrid(1.0, (0, 1), 0.0)


@dataclass(frozen=True, slots=True)
class Draft:
    """A student that a chip can run, as the hub sees it: its graph and the chain that would be written."""

    plan: Plan
    chain: Chain


def draft(student: nn.Module, in_shape: tuple[int, ...], semantics: Semantics) -> Draft:
    """Round the time constants of ``student`` (in place) to the chip's, and lower its graph.

    Raises:
        UnsupportedError: every layer that cannot be trained under the rules, the rule, and a way out.
    """
    _round_decays(student)
    was_training = student.training
    plan = make_plan(from_torch(student.eval(), in_shape, semantics=semantics))
    student.train(was_training)
    problems = list(_pattern_problems(student, plan))
    try:
        chain = Lower()(plan.graph)
        input_grains(plan, _BINARY)
        problems += _mixed_layers(plan, chain)
    except UnsupportedError as error:
        refused = {problem.where for problem in error.problems}
        problems = [*error.problems, *(p for p in problems if p.rule != _HARD or p.where not in refused)]
    if problems:
        raise UnsupportedError(
            "The student cannot be trained under the rules of the chip.", problems=problems
        )
    return Draft(plan, chain)


def populations_of(layer: ChipLayer) -> tuple[str, ...]:
    """The populations that lie in ``layer``, without those that it relays."""
    return tuple(member.name for member in layer.members if not member.relay) or (layer.name,)


def consumers(plan: Plan, name: str) -> list[str]:
    """The nodes that the output of ``name`` goes to."""
    return [b for b in plan.order if name in plan.sources[b]]


def _pattern_problems(student: nn.Module, plan: Plan) -> Iterator[Problem]:
    """What a chain allows, but the layers of this module cannot do."""
    modules = dict(student.named_modules())
    for name in plan.order:
        node = plan.node(name)
        followers = [plan.node(b) for b in consumers(plan, name)]
        if plan.feedback.get(name):
            yield Problem(name, "is fed its own spikes", _FORWARD, "", _LATER)
        elif isinstance(node, nir.Delay):
            yield Problem(name, "waits", _FORWARD, "", _LATER)
        elif name == plan.input:
            if not all(isinstance(b, (*WEIGHT_NODES, nir.Flatten)) for b in followers):
                yield Problem(name, "does not go straight into weights", _RULE, "", "pool behind the neurons")
        elif name == plan.output:
            sources = [plan.node(a) for a in plan.sources[name]]
            if len(sources) > 1 and any(isinstance(a, WEIGHT_NODES) for a in sources):
                yield Problem(name, "adds currents", _RULE, "", "one readout")
        elif isinstance(node, (*WEIGHT_NODES, *SPIKING_NODES)) and name not in modules:
            yield Problem(name, "is a layer that is used twice", "every layer has weights of its own")
        elif isinstance(node, SPIKING_NODES) and not isinstance(node, nir.Threshold):
            if reset_of(node, read_semantics(plan.graph)) != "zero":
                yield Problem(name, "subtracts the threshold at a spike (soft reset)", _HARD, "", _TRAIN_HARD)
            sources = [plan.node(a) for a in plan.sources[name]]
            if len(sources) != 1 or not isinstance(sources[0], WEIGHT_NODES):
                yield Problem(name, "neurons that do not follow one layer of weights", _RULE, "", _POOL_LATER)
        elif isinstance(node, WEIGHT_NODES) and not (
            len(followers) == 1 and isinstance(followers[0], (*SPIKING_NODES, nir.Output))
        ):
            yield Problem(
                name, "weights whose currents do not go straight into neurons", _RULE, "", _POOL_LATER
            )


def _mixed_layers(plan: Plan, chain: Chain) -> Iterator[Problem]:
    """Maxima have weights of their own, which training would not know."""
    for layer in chain.layers:
        beside = populations_of(layer)
        maxima = [name for name in beside if isinstance(plan.graph.nodes.get(name), nir.Threshold)]
        if maxima and (len(beside) > 1 or layer.relays):
            others = ", ".join(name for name in beside if name not in maxima) or "relays of a skip path"
            yield Problem(maxima[0], f"a maximum beside {others}", _ALONE, "", "pool by stride or average")


def _round_decays(student: nn.Module) -> None:
    module: Any
    for module in student.modules():
        if type(module) is neuron.LIFNode:
            module.tau = DECAY_ONE / _decay(1 / module.tau)
        elif type(module) is neuron.ParametricLIFNode:
            share = _decay(float(module.w.detach().sigmoid())) / DECAY_ONE
            module.w.data.fill_(math.log(share / (1 - share)))
        elif type(module) is neuron.CUBALIFNode:
            module.c_decay = 1 - _decay(1 - module.c_decay) / DECAY_ONE
            module.v_decay = 1 - _decay(1 - module.v_decay) / DECAY_ONE


def _decay(share: float) -> int:
    """The 12-bit decay nearest to a lost ``share``; a leaky neuron keeps some and loses some."""
    return min(max(round(share * DECAY_ONE), 1), DECAY_ONE - 1)
