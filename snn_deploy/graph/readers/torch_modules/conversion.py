"""What a file of this folder gives for a module: nodes, and what its neurons say about discrete time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.graph.semantics import Comparison, Integrator, Spikes, Start
from snn_deploy.graph.shapes import Shape

Array = npt.NDArray[np.float64]
Convert = Callable[[Any, Shape, float], nir.NIRNode]
"""``(module, input shape without T and B, dt) -> node``."""


class ModuleError(ValueError):
    """A module of a known type is set up in a way NIR cannot say; ``try_instead`` names a way out."""

    def __init__(self, what: str, try_instead: str) -> None:
        self.try_instead = try_instead
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class Law:
    """What neurons say about discrete time; it is the same in the whole network
    (:mod:`snn_deploy.graph.semantics`)."""

    integrator: Integrator = "euler"
    fires_at: Comparison = ">="
    spikes: Spikes = "one"
    v_min: float | None = None
    levels: int | None = None
    start: Start = "reset"

    @property
    def words(self) -> str:
        """For messages."""
        bound = "" if self.v_min is None else f", membranes from {self.v_min:g}"
        most = "" if self.levels is None else f", at most {self.levels}"
        start = "" if self.start == "reset" else ", membranes that start at 0"
        return (
            f"{self.integrator} steps, spikes at {self.fires_at}, {self.spikes} per step{most}{bound}{start}"
        )


@dataclass(frozen=True, slots=True)
class Neurons:
    """A layer of neurons: ``node`` gives what the module gives; weights in ``front`` of it, and weights
    ``back`` from its spikes of the step before to its input, with the names that they have in the module. Of
    the ``law`` of integrators, which do not fire, only the integrator counts."""

    node: nir.NIRNode
    law: Law
    front: tuple[str, nir.NIRNode] | None = None
    back: tuple[str, nir.NIRNode] | None = None


ConvertNeurons = Callable[[Any, Shape, float], Neurons]
"""``(module, shape of its input without T and B, dt) -> its neurons``."""


def numbers(tensor: Any) -> npt.NDArray[np.float32]:
    """A weight as it is, in float32."""
    copied: npt.NDArray[np.float32] = tensor.detach().cpu().float().numpy().copy()
    return copied


def per_neuron(value: Any, shape: Shape) -> Array:
    """A parameter of neurons in float64, one number per neuron.

    Raises:
        ModuleError: it has another shape.
    """
    given = np.asarray(value.detach().cpu().double().numpy() if hasattr(value, "detach") else value, float)
    try:
        return np.broadcast_to(given, shape).copy()
    except ValueError:
        raise ModuleError(
            f"values of shape {given.shape} on neurons {shape}", "one value, or one per neuron"
        ) from None
