"""Our own neurons with whole numbers of spikes (:mod:`snn_deploy.models.integer_neurons`).

Without ``tau`` they are IF, else LIF, as those of :mod:`snn_deploy.graph.readers.torch_modules.spikingjelly`.
"""

from __future__ import annotations

from typing import Any

from snn_deploy.graph.readers.torch_modules.conversion import ConvertNeurons, Law, Neurons
from snn_deploy.graph.readers.torch_modules.spikingjelly import if_node, lif_node
from snn_deploy.graph.semantics import set_reset
from snn_deploy.graph.shapes import Shape


def _integer(module: Any, shape: Shape, dt: float) -> Neurons:
    node = (if_node if module.tau is None else lif_node)(module, shape, dt)
    set_reset(node, "subtract")
    return Neurons(node, Law("euler", ">=", "rounded", levels=module.levels))


NEURONS: dict[str, ConvertNeurons] = {"snn_deploy.IntegerNode": _integer}
