r"""Values that are concatenated along their first axis (channels, or features), as edges that add.

NIR has no concatenation. A linear map of parts x_k is the sum of maps of each part, with the columns of its
weights that the part meets and the bias once,

    W [x_1; x_2; ...] + b = (W_1 x_1 + b) + W_2 x_2 + ...

and what works on every channel alone works on the parts. Neurons join the parts: they are refused.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import nir
import numpy as np

from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine, bias_of, with_weights
from snn_deploy.graph.shapes import NEURON_FIELDS, Shape
from snn_deploy.graph.types import WEIGHT_NODES

POOLS = (nir.SumPool2d, nir.AvgPool2d)


def joins(node: nir.NIRNode) -> bool:
    """Whether ``node`` is a linear map, whose parts add."""
    return isinstance(node, WEIGHT_NODES)


def parts_of(node: nir.NIRNode, shapes: Sequence[Shape]) -> list[nir.NIRNode] | None:
    """``node`` for each part of its input, of ``shapes`` without T and B; None where it has no parts."""
    ends = np.cumsum([shape[0] for shape in shapes]).tolist()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    if joins(node):
        if getattr(node, "groups", 1) != 1:
            return None
        return [_columns(node, *span, first=span[0] == 0) for span in spans]
    if isinstance(node, POOLS):
        return [copy.copy(node) for _ in shapes]
    if isinstance(node, nir.Flatten):
        return [nir.Flatten({"input": np.array(s)}, node.start_dim, node.end_dim) for s in shapes]
    if isinstance(node, ChannelAffine):
        return [ChannelAffine(node.scale[a:b], node.shift[a:b]) for a, b in spans]
    if isinstance(node, nir.Scale | nir.Delay | nir.Threshold):
        (field,) = NEURON_FIELDS[type(node)]
        return [type(node)(getattr(node, field)[a:b].copy()) for a, b in spans]
    return None


def _columns(node: nir.NIRNode, start: int, stop: int, *, first: bool) -> nir.NIRNode:
    return with_weights(node, node.weight[:, start:stop], bias_of(node) if first else None)
