r"""The converted network as the hub graph: thresholds folded into weights, starts into thresholds.

With :math:`\theta_c` the size of a spike of channel c before a weight and :math:`\theta_k` the threshold of
the neuron k behind it,

.. math::
    W'_{kc} = W_{kc} \theta_c / \theta_k, \qquad b'_k = b_k / \theta_k, \qquad \theta' = 1

so that every spike is a one. Where no weights of its own lie between two nodes (an identity shortcut) a
fixed 1x1 convolution per channel carries the factor. A neuron that starts at :math:`\phi` is in another
coordinate one that starts at 0 with the threshold :math:`1 - \phi` and the reset potential :math:`-\phi`:
it loses 1 at a spike as before. A maximum is a sum over the window and a threshold of 1/2, or an average.
"""

from __future__ import annotations

from collections.abc import Sequence

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.convert.ann import MaxPool, Rectifier
from snn_deploy.convert.calibrate import Converted
from snn_deploy.convert.values import stand_in
from snn_deploy.graph.passes.fold_batchnorm import channel_layer, scaled_inputs, scaled_outputs
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.types import WEIGHT_NODES

Array = npt.NDArray[np.float64]
GRAIN = 64.0
"""Starts are multiples of 1 / 64, so that threshold and reset potential differ by exactly 1 in float32."""


def spiking_graph(converted: Converted, classes: Sequence[str] = ()) -> nir.NIRGraph:
    """The NIR graph of ``converted``, ready to run on an input that is the same in each of T steps."""
    return _Folding(converted).graph(classes)


class _Folding:
    """Nodes and edges of the graph so far, and the size of a unit of every node's output per channel."""

    def __init__(self, converted: Converted) -> None:
        self.converted, self.ann = converted, converted.ann
        self.readers = self.ann.readers()
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.units: dict[str, Array] = {}

    def graph(self, classes: Sequence[str]) -> nir.NIRGraph:
        for name in self.ann.nodes:
            self._take(name)
        graph = nir.NIRGraph(self.nodes, self.edges, metadata={}, type_check=False)
        stated = {"integrator": "euler", "fires_at": ">=", "reset": "subtract", "start": "zero"}
        semantics = Semantics(timesteps=self.converted.timesteps, classes=tuple(classes)).stating(**stated)
        write_semantics(graph, semantics)
        return graph

    def _take(self, name: str) -> None:
        node, shape = self.converted.nodes[name], self.ann.shapes[name]
        if name == self.ann.input:
            self.nodes[name], self.units[name] = node, np.ones(shape[0])
        elif isinstance(node, Rectifier):
            self._neuron(name, shape)
        elif isinstance(node, WEIGHT_NODES):
            self._weights(name, node)
        elif isinstance(node, MaxPool):
            self._maximum(name, node)
        else:
            self._other(name, node)

    def _neuron(self, name: str, shape: Shape) -> None:
        theta = self.converted.theta[name].double().numpy()
        phi = np.rint(self.converted.start[name].double().numpy() * GRAIN) / GRAIN
        sources = [self._scaled_to(source, theta, name) for source in self.ann.sources[name]]
        full = phi.reshape(-1, *[1] * (len(shape) - 1))
        semantics = Semantics()
        self.nodes[name] = nir.IF(
            np.full(shape, 1.0 / semantics.dt),
            np.broadcast_to(1.0 - full, shape).astype(np.float32),
            np.broadcast_to(-full, shape).astype(np.float32),
        )
        self.units[name] = theta
        self._connect(sources, name)

    def _weights(self, name: str, node: nir.NIRNode) -> None:
        sources = self.ann.sources[name]
        units = [self.units[source] for source in sources]
        if any(not np.array_equal(unit, units[0]) for unit in units):
            ones = np.ones_like(units[0])
            sources = tuple(self._scaled_to(source, ones, name) for source in sources)
            units = [ones]
        self.nodes[name] = scaled_inputs(node, units[0], np.zeros_like(units[0]))
        self.nodes[name].metadata.pop("fixed", None)
        self.units[name] = np.ones(self.ann.shapes[name][0])
        self._connect(sources, name)

    def _maximum(self, name: str, node: MaxPool) -> None:
        if self.converted.choices.max_pool == "average":
            self._other(name, stand_in(node, "average"))
            return
        total = f"{name}.sum"
        self.nodes[total] = node.pooled_by(nir.SumPool2d)
        self.nodes[name] = nir.Threshold(np.full(self.ann.shapes[name], 0.5, np.float32))
        self.units[name] = self.units[self.ann.sources[name][0]]
        self._connect(self.ann.sources[name], total)
        self._connect((total,), name)

    def _other(self, name: str, node: nir.NIRNode) -> None:
        sources = self.ann.sources[name]
        unit = self.units[sources[0]]
        if node is self.converted.nodes[self.ann.output] or len(sources) > 1:
            unit = np.ones_like(unit)
            sources = tuple(self._scaled_to(source, unit, name) for source in sources)
        self.nodes[name] = node
        before, after = self.ann.shapes[self.ann.sources[name][0]], self.ann.shapes[name]
        self.units[name] = np.repeat(unit, after[0] // before[0]) if isinstance(node, nir.Flatten) else unit
        self._connect(sources, name)

    def _scaled_to(self, source: str, unit: Array, reader: str) -> str:
        """A node that gives what ``source`` gives in units of ``unit``."""
        factor = self.units[source] / unit
        if (factor == 1).all():
            return source
        node = self.nodes[source]
        if isinstance(node, WEIGHT_NODES) and self.readers[source] == [reader]:
            self.nodes[source] = scaled_outputs(node, factor, np.zeros_like(factor))
            self.units[source] = unit
            return source
        name = f"{reader}.from.{source}"
        self.nodes[name] = channel_layer(self.ann.shapes[source], factor)
        self.edges.append((source, name))
        return name

    def _connect(self, sources: Sequence[str], name: str) -> None:
        self.edges.extend((source, name) for source in sources)
