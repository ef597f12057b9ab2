r"""Fold batch norm into the weights beside it, in float64 (Jacob et al. 2018, eq. 14, running statistics).

In evaluation a batch norm is y = s x + t per channel, with s = gamma / sqrt(var + eps) and
t = beta - s mean. Behind a weight layer, W' = s W and b' = s b + t; behind several whose outputs add, t is
added once. Before weight layers, W' = W diag(s) and b' = b + sum W t; with zero padding only when t = 0,
since padding is not normalised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.loops import Edge
from snn_deploy.graph.passes.journal import Names
from snn_deploy.graph.passes.keeps import GraphChange, GraphPass
from snn_deploy.graph.passes.protocol import Made
from snn_deploy.graph.shapes import Shape, axes, pads
from snn_deploy.graph.types import WEIGHT_NODES

Array = npt.NDArray[np.float64]


@dataclass(eq=False)
class ChannelAffine(nir.NIRNode):
    """``y = scale x + shift`` per channel ``[C]``: a batch norm on its way to be folded; no node of NIR."""

    scale: Array
    shift: Array

    def __post_init__(self) -> None:
        self.input_type = {"input": None}
        self.output_type = {"output": None}


@dataclass(frozen=True)
class FoldBatchNorm(GraphPass):
    """Fold every :class:`ChannelAffine` into the weights beside it."""

    name: ClassVar[str] = "fold_batchnorm"

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """The graph without batch norms.

        Raises:
            UnsupportedError: naming every batch norm that has no weight layer to fold into.
        """
        nodes, edges = dict(before.nodes), list(before.edges)
        origins: dict[str, Names] = {}
        problems = []
        for name, norm in [(name, node) for name, node in nodes.items() if isinstance(node, ChannelAffine)]:
            feeding = [a for a, b in edges if b == name]
            fed = [b for a, b in edges if a == name]
            if _folds_back(nodes, edges, feeding):
                takers, scaled = feeding, scaled_outputs
            elif _folds_forward(nodes, edges, fed, norm):
                takers, scaled = fed, scaled_inputs
            else:
                problems.append(_problem(name, feeding, fed))
                continue
            for taker in takers:
                once = scaled is scaled_inputs or taker == takers[0]
                nodes[taker] = scaled(nodes[taker], norm.scale, norm.shift if once else 0 * norm.shift)
                origins[taker] = (*origins.get(taker, (taker,)), name)
            edges = [edge for a, b in edges for edge in _bridged((a, b), name, feeding)]
            del nodes[name]
        if problems:
            raise UnsupportedError("Some batch norms cannot be folded into weights.", problems=problems)
        if not origins:
            return Made(before)
        return Made(nir.NIRGraph(nodes, edges, metadata=dict(before.metadata), type_check=False), origins)

    def ensures(self, change: GraphChange) -> Iterable[Problem]:
        """Everything is kept, and no batch norm is left."""
        yield from super().ensures(change)
        for name, node in change.after.nodes.items():
            if isinstance(node, ChannelAffine):
                yield Problem(name, "is still a batch norm", "all of them are folded")


def _bridged(edge: Edge, name: str, before: Sequence[str]) -> Iterable[Edge]:
    a, b = edge
    if b == name:
        return ()
    return ((source, b) for source in before) if a == name else (edge,)


def _folds_back(nodes: dict[str, nir.NIRNode], edges: list[Edge], before: list[str]) -> bool:
    return bool(before) and all(
        isinstance(nodes[name], WEIGHT_NODES) and sum(a == name for a, _ in edges) == 1 for name in before
    )


def _folds_forward(
    nodes: dict[str, nir.NIRNode], edges: list[Edge], after: list[str], norm: ChannelAffine
) -> bool:
    def takes(name: str) -> bool:
        node = nodes[name]
        alone = sum(b == name for _, b in edges) == 1
        return alone and isinstance(node, WEIGHT_NODES) and (not norm.shift.any() or not _is_padded(node))

    return bool(after) and all(takes(name) for name in after)


def _is_padded(node: nir.NIRNode) -> bool:
    if not isinstance(node, nir.Conv1d | nir.Conv2d):
        return False
    kernel = node.weight.shape[2:]
    stride, dilation = axes(node.stride, len(kernel)), axes(node.dilation, len(kernel))
    return any(any(pair) for pair in pads(node, kernel, dilation, stride))


def _problem(name: str, before: list[str], after: list[str]) -> Problem:
    return Problem(
        name,
        f"batch norm between {', '.join(before) or 'nothing'} and {', '.join(after) or 'nothing'}",
        rule="it folds into the weight layers right before it, which feed nothing else, or into the weight "
        "layers right after it when these are not padded",
        try_instead="put it right behind a convolution or linear layer",
    )


def with_weights(node: nir.NIRNode, weight: Array, bias: Array | None) -> nir.NIRNode:
    """A weight node like ``node`` with other weights (stored in float32)."""
    stored = np.ascontiguousarray(weight, dtype=np.float32)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        zeros = np.zeros(len(stored)) if bias is None else bias
        return type(node)(
            input_shape=node.input_shape,
            weight=stored,
            stride=node.stride,
            padding=node.padding,
            dilation=node.dilation,
            groups=node.groups,
            bias=np.asarray(zeros, dtype=np.float32),
            metadata=dict(node.metadata),
        )
    if bias is None:
        return nir.Linear(stored, metadata=dict(node.metadata))
    return nir.Affine(stored, np.asarray(bias, dtype=np.float32), metadata=dict(node.metadata))


def bias_of(node: nir.NIRNode) -> Array | None:
    """The bias of a weight node in float64, None for a Linear."""
    return None if isinstance(node, nir.Linear) else np.asarray(node.bias, dtype=np.float64)


def scaled_outputs(node: nir.NIRNode, scale: Array, shift: Array) -> nir.NIRNode:
    """The weight node ``node`` with ``scale y + shift`` per channel behind it."""
    weight = np.asarray(node.weight, dtype=np.float64)
    bias = bias_of(node)
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    if bias is None:
        return with_weights(node, weight * column, shift if shift.any() else None)
    return with_weights(node, weight * column, scale * bias + shift)


def scaled_inputs(node: nir.NIRNode, scale: Array, shift: Array) -> nir.NIRNode:
    """The weight node ``node`` with ``scale x + shift`` per channel before it."""
    weight = np.asarray(node.weight, dtype=np.float64)
    bias = bias_of(node)
    groups = axes(node.groups, 1)[0] if isinstance(node, nir.Conv1d | nir.Conv2d) else 1
    rows = len(weight) // groups
    per_group = weight.reshape(groups, rows, weight.shape[1], -1)
    grouped_scale, grouped_shift = (v.reshape(groups, 1, -1, 1) for v in (scale, shift))
    moved = (per_group * grouped_shift).sum(axis=(2, 3)).reshape(-1)
    scaled = (per_group * grouped_scale).reshape(weight.shape)
    if bias is None and not moved.any():
        return with_weights(node, scaled, None)
    return with_weights(node, scaled, moved if bias is None else bias + moved)


def channel_layer(shape: Shape, scale: Array, shift: Array | None = None) -> nir.NIRNode:
    """``scale x + shift`` per channel of ``x [*shape]`` as a layer of its own."""
    weight = scale.astype(np.float32)
    bias = None if shift is None else shift.astype(np.float32)
    if len(shape) == 1:
        return nir.Linear(np.diag(weight)) if bias is None else nir.Affine(np.diag(weight), bias)
    kind, size = (nir.Conv1d, shape[1]) if len(shape) == 2 else (nir.Conv2d, shape[1:])
    weight = weight.reshape(-1, 1, *[1] * (len(shape) - 1))
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    return kind(size, weight, 1, 0, 1, len(weight), bias)
