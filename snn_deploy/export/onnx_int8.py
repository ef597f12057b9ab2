"""INT8 in the QDQ form: weights and their inputs in 8 bits, neurons in float32.

With s_x the scale of a layer's input x, s_c that of output channel c, and q() rounding to an integer:

    x   ~ s_x clip(q(x / s_x), -128, 127)            s_x by calibration, zero point 0
    w_c ~ s_c q(w_c / s_c)                           s_c = max |w_c| / 127
    b_c ~ s_x s_c q(b_c / (s_x s_c))                 32 bits, the scale of the accumulator

Symmetric quantisation per channel: Krishnamoorthi, arXiv 1806.08342; scale of the bias: Jacob et al., CVPR
2018, equation 11. The product stays at the precision of its accumulator and is not rounded to 8 bits again,
and neurons stay in float32: our choice, because a membrane would sum up the errors of all steps.

Inputs of weights in a spiking network are mostly numbers on a coarse grid: spikes, counts, averages. Where
all calibrated values are multiples of one number, at most 127 times it, that number is the scale and nothing
is lost. Other inputs (graded values, membranes) get s_x = max |x| / 127.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import nir
import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.later import later
from snn_deploy.graph.passes.protocol import Change, Made, Pass, parts
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.simulate.reference import Reference

LEVELS = 127
ACCUMULATOR = 2**31 - 1
TINY = 2.0**-100
"""Smaller scales are zero, so that products of scales are normal float32 numbers."""
HELD = 2**30
"""A bias in units of its accumulator; as much is left for the products."""
DEAD = 2.0**-16
"""A channel is dead beside its bias when the step that the bias needs is this small beside the coarsest step
of its layer; its weights, which are smaller still, are rounded to that step. Our choice; weight decay leaves
such channels behind a batch norm."""
GRID_TOLERANCE = 1e-3
"""Of one step of the grid; our choice."""
CALIBRATION_ELEMENTS = 2**24
"""Elements of all activations of one run of the calibration, which bounds its memory."""
_HALF = 0.5 + 1e-4
_FLOAT32 = 2.0**-22
"""Half a step, and what scales in float32 add to it in relation to the number."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """One layer of weights in integers.

    Attributes:
        x_scale: scale of the input.
        exact: whether the calibrated input lies on the grid of the scale.
        weight: int8, ``[out, ...]``.
        weight_scales: ``[out]``.
        bias: int32 ``[out]``, or None.
    """

    x_scale: float
    exact: bool
    weight: npt.NDArray[np.int8]
    weight_scales: npt.NDArray[np.float32]
    bias: npt.NDArray[np.int32] | None


@dataclass(slots=True)
class _Range:
    """What was seen of the input of one layer."""

    largest: float = 0.0
    values: torch.Tensor | None = field(default_factory=lambda: torch.zeros(1))
    """All distinct magnitudes seen; None once there are more than a grid of LEVELS steps can hold."""

    def see(self, x: torch.Tensor) -> None:
        self.largest = max(self.largest, float(x.abs().max()))
        if self.values is None:
            return
        sample = torch.unique(x.flatten()[: 4 * LEVELS].abs())  # most continuous inputs show it here
        if len(sample) <= LEVELS + 1:
            sample = torch.unique(torch.cat([self.values, torch.unique(x.abs())]))
        self.values = sample if len(sample) <= LEVELS + 1 else None

    def scale(self) -> tuple[float, bool]:
        """The scale, and whether all values are multiples of it."""
        if self.largest == 0.0:
            return 1.0, True
        if self.values is not None:
            gaps = self.values.double().diff()
            grid = float(gaps[gaps > GRID_TOLERANCE * self.largest / LEVELS].min())
            steps = self.values.double() / grid
            on_grid = (steps - steps.round()).abs() <= GRID_TOLERANCE
            if self.largest / grid <= LEVELS + GRID_TOLERANCE and bool(on_grid.all()):
                return grid, True
        return self.largest / LEVELS, False


@dataclass(frozen=True, slots=True, eq=False)
class Int8Graph:
    """A graph, and its layers of weights in integers beside it: neurons stay in float32."""

    graph: nir.NIRGraph
    layers: Mapping[str, Quantized]


@parts.register
def _(form: Int8Graph) -> Mapping[str, object]:
    return {**form.graph.nodes, **form.layers}


@dataclass(frozen=True, eq=False)
class Int8(Pass[nir.NIRGraph, Int8Graph]):
    """Integers and scales of every layer of weights, calibrated by running ``x [T, B, *shape]``."""

    name: ClassVar[str] = "int8 QDQ"
    refusal: ClassVar[str] = "The network cannot be quantized."
    x: torch.Tensor = field(metadata={"journal": False})

    def requires(self, before: nir.NIRGraph) -> Iterable[Problem]:
        """There are weights."""
        return int8_problems(make_plan(before))

    def apply(self, before: nir.NIRGraph) -> Made[Int8Graph]:
        """The layers in integers.

        Raises:
            UnsupportedError: a bias that 32 bits at the accumulator's scale cannot hold.
        """
        problems, found = [], {}
        for name, seen in _calibrate(make_plan(before), self.x).items():
            quantized = _layer(before.nodes[name], *seen.scale())
            if quantized is None:
                problems.append(
                    Problem(
                        name,
                        "a bias that is too large beside its weights",
                        rule="the bias in 32 bits at the scale of input times weights",
                        try_instead="the float models",
                    )
                )
            else:
                found[name] = quantized
        if problems:
            raise UnsupportedError(self.refusal, problems=problems)
        steps, samples = self.x.shape[:2]
        return Made(Int8Graph(before, found), facts={"calibration samples": samples, "steps": steps})

    def ensures(self, change: Change[nir.NIRGraph, Int8Graph]) -> Iterable[Problem]:
        """Every layer of weights is rounded to the nearest integers, and nothing else is touched."""
        if change.after.graph is not change.before:
            yield Problem("graph", "another graph", "only weights are rounded")
        for name, node in change.before.nodes.items():
            if not isinstance(node, WEIGHT_NODES):
                continue
            layer = change.after.layers.get(name)
            if layer is None or layer.weight.shape != np.shape(node.weight):
                yield Problem(name, "has no integers of its shape", "every layer of weights is rounded")
                continue
            step = layer.weight_scales.astype(np.float64)
            wide = step.reshape(-1, *[1] * (layer.weight.ndim - 1))
            if not (np.abs(layer.weight * wide - node.weight) <= _HALF * wide).all():
                yield Problem(name, "weights further than half a step away", "the nearest integers")
            held = np.zeros(len(step)) if layer.bias is None else layer.bias.astype(np.float64)
            step = step * np.float32(layer.x_scale)
            away = np.abs(held * step - getattr(node, "bias", 0.0))
            if not (away <= (_HALF + _FLOAT32 * np.abs(held)) * step).all():
                yield Problem(name, "a bias further than half a step away", "the nearest integers")


def int8_problems(plan: Plan) -> list[Problem]:
    """What can be said without calibration: there must be weights."""
    if plan.of_type(*WEIGHT_NODES):
        return []
    rule = "int8 models quantise Affine, Linear, Conv1d and Conv2d"
    return [Problem("graph", "no layer of weights", rule=rule, try_instead="the float models")]


def _calibrate(plan: Plan, x: torch.Tensor) -> dict[str, _Range]:
    """The inputs of all layers of weights over whole sequences from the start state."""
    reference = Reference(plan)
    seen = {name: _Range() for name in plan.of_type(*WEIGHT_NODES)}
    per_sample = x.shape[0] * sum(prod(shape) for shape in plan.shapes.values())
    for part in torch.split(x.float(), max(1, CALIBRATION_ELEMENTS // per_sample), dim=1):
        outputs = reference.run(part, record="all").records
        for name, limits in seen.items():
            limits.see(_input_of(plan, name, outputs))
    return seen


def _input_of(plan: Plan, name: str, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    terms = [outputs[source] for source in plan.sources[name]]
    terms += [later(outputs[source]) for source in plan.feedback.get(name, ())]
    return torch.stack(terms).sum(0) if len(terms) > 1 else terms[0]


def _layer(node: nir.NIRNode, x_scale: float, exact: bool) -> Quantized | None:
    weight = np.asarray(node.weight, np.float64)
    per_channel = weight.reshape(len(weight), -1)
    bias = np.asarray(node.bias, np.float64) if hasattr(node, "bias") else None
    scales = np.abs(per_channel).max(1) / LEVELS
    if bias is not None:
        scales = _holding(scales, np.abs(bias) / x_scale)
    scales = np.where(scales > TINY, scales, 1.0).astype(np.float32)
    integers = None
    if bias is not None:
        integers = np.rint(bias / (np.float32(x_scale) * scales.astype(np.float64)))
        if (np.abs(integers) > ACCUMULATOR).any():
            return None
        integers = integers.astype(np.int32)
    shape = (-1, *[1] * (weight.ndim - 1))
    rounded = np.rint(weight / scales.reshape(shape)).clip(-LEVELS, LEVELS)
    return Quantized(x_scale, exact, rounded.astype(np.int8), scales, integers)


def _holding(scales: npt.NDArray[np.float64], bias: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``scales`` raised where the ``bias`` of a dead channel would not fit 32 bits; see ``DEAD``.

    A channel without weights is a constant current: any scale will do.
    """
    needed = bias / HELD
    dead = (scales < needed) & ((scales <= TINY) | (needed <= DEAD * scales.max()))
    return np.where(dead, needed, scales)


