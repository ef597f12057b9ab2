"""Everything linear between two populations as one matrix, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import nir
import numpy as np
import torch

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.passes.quantize.columns import apply_map
from snn_deploy.graph.passes.to_chip.blocks import MAX_WEIGHTS
from snn_deploy.graph.passes.to_chip.terms import RefusalError, Term, Value, apply
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix
from snn_deploy.graph.types import SPIKING_NODES, Plan

PIECE = 1 << 24
"""Elements of a window map's outputs that are computed at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """What enters a population, or the output: ``sum of weights[source] x + bias``, all flattened.

    ``weights`` are ``[N, N_source]`` by the name of the source; ``nodes`` became the matrix of a source, and
    ``name`` is the last of the weights among them, empty without any.
    """

    weights: dict[str, FloatArray]
    bias: FloatArray
    names: dict[str, str]
    nodes: dict[str, tuple[str, ...]]


def joined(plan: Plan) -> dict[str, Joined]:
    """For every population of ``plan``, and for its output, what enters it.

    Raises:
        UnsupportedError: nodes that are neither linear nor neurons, matrices that are too large.
    """
    values: dict[str, Value] = {}
    found: dict[str, Joined] = {}
    problems: list[Problem] = []
    for name in plan.order:
        node = plan.node(name)
        entering = tuple(term for source in plan.sources[name] for term in values.get(source, ()))
        if name == plan.input:
            values[name] = (Term(name, plan.shapes[name]),)
        elif isinstance(node, (*SPIKING_NODES, nir.Output)):
            problems += _too_large(plan, name, entering)
            if not problems:
                found[name] = _joined(entering, prod(plan.shapes[name]))
            values[name] = (Term(name, plan.shapes[name]),)
        else:
            before = plan.shapes[plan.sources[name][0]]
            try:
                values[name] = apply(node, name, entering, before, plan.shapes[name])
            except RefusalError as refusal:
                problems.append(refusal.problem)
    if problems:
        raise UnsupportedError("The network has no form in matrices.", problems=problems)
    return found


def _too_large(plan: Plan, name: str, terms: Value) -> Iterator[Problem]:
    for term in terms:
        size = prod(plan.shapes[name]) * prod(term.shape)
        if size > MAX_WEIGHTS:
            what = f"a matrix of {size:,} weights from '{term.source}'"
            yield Problem(name, what, f"at most {MAX_WEIGHTS:,}", try_instead="a smaller network, or onnx")


def _joined(terms: Value, size: int) -> Joined:
    bias = np.zeros(size)
    weights: dict[str, FloatArray] = {}
    names: dict[str, str] = {}
    nodes: dict[str, tuple[str, ...]] = {}
    for term in terms:
        matrix = as_matrix(term, size)
        weights[term.source] = weights.get(term.source, 0.0) + matrix.weight
        bias = bias + matrix.bias
        names[term.source] = term.weights or names.get(term.source, "")
        nodes[term.source] = (*nodes.get(term.source, ()), *term.nodes)
    return Joined(weights, bias, names, nodes)


def as_matrix(term: Term, size: int) -> Matrix:
    """The map of ``term`` on its flattened source, ``[size, N_source]``."""
    if term.map is None:
        return Matrix(np.eye(size), np.zeros(size))
    if isinstance(term.map, Matrix):
        return term.map
    inputs = prod(term.shape)
    weight = np.empty((size, inputs))
    for columns in np.array_split(np.arange(inputs), max(1, -(-size * inputs // PIECE))):
        units = torch.zeros(len(columns), inputs, dtype=torch.float64)
        units[torch.arange(len(columns)), torch.from_numpy(columns)] = 1.0
        weight[:, columns] = apply_map(term.map, units.view(-1, *term.shape)).flatten(1).numpy().T
    bias = np.repeat(term.map.bias, size // len(term.map.bias))
    return Matrix(weight, bias)
