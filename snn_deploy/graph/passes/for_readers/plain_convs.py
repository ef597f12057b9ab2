"""Convolutions in the form that every reader takes: one group, square kernels, all by padding with zeros.

NIR 1.0.8's own type check takes the input channels of a grouped convolution from its weights, and the height
of a kernel for its width; readers that use it refuse both. A grouped convolution is a dense one whose weights
between groups are zero; a kernel of 3 x 5 is one of 5 x 5 with two rows of zeros and one more row of padding
on either side. Both compute the same to the last bit, with more multiplications.
"""

from __future__ import annotations

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.passes.fold_batchnorm import Array
from snn_deploy.graph.shapes import axes, pads


def plain_convolution(name: str, node: nir.NIRNode, *, square: bool) -> tuple[nir.NIRNode, list[Problem]]:
    """``node`` with one group and, if ``square``, a square kernel; a problem where zeros cannot do it."""
    rank = 1 if isinstance(node, nir.Conv1d) else 2
    weight, padding = _one_group(np.asarray(node.weight), axes(node.groups, 1)[0]), node.padding
    kernel = weight.shape[2:]
    if square and len(set(kernel)) > 1:
        dilation, stride = axes(node.dilation, rank), axes(node.stride, rank)
        missing = [max(kernel) - size for size in kernel]
        found = pads(node, kernel, dilation, stride)
        if any(extra % 2 for extra in missing) or any(before != after for before, after in found):
            rule = "NIR 1.0.8's type check takes kernels for square; zeros can be added on both sides only"
            problem = Problem(name, f"a kernel of {kernel[0]} x {kernel[1]}", rule, try_instead="odd sizes")
            return node, [problem]
        weight = np.pad(weight, [(0, 0), (0, 0), *((extra // 2, extra // 2) for extra in missing)])
        padding = tuple(
            before + d * extra // 2 for (before, _), d, extra in zip(found, dilation, missing, strict=True)
        )
    plain = type(node)(
        input_shape=None,
        weight=weight,
        stride=node.stride,
        padding=padding,
        dilation=node.dilation,
        groups=1,
        bias=node.bias,
        metadata=dict(node.metadata),
    )
    return plain, []


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
