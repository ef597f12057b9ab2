"""Our own neurons that start part of the way to their threshold (:mod:`snn_deploy.models.started`): IF with
``v_reset = v_threshold - drop`` and reset by subtraction, whose membranes start at 0."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from snn_deploy.graph.readers.torch_modules.conversion import ConvertNeurons, Law, Neurons, per_neuron
from snn_deploy.graph.shapes import Shape


def _started(module: Any, shape: Shape, dt: float) -> Neurons:
    high, drop = (per_neuron(value, shape) for value in (module.v_threshold, module.drop))
    return Neurons(nir.IF(np.full(shape, 1.0 / dt), high, high - drop), Law("euler", ">=", start="zero"))


NEURONS: dict[str, ConvertNeurons] = {"snn_deploy.StartedIF": _started}
