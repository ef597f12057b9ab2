"""Every writer as a pipeline: which passes, in which order, make what is written from the hub graph."""

from __future__ import annotations

from collections.abc import Collection

import nir
import torch

from snn_deploy.export.onnx_int8 import Int8, Int8Graph
from snn_deploy.graph.passes.for_readers.channels_last import ChannelsLast
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.passes.for_readers.encoding import PortableEncoding
from snn_deploy.graph.passes.for_readers.for_reader import DepthFirst, ForReader
from snn_deploy.graph.passes.for_readers.plain_convs import PlainConvolutions
from snn_deploy.graph.passes.for_readers.pooling import Pooling
from snn_deploy.graph.passes.for_readers.thresholds import ThresholdBelow
from snn_deploy.graph.passes.keeps import GraphPass
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.graph.passes.to_chip.layers import Chain
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.plan import make_plan

PORTABLE: tuple[GraphPass, ...] = (Pooling("sum"), ThresholdBelow(), PortableEncoding())
"""``nir``: the form that most frameworks read without silent changes (versions of September 2026). Sum
pooling because sinabs, Norse and Spyx know no AvgPool2d and drop it silently."""


def for_reader(name: str, allow: Collection[str] = ()) -> tuple[GraphPass, ...]:
    """``nir --for NAME``: the form that one reader (a key of ``CONSUMERS``) executes exactly.

    ``allow``: rules that may be broken by name.
    """
    reader = CONSUMERS[name]
    return (
        Pooling(reader.pooling),
        PlainConvolutions(square=reader.typed),
        *([DepthFirst()] if reader.depth_first else []),
        *([ChannelsLast()] if reader.channels_last else []),
        ForReader(name, tuple(allow)),
    )


def lowered(graph: nir.NIRGraph) -> Stage[Chain]:
    """``lava``, first half: what can be said without samples. The second is
    :class:`~snn_deploy.graph.passes.quantize.quantize.Quantize`."""
    return Stage.of(make_plan(graph).graph).then(Lower())


def for_onnx(graph: nir.NIRGraph, x: torch.Tensor | None, opset: int) -> Stage[Int8Graph]:
    """``onnx``: the graph as it is; for ``-int8`` models its weights in integers too, calibrated on ``x``."""
    start = Stage.of(graph)
    made = Stage(Int8Graph(graph, {}), start.journal, start.authors) if x is None else start.then(Int8(x))
    return made.noted("onnx_operators", opset=opset)
