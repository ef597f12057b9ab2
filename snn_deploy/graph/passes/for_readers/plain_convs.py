"""Convolutions in the form that every reader takes: one group, square kernels, all by padding with zeros.

NIR 1.0.8's own type check takes the input channels of a grouped convolution from its weights, and the height
of a kernel for its width; readers that use it refuse both. A grouped convolution is a dense one whose weights
between groups are zero; a kernel of 3 x 5 is one of 5 x 5 with two rows of zeros and one more row of padding
on either side. Both compute the same to the last bit, with more multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.passes.fold_batchnorm import Array
from snn_deploy.graph.passes.keeps import GraphPass
from snn_deploy.graph.passes.protocol import Made
from snn_deploy.graph.shapes import Pads, axes, pads


@dataclass(frozen=True)
class PlainConvolutions(GraphPass):
    """Every convolution gets one group and, if ``square``, a square kernel, where zeros can do it."""

    name: ClassVar[str] = "plain_convolutions"
    square: bool

    def apply(self, before: nir.NIRGraph) -> Made[nir.NIRGraph]:
        """``nodes``: the convolutions that were rewritten."""
        changed = {
            name: _plain(node, square=self.square)
            for name, node in before.nodes.items()
            if isinstance(node, nir.Conv1d | nir.Conv2d)
            and not is_plain(node)
            and not (self.square and unsquare(name, node))
        }
        if not changed:
            return Made(before)
        nodes = {**before.nodes, **changed}
        graph = nir.NIRGraph(nodes, list(before.edges), metadata=dict(before.metadata), type_check=False)
        return Made(graph, facts={"nodes": list(changed)})


def unsquare(name: str, node: nir.Conv1d | nir.Conv2d) -> Problem | None:
    """Why zeros cannot make the kernel of ``node`` square; None where they can."""
    missing, found = _missing(node)
    if not any(missing) or not (
        any(extra % 2 for extra in missing) or any(before != after for before, after in found)
    ):
        return None
    kernel = np.shape(node.weight)[2:]
    rule = "NIR 1.0.8's type check takes kernels for square; zeros can be added on both sides only"
    return Problem(name, f"a kernel of {kernel[0]} x {kernel[1]}", rule, try_instead="odd sizes")


def _missing(node: nir.Conv1d | nir.Conv2d) -> tuple[list[int], Pads]:
    """What the kernel lacks to be square, per axis, and the padding."""
    kernel = np.shape(node.weight)[2:]
    dilation, stride = axes(node.dilation, len(kernel)), axes(node.stride, len(kernel))
    return [max(kernel) - size for size in kernel], pads(node, kernel, dilation, stride)


def _plain(node: nir.Conv1d | nir.Conv2d, *, square: bool) -> nir.NIRNode:
    weight, padding = _one_group(np.asarray(node.weight), axes(node.groups, 1)[0]), node.padding
    missing, found = _missing(node)
    if square and any(missing):
        weight = np.pad(weight, [(0, 0), (0, 0), *((extra // 2, extra // 2) for extra in missing)])
        dilation = axes(node.dilation, len(missing))
        padding = tuple(
            before + d * extra // 2 for (before, _), d, extra in zip(found, dilation, missing, strict=True)
        )
    return type(node)(
        input_shape=None,
        weight=weight,
        stride=node.stride,
        padding=padding,
        dilation=node.dilation,
        groups=1,
        bias=node.bias,
        metadata=dict(node.metadata),
    )


def is_plain(node: nir.Conv1d | nir.Conv2d) -> bool:
    """Whether a convolution has one group and a square kernel."""
    return axes(node.groups, 1)[0] == 1 and len(set(np.shape(node.weight)[2:])) == 1


def _one_group(weight: Array, groups: int) -> Array:
    rows, columns = len(weight) // groups, weight.shape[1]
    dense = np.zeros((len(weight), columns * groups, *weight.shape[2:]), dtype=weight.dtype)
    for group in range(groups):
        own = slice(group * rows, (group + 1) * rows)
        dense[own, group * columns : (group + 1) * columns] = weight[own]
    return dense
