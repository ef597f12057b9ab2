"""The last touches on an ANN: fixed convolutions in a row become one, maxima go behind their rectifiers,
batch norm is folded."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np

from snn_deploy.convert.ann import Ann, MaxPool, Rectifier
from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine, channel_layer, scaled_outputs
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import WEIGHT_NODES


def tidied(ann: Ann) -> Ann:
    """The same function with none of these left."""
    return _norms_folded(_maxima_last(_fixed_in_one(ann)))


def _fixed_in_one(ann: Ann) -> Ann:
    """A fixed convolution whose only reader is another one becomes part of it: ``B (A x) = (B A) x`` with the
    product of the strides, exact for 1x1 kernels without padding or bias."""
    nodes, sources = dict(ann.nodes), dict(ann.sources)
    readers = ann.readers()
    for name in ann.nodes:
        feeding = sources[name]
        if not (_fixed(nodes[name]) and len(feeding) == 1 and _fixed(nodes[feeding[0]])):
            continue
        before = feeding[0]
        if readers[before] != [name]:
            continue
        first, second = nodes.pop(before), nodes[name]
        step = tuple(a * b for a, b in zip(axes(first.stride, 2), axes(second.stride, 2), strict=True))
        weight = (second.weight[:, :, 0, 0] @ first.weight[:, :, 0, 0])[:, :, None, None]
        nodes[name] = nir.Conv2d(
            first.input_shape,
            weight,
            step,
            0,
            1,
            1,
            np.zeros(len(weight), np.float32),
            metadata={"fixed": True},
        )
        sources[name] = sources.pop(before)
    return _with(ann, nodes, sources)


def _fixed(node: nir.NIRNode) -> bool:
    return bool(node.metadata.get("fixed"))


def _maxima_last(ann: Ann) -> Ann:
    """``relu(max x) = max(relu x)``: neurons stand before maxima, which then see spikes."""
    sources, shapes, readers = dict(ann.sources), dict(ann.shapes), ann.readers()
    order = list(ann.nodes)
    for name, node in ann.nodes.items():
        after = readers[name]
        if not isinstance(node, MaxPool) or len(after) != 1 or not isinstance(ann.nodes[after[0]], Rectifier):
            continue
        other = after[0]
        if sources[other] != (name,):
            continue
        shapes[name], shapes[other] = shapes[other], shapes[sources[name][0]]
        sources[other], sources[name] = sources[name], (other,)
        for reader in readers[other]:
            sources[reader] = tuple(name if source == other else source for source in sources[reader])
        at, later = order.index(name), order.index(other)
        order[at], order[later] = other, name
    return _with(replace(ann, shapes=shapes), {name: ann.nodes[name] for name in order}, sources)


def _norms_folded(ann: Ann) -> Ann:
    """Batch norm is part of the weights right before it; where no single weight layer stands there, it is a
    layer of its own."""
    nodes, sources, readers = dict(ann.nodes), dict(ann.sources), ann.readers()
    for name, node in ann.nodes.items():
        if not isinstance(node, ChannelAffine):
            continue
        feeding = sources[name]
        if (
            len(feeding) == 1
            and isinstance(nodes[feeding[0]], WEIGHT_NODES)
            and readers[feeding[0]] == [name]
        ):
            before = feeding[0]
            nodes[before] = scaled_outputs(nodes[before], node.scale, node.shift)
            nodes[before].metadata.pop("fixed", None)
            for reader in readers[name]:
                sources[reader] = tuple(before if source == name else source for source in sources[reader])
            readers[before] = readers[name]
            del nodes[name], sources[name]
        else:
            nodes[name] = channel_layer(ann.shapes[name], node.scale, node.shift)
    return _with(ann, nodes, sources)


def _with(ann: Ann, nodes: dict[str, nir.NIRNode], sources: dict[str, tuple[str, ...]]) -> Ann:
    ordered = {name: sources[name] for name in nodes}
    return replace(ann, nodes=nodes, sources=ordered, shapes={name: ann.shapes[name] for name in nodes})
