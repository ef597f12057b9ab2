"""How nodes are written so that other frameworks read them without silent changes.

==================  =====================================================================================
rule                because
==================  =====================================================================================
negative axes       snnTorch and Norse apply Flatten to a tensor with a batch axis in front
pairs               snnTorch and nirtorch index pool parameters, scalars raise TypeError
full arrays         NIR 1.0.8 refuses scalar neuron parameters behind any layer
input, output       the names other importers look for
explicit padding    numbers instead of 'same' and 'valid', where both sides are equal
==================  =====================================================================================

Weights and potentials are stored in float32; tau, r, w_in and delays in float64, so that steps and gains are
recovered exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.journal import KEY as JOURNAL_KEY
from snn_deploy.graph.passes.journal import Names
from snn_deploy.graph.passes.keeps import GraphPass
from snn_deploy.graph.passes.protocol import Made
from snn_deploy.graph.plan import input_shapes, make_plan
from snn_deploy.graph.semantics import Semantics, read_semantics, write_semantics
from snn_deploy.graph.shapes import NEURON_FIELDS, Shape, axes, flatten_axes, pads
from snn_deploy.graph.types import Plan

FEEDBACK_KEY = "snn_deploy_feedback"
"""Metadata entry that names the edges which carry the previous step's value; for readers that cannot plan."""

_TIMES = {"tau", "tau_syn", "tau_mem", "r", "w_in", "delay"}


@dataclass(frozen=True)
class PortableEncoding(GraphPass):
    """Every node in the encoding above; nothing else changes."""

    name: ClassVar[str] = "portable_encoding"

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """The graph as files hold it, the nodes in their order of execution."""
        plan = make_plan(before)
        entering = input_shapes(plan)
        nodes = {name: encoded(plan.node(name), entering.get(name, ())) for name in plan.order}
        graph = encoded_graph(plan, nodes, plan.graph.edges, read_semantics(before))
        return Made(graph, door_origins(plan))


def encoded_graph(
    plan: Plan, nodes: Mapping[str, nir.NIRNode], edges: Iterable[Edge], semantics: Semantics
) -> nir.NIRGraph:
    """A graph of encoded ``nodes`` with the names and metadata that a file should have."""
    names = _renamed(plan)
    graph = nir.NIRGraph(
        {names.get(name, name): node for name, node in nodes.items()},
        [(names.get(a, a), names.get(b, b)) for a, b in edges],
        metadata={key: value for key, value in plan.graph.metadata.items() if key != JOURNAL_KEY},
        type_check=False,
    )
    write_semantics(graph, semantics)
    if plan.feedback:
        cut = [[names.get(n, n) for n in (a, b)] for b, found in plan.feedback.items() for a in found]
        graph.metadata[FEEDBACK_KEY] = json.dumps(cut)
    return graph


def _renamed(plan: Plan) -> dict[str, str]:
    wanted = {plan.input: "input", plan.output: "output"}
    taken = set(plan.order) - set(wanted)
    return {name: new for name, new in wanted.items() if new not in taken}


def door_origins(plan: Plan) -> dict[str, Names]:
    """Where the input and output of an encoded graph come from."""
    return {new: (old,) for old, new in _renamed(plan).items()}


def encoded(node: nir.NIRNode, shape: Shape) -> nir.NIRNode:
    """``node`` for an input of ``shape``."""
    metadata = dict(node.metadata)
    if type(node) in NEURON_FIELDS:
        values = {name: full_array(name, getattr(node, name), shape) for name in NEURON_FIELDS[type(node)]}
        return type(node)(**values, metadata=metadata)
    if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
        padding = [before for before, _ in pads(node, kernel, (1, 1), stride)]
        return type(node)(np.array(kernel), np.array(stride), np.array(padding), metadata=metadata)
    if isinstance(node, nir.Flatten):
        first, last = flatten_axes(node, len(shape))
        rank = len(shape)
        return nir.Flatten({"input": np.array(shape)}, first - rank, last - rank, metadata=metadata)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(node, shape, metadata)
    if isinstance(node, nir.Linear):
        return nir.Linear(_float32(node.weight), metadata=metadata)
    if isinstance(node, nir.Affine):
        return nir.Affine(_float32(node.weight), _float32(node.bias), metadata=metadata)
    return node


def full_array(name: str, value: Any, shape: Sequence[int]) -> npt.NDArray[Any]:
    """A neuron parameter called ``name``, one number per element, in the precision it is stored in."""
    numbers = np.asarray(value, dtype=np.float64 if name in _TIMES else np.float32)
    return np.broadcast_to(numbers, shape).copy()


def _float32(value: Any) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(value, dtype=np.float32)


def _convolution(node: nir.Conv1d | nir.Conv2d, shape: Shape, metadata: dict[str, Any]) -> nir.NIRNode:
    rank = len(shape) - 1
    kernel = tuple(node.weight.shape[2:])
    stride, dilation = axes(node.stride, rank), axes(node.dilation, rank)
    both = pads(node, kernel, dilation, stride)
    even = [before for before, after in both if before == after]
    padding: Any = "same" if len(even) < rank else tuple(even) if rank == 2 else even[0]
    return type(node)(
        input_shape=tuple(shape[1:]) if rank == 2 else shape[1],
        weight=_float32(node.weight),
        stride=stride if rank == 2 else stride[0],
        padding=padding,
        dilation=dilation if rank == 2 else dilation[0],
        groups=axes(node.groups, 1)[0],
        bias=_float32(node.bias),
        metadata=metadata,
    )