def quantisation_table(plan: Plan, quantized: Mapping[str, Quantized]) -> list[dict[str, Any]]:
    """Per layer the input's scale and the root mean square error of the weights beside the weights' own."""
    rows = []
    for name, layer in quantized.items():
        weight = np.asarray(plan.node(name).weight, np.float64)
        scales = layer.weight_scales.reshape(-1, *[1] * (weight.ndim - 1))
        error = np.sqrt(np.mean((layer.weight * scales - weight) ** 2))
        rows.append(
            {
                "layer": name,
                "input_scale": layer.x_scale,
                "input_exact": layer.exact,
                "weight_rms": float(np.sqrt(np.mean(weight**2))),
                "weight_error_rms": float(error),
            }
        )
    return rows


def approximations(quantized: Mapping[str, Quantized]) -> Sequence[str]:
    """What the int8 models round, one sentence each."""
    notes = [f"int8: the weights of {len(quantized)} layers are rounded to 8 bits per output channel."]
    rounded = [name for name, layer in quantized.items() if not layer.exact]
    if rounded:
        notes.append(
            f"int8: the inputs of {', '.join(rounded)} are rounded to 8 bits of their calibrated range."
        )
    notes.append(f"int8: inputs beyond {LEVELS} steps of their scale are clipped.")
    return notes
