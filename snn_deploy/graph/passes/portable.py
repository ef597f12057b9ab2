"""The form of a NIR graph that other frameworks read without silent changes (versions of September 2026).

==================  =====================================================================================
rule                because
==================  =====================================================================================
sum pooling         sinabs, Norse and Spyx know no AvgPool2d and drop it silently
thresholds          the NIR text fires at v > threshold; a network that fires at >= gets the next float32
                    below, so that both comparisons agree for every float32 membrane; not with
                    subtractive reset, which would subtract the lowered threshold
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
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.graph.passes.pooling import sum_pooling
from snn_deploy.graph.semantics import read_semantics, write_semantics
from snn_deploy.graph.shapes import NEURON_FIELDS, Shape, axes, flatten_axes, pads
from snn_deploy.graph.types import SPIKING_NODES, Plan

FEEDBACK_KEY = "snn_deploy_feedback"
"""Metadata entry that names the edges which carry the previous step's value; for readers that cannot plan."""

_TIMES = {"tau", "tau_syn", "tau_mem", "r", "w_in", "delay"}
_THRESHOLDS = {"threshold", "v_threshold"}


def portable(plan: Plan) -> tuple[nir.NIRGraph, list[dict[str, Any]]]:
    """The portable form of a graph, and the passes applied with their parameters."""
    nodes, rewritten, kept = sum_pooling(plan.graph.nodes, plan.graph.edges)
    semantics = read_semantics(plan.graph)
    lower = semantics.fires_at == ">=" and semantics.reset == "zero"
    inputs = {b: plan.shapes[a] for a, b in plan.graph.edges}
    encoded = {name: _encode(nodes[name], inputs.get(name, ()), lower) for name in plan.order}
    names = _renamed(plan)
    graph = nir.NIRGraph(
        {names.get(name, name): node for name, node in encoded.items()},
        [(names.get(a, a), names.get(b, b)) for a, b in plan.graph.edges],
        metadata=dict(plan.graph.metadata),
        type_check=False,
    )
    write_semantics(graph, semantics.stating(fires_at=">") if lower else semantics)
    if plan.feedback:
        cut = [[names.get(n, n) for n in (a, b)] for b, found in plan.feedback.items() for a in found]
        graph.metadata[FEEDBACK_KEY] = json.dumps(cut)
    passes: list[dict[str, Any]] = []
    if rewritten:
        passes.append({"pass": "sum_pooling", "windows": rewritten, "kept": kept})
    if lower:
        passes.append({"pass": "threshold_below", "layers": list(plan.of_type(*SPIKING_NODES))})
    return graph, [*passes, {"pass": "portable_encoding"}]


def _renamed(plan: Plan) -> dict[str, str]:
    wanted = {plan.input: "input", plan.output: "output"}
    taken = set(plan.order) - set(wanted)
    return {name: new for name, new in wanted.items() if new not in taken}


def _encode(node: nir.NIRNode, shape: Shape, lower: bool) -> nir.NIRNode:
    metadata = dict(node.metadata)
    if type(node) in NEURON_FIELDS:
        values = {name: _full(name, getattr(node, name), shape, lower) for name in NEURON_FIELDS[type(node)]}
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


def _float32(value: Any) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(value, dtype=np.float32)


def _full(name: str, value: Any, shape: Shape, lower: bool) -> npt.NDArray[Any]:
    numbers = np.asarray(value, dtype=np.float64 if name in _TIMES else np.float32)
    if name in _THRESHOLDS and lower:
        numbers = np.nextafter(numbers, np.float32(-np.inf))
    return np.broadcast_to(numbers, shape).copy()


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
