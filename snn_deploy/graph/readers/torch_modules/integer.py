"""Our own neurons with whole numbers of spikes (:mod:`snn_deploy.models.integer_neurons`).

With tau_s in steps: ``tau = tau_s dt``; ``r = 1`` when the input decays with the membrane, else
``r = tau_s``; without leak ``r = 1 / dt``.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from snn_deploy.graph.readers.torch_modules.conversion import ConvertNeurons, Law, Neurons
from snn_deploy.graph.semantics import set_reset
from snn_deploy.graph.shapes import Shape


def _integer(module: Any, shape: Shape, dt: float) -> Neurons:
    fire = {"v_threshold": np.full(shape, float(module.v_threshold)), "v_reset": np.zeros(shape)}
    node: nir.NIRNode
    if module.tau is None:
        node = nir.IF(r=np.full(shape, 1.0 / dt), **fire)
    else:
        r = np.full(shape, 1.0 if module.decay_input else module.tau)
        node = nir.LIF(tau=np.full(shape, module.tau * dt), r=r, v_leak=np.zeros(shape), **fire)
    set_reset(node, "subtract")
    return Neurons(node, Law("euler", ">=", "rounded", levels=module.levels))


NEURONS: dict[str, ConvertNeurons] = {"snn_deploy.IntegerNode": _integer}
