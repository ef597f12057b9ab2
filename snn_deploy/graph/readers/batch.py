"""Axes that count a batch: removed where a graph fits together without them only.

Exporters trace a network with a sample and leave its batch axis in what they write: a Flatten from axis 1, an
Input or Output of shape (1, C, H, W), neuron parameters that repeat along their first axis. The kinds of node
that have it are taken without it, as few kinds as possible; where several choices of as few kinds fit, the
file is refused as it stands.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import nir
import numpy as np

from snn_deploy.core.errors import SnnDeployError
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.shapes import NEURON_FIELDS, ShapeError, axes
from snn_deploy.graph.types import Plan

Change = Callable[[nir.NIRNode], nir.NIRNode | None]
"""A node as it is when its axes do not count a batch; None where that makes no difference."""


def plan_without_batch(graph: nir.NIRGraph) -> tuple[Plan, list[str]]:
    """The plan of ``graph``; where it does not fit together, of the one form without batch axes that does.

    Raises:
        DataError, UnsupportedError: see :func:`~snn_deploy.graph.plan.make_plan`; of the forms tried,
            what is said of the one with the fewest problems.
    """
    try:
        return make_plan(graph), []
    except SnnDeployError as error:
        refusals = [error]
    for count in range(1, len(_CHANGES) + 1):
        found = []
        for kinds in itertools.combinations(_CHANGES, count):
            changed = _without_batch(graph, kinds)
            if changed is None:
                continue
            try:
                plan = make_plan(changed[0])
            except SnnDeployError as error:
                refusals.append(error)
                continue
            if _ends_as_declared(graph, plan):
                found.append((plan, kinds, changed[1]))
        if len(found) > 1:
            raise refusals[0]
        if found:
            plan, kinds, names = found[0]
            which = " and ".join(kinds)
            said = f"The axes of {which} ({', '.join(names)}) count a batch; they are taken without it."
            return plan, [said]
    raise min(refusals, key=lambda error: len(error.problems))


def _flatten(node: nir.NIRNode) -> nir.NIRNode | None:
    if not isinstance(node, nir.Flatten):
        return None
    try:
        start, end = axes(node.start_dim, 1)[0], axes(node.end_dim, 1)[0]
    except ShapeError:
        return None
    if start < 1 or end == 0:
        return None
    return nir.Flatten({"input": None}, start - 1, end - 1 if end > 0 else end, metadata=dict(node.metadata))


def _input(node: nir.NIRNode) -> nir.NIRNode | None:
    shape = np.asarray(node.input_type["input"]) if isinstance(node, nir.Input) else np.zeros(0)
    return nir.Input({"input": shape[1:]}, metadata=dict(node.metadata)) if shape.size > 1 else None


def _output(node: nir.NIRNode) -> nir.NIRNode | None:
    """Without a shape of its own; see :func:`_ends_as_declared`."""
    declared = node.output_type["output"] if isinstance(node, nir.Output) else None
    if declared is None or np.size(declared) < 2:
        return None
    return nir.Output({"output": None}, metadata=dict(node.metadata))


def _ends_as_declared(graph: nir.NIRGraph, plan: Plan) -> bool:
    """Whether the output has the last axes of the shape that ``graph`` declares for it."""
    node = graph.nodes.get(plan.output)
    declared = node.output_type["output"] if isinstance(node, nir.Output) else None
    shape = plan.shapes[plan.output]
    return declared is None or tuple(np.asarray(declared).reshape(-1)[-len(shape) :]) == shape


def _neuron(node: nir.NIRNode) -> nir.NIRNode | None:
    """Parameters that are the same for every sample of the batch."""
    if type(node) not in NEURON_FIELDS or isinstance(node, nir.Delay | nir.Scale):
        return None
    values = {name: np.asarray(getattr(node, name)) for name in NEURON_FIELDS[type(node)]}
    if any(value.ndim < 2 or (value != value[:1]).any() for value in values.values()):
        return None
    return type(node)(**{name: value[0] for name, value in values.items()}, metadata=dict(node.metadata))


_CHANGES: dict[str, Change] = {"Flatten": _flatten, "Input": _input, "Output": _output, "neurons": _neuron}


def _without_batch(graph: nir.NIRGraph, kinds: tuple[str, ...]) -> tuple[nir.NIRGraph, list[str]] | None:
    """``graph`` with the changes ``kinds``, and the changed nodes; None where a kind changes none."""
    changed: list[str] = []
    for kind in kinds:
        names = list(_changed(graph, _CHANGES[kind]))
        if not names:
            return None
        changed += names
    return _rebuilt(graph, [_CHANGES[kind] for kind in kinds]), changed


def _changed(graph: nir.NIRGraph, change: Change, prefix: str = "") -> Iterator[str]:
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from _changed(node, change, f"{prefix}{name}.")
        elif change(node) is not None:
            yield prefix + name


def _rebuilt(graph: nir.NIRGraph, changes: list[Change]) -> nir.NIRGraph:
    nodes = {}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            nodes[name] = _rebuilt(node, changes)
        else:
            made = [new for change in changes if (new := change(node)) is not None]
            nodes[name] = made[0] if made else node
    return nir.NIRGraph(nodes, list(graph.edges), metadata=dict(graph.metadata), type_check=False)
