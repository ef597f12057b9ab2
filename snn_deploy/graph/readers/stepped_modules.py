r"""Neurons of snnTorch as the hub's nodes; each is called once per step and returns ``(spikes, membrane)``.

``Leaky`` with beta, threshold theta and o = [v(t-1) > theta]: g = beta v(t-1) + x; how it resets:

=============== ================== ==================================================================
mechanism       reset_delay        the hub's reset (:mod:`snn_deploy.graph.semantics`)
=============== ================== ==================================================================
``subtract``    True, its default  ``subtract-next``
``subtract``    False              ``subtract-raised``
``zero``        either             ``zero``: Leaky forgets v(t-1) where o
``none``        either             ``none``
=============== ================== ==================================================================

tau = dt / (1 - beta), r = tau / dt; with beta = 1 an IF. Source: snntorch 1.0 ``_neurons/leaky.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.graph.readers.modules import ModuleError
from snn_deploy.graph.semantics import Reset, set_reset
from snn_deploy.graph.shapes import Shape


def _leaky(module: Any, shape: Shape, dt: float) -> nir.NIRNode:
    for name, usual in (("inhibition", False), ("state_quant", False)):
        if getattr(module, name) != usual:
            raise ModuleError(f"{name}={getattr(module, name)}", f"{name}={usual}")
    if float(module.graded_spikes_factor) != 1:
        raise ModuleError("graded spikes", "graded_spikes_factor=1")
    beta = _numbers(module.beta.clamp(0, 1), shape)
    fire = {"v_threshold": _numbers(module.threshold, shape), "v_reset": np.zeros(shape)}
    node: nir.NIRNode
    if (beta == 1).all():
        node = nir.IF(r=np.full(shape, 1 / dt), **fire)
    elif (beta == 1).any():
        raise ModuleError("beta is 1 for some neurons only", "a beta below 1")
    else:
        steps = 1 / (1 - beta)
        node = nir.LIF(tau=steps * dt, r=steps, v_leak=np.zeros(shape), **fire)
    set_reset(node, _reset(str(module.reset_mechanism), delayed=bool(module.reset_delay)))
    return node


def _reset(mechanism: str, *, delayed: bool) -> Reset:
    known: dict[str, Reset] = {
        "subtract": "subtract-next" if delayed else "subtract-raised",
        "zero": "zero",
        "none": "none",
    }
    return known[mechanism]


def _numbers(value: Any, shape: Shape) -> npt.NDArray[np.float64]:
    numbers = np.asarray(value.detach().cpu().double().numpy())
    try:
        return np.broadcast_to(numbers, shape).copy()
    except ValueError:
        raise ModuleError(
            f"values of shape {numbers.shape} on neurons {shape}", "one value per neuron"
        ) from None


STEPPED: dict[str, Callable[[Any, Shape, float], nir.NIRNode]] = {"snntorch.Leaky": _leaky}
"""By :func:`~snn_deploy.graph.readers.kinds.kind`; all fire where v > threshold."""

_EXPORT = "its own exporter, and the file with --from"
BY_FILE = {
    "snntorch": f"snntorch.export_nir.export_to_nir: {_EXPORT} snntorch",
    "norse": f"norse.torch.to_nir: {_EXPORT} norse",
    "sinabs": f"sinabs.nir.to_nir: {_EXPORT} sinabs",
}
"""The way of other libraries' neurons, by the library's name."""
