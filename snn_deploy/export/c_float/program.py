"""What the float32 C program of a graph holds: its nodes in order, with their constants and states.

The operations and their order are those of :mod:`snn_deploy.simulate.neurons`, ``firing`` and ``layers``;
only sums of weights are added in another order. An input that is zero adds nothing and is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import Problem
from snn_deploy.export.c.words import identifiers, size
from snn_deploy.export.c_float.neurons import element, neuron
from snn_deploy.export.c_float.parts import CNode, Extent, FloatProgram, Shape, State, number, numbers
from snn_deploy.export.c_float.workspace import places
from snn_deploy.graph.dynamics import delay_steps, discretise, parameters
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.shapes import axes, pads
from snn_deploy.graph.types import WEIGHT_NODES, Plan

MAX_WEIGHTS = 2**22
"""Weights that compilers still take as text within minutes; our choice."""


def problems(plan: Plan) -> list[Problem]:
    """Why ``plan`` cannot be written as float32 C."""
    weights = sum(np.asarray(plan.node(name).weight).size for name in plan.of_type(*WEIGHT_NODES))
    if weights <= MAX_WEIGHTS:
        return []
    rule = f"at most {MAX_WEIGHTS:,} weights, which C compilers take as text"
    return [Problem("graph", f"{weights:,} weights", rule=rule, try_instead="--to onnx")]


def program(plan: Plan) -> FloatProgram:
    """The program of ``plan``."""
    semantics = read_semantics(plan.graph)
    names = dict(zip(plan.order, identifiers(plan.order), strict=True))
    fed_back = [name for name in plan.order if any(name in found for found in plan.feedback.values())]
    place, work = places(plan, set(fed_back))
    nodes = {name: _node(plan, semantics, name, names, place.get(name, 0)) for name in plan.order}
    return FloatProgram(
        nodes=tuple(nodes.values()),
        work=work,
        before=tuple(nodes[name] for name in fed_back),
        timesteps=semantics.timesteps or 0,
        decode_last=semantics.decode == "last",
        classes=semantics.classes,
    )


def _node(plan: Plan, semantics: Semantics, name: str, names: dict[str, str], place: int) -> CNode:
    node, shape = plan.node(name), plan.shapes[name]
    own = names[name]
    sources, back = plan.sources[name], plan.feedback.get(name, ())
    fed = plan.shapes[(*sources, *back)[0]] if sources or back else shape
    terms = tuple(f"from_{names[source]}[{{0}}]" for source in sources)
    terms += tuple(f"m->{names[source]}_before[{{0}}]" for source in back)

    def made(kind: str, words: str, **parts: Any) -> CNode:
        return CNode(own, name, kind, words, Extent(shape), Extent(fed), terms, place, **parts)

    if isinstance(node, nir.Input | nir.Output):
        kind = type(node).__name__.lower()
        return made(kind, f"{kind}, {size(shape)}")
    if isinstance(node, nir.Affine | nir.Linear):
        tables = {"weight": numbers(np.asarray(node.weight).T)} | _bias(node)
        return made("dense", f"dense, {size(fed)} -> {size(shape)}", tables=tables)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        tables = {"weight": numbers(_by_source(node))} | _bias(node)
        kernel = np.asarray(node.weight).shape[2:]
        words = f"convolution {size(kernel)}, {size(fed)} -> {size(shape)}"
        return made("conv", words, tables=tables, values=_geometry(node, fed, shape, kernel))
    if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
        values = _window(fed, shape, kernel, stride, (1, 1), pads(node, kernel, (1, 1), stride))
        mean = isinstance(node, nir.AvgPool2d)
        values["divisor"] = number(math.prod(kernel)) if mean else ""
        words = f"{'mean' if mean else 'sum'} over {size(kernel)}, {size(fed)} -> {size(shape)}"
        return made("pool", words, values=values)
    if isinstance(node, nir.Flatten):
        return made("flatten", f"flatten, {size(fed)} -> {size(shape)}")
    if isinstance(node, nir.Scale | nir.Threshold):
        field = "scale" if isinstance(node, nir.Scale) else "threshold"
        parameter = element(own, field, parameters(node)[field], shape)
        tables = {field: parameter.table} if parameter.table else {}
        values = {"value": parameter.text, "fires_at": semantics.fires_at}
        return made(field, f"{field}, {size(shape)}", tables=tables, values=values)
    if isinstance(node, nir.Delay):
        return _delay(made, own, delay_steps(node, semantics), shape)
    tables, states, values = neuron(own, discretise(node, semantics), shape)
    words = f"{type(node).__name__} neurons, {size(shape)}"
    return made("neuron", words, tables=tables, states=states, values=values)


def _delay(made: Callable[..., CNode], own: str, steps: npt.NDArray[np.int64], shape: Shape) -> CNode:
    longest = int(steps.max())
    parameter = element(own, "delay", steps, shape, whole=True)
    state = State("past", (longest + 1) * math.prod(shape))
    tables = {"delay": parameter.table} if parameter.table else {}
    words = f"delay of up to {longest} steps, {size(shape)}"
    values = {"delay": parameter.text, "slots": longest + 1}
    return made("delay", words, tables=tables, states=(state,), values=values)


def _bias(node: nir.NIRNode) -> dict[str, Any]:
    bias = np.asarray(getattr(node, "bias", 0.0))
    return {"bias": numbers(bias)} if bias.any() else {}


def _by_source(node: nir.Conv1d | nir.Conv2d) -> npt.NDArray[Any]:
    """Weights ``[channel in, kernel row, kernel column, channel out of its group]``."""
    weight = np.asarray(node.weight)
    groups, per_group = axes(node.groups, 1)[0], weight.shape[1]
    width = weight.shape[0] // groups
    grouped = weight.reshape(groups, width, per_group, -1)
    return grouped.transpose(0, 2, 3, 1).reshape(groups * per_group, -1, width)


def _geometry(node: nir.Conv1d | nir.Conv2d, fed: Shape, shape: Shape, kernel: Shape) -> dict[str, Any]:
    rank = len(kernel)
    stride, dilation = axes(node.stride, rank), axes(node.dilation, rank)
    groups = axes(node.groups, 1)[0]
    found = _window(fed, shape, kernel, stride, dilation, pads(node, kernel, dilation, stride))
    return found | {"per_group": fed[0] // groups, "width": shape[0] // groups, "groups": groups}


def _window(
    fed: Shape,
    shape: Shape,
    kernel: Shape,
    stride: Shape,
    dilation: Shape,
    padding: tuple[tuple[int, int], ...],
) -> dict[str, Any]:
    """Sizes of a window that moves over rows and columns; one axis counts as a single row."""
    above: dict[str, Shape] = {
        "i": fed[1:], "o": shape[1:], "k": kernel, "s": stride, "d": dilation,
        "p": tuple(before for before, _ in padding),
    }  # fmt: skip
    single = {"i": 1, "o": 1, "k": 1, "s": 1, "d": 1, "p": 0}
    full = {key: value if len(value) == 2 else (single[key], *value) for key, value in above.items()}
    return {f"{key}{axis}": value[n] for key, value in full.items() for n, axis in enumerate("hw")}
