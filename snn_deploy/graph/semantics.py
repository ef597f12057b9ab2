"""What NIR leaves open about discrete time, written once into the graph's metadata.

NIR nodes are differential equations; a trained network is a difference equation. The missing facts are:

========== ======================================================================================
field      meaning
========== ======================================================================================
dt         step in seconds; tau_steps = tau / dt
integrator ``euler``: v += (dt / tau) (v_leak - v + r x); ``exponential``: a = exp(-dt / tau),
           v = a v + (1 - a) (v_leak + r x)
fires_at   ``>=``: a neuron spikes when v >= v_threshold; ``>``: when v > v_threshold (the NIR text)
reset      ``zero``: v := v_reset after a spike; ``subtract``: v := v - (v_threshold - v_reset)
decode     class scores of a network: ``mean`` over time of the output node, or its ``last`` value
========== ======================================================================================

IF neurons follow v += dt r x under both integrators. Reset happens in the step of the spike, after it.
Tensor order is channel first (C, H, W); time is the first axis and batch the second.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

import nir

from snn_deploy.core.errors import DataError

KEY = "snn_deploy"
VERSION = 1
MAX_DT = 1e3
MAX_TIMESTEPS = 1_000_000

Integrator = Literal["euler", "exponential"]
Comparison = Literal[">=", ">"]
Reset = Literal["zero", "subtract"]
Decode = Literal["mean", "last"]


@dataclass(frozen=True, slots=True)
class Semantics:
    """Discrete-time semantics of one graph. ``assumed`` names the fields no file or flag has stated."""

    dt: float = 1e-4
    integrator: Integrator = "euler"
    fires_at: Comparison = ">"
    reset: Reset = "zero"
    timesteps: int | None = None
    decode: Decode = "mean"
    classes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = field(default=())

    def stating(self, **known: Any) -> Semantics:
        """A copy in which ``known`` fields are stated, hence no longer assumed."""
        left = tuple(name for name in self.assumed if name not in known)
        return replace(self, **known, assumed=left)


_ASSUMABLE = ("dt", "integrator", "fires_at", "reset")


def read_semantics(graph: nir.NIRGraph) -> Semantics:
    """The semantics stored in ``graph``; what is missing is the documented default, listed in ``assumed``.

    Raises:
        DataError: the stored semantics are damaged or of a later version.
    """
    raw = graph.metadata.get(KEY)
    if raw is None:
        return Semantics(assumed=_ASSUMABLE)
    try:
        content = json.loads(raw.decode() if isinstance(raw, bytes) else str(raw))
        stored_version = content.pop("version")
        if stored_version != VERSION:
            raise DataError(
                f"The graph's semantics are version {stored_version}; this release reads version {VERSION}."
            )
        known = {f.name for f in fields(Semantics)}
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in content.items() if k in known
        }
        semantics = Semantics(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"The graph's '{KEY}' metadata are damaged: {error}") from None
    _check(semantics)
    return semantics


def write_semantics(graph: nir.NIRGraph, semantics: Semantics) -> None:
    """Store ``semantics`` in the metadata of ``graph`` (in place)."""
    _check(semantics)
    graph.metadata[KEY] = json.dumps({"version": VERSION, **asdict(semantics)}, sort_keys=True)


def _check(semantics: Semantics) -> None:
    allowed = {"integrator": Integrator, "fires_at": Comparison, "reset": Reset, "decode": Decode}
    for name, literal in allowed.items():
        value = getattr(semantics, name)
        if value not in get_args(literal):
            raise DataError(f"Semantics field '{name}' is {value!r}; known: {get_args(literal)}.")
    if not (isinstance(semantics.dt, float | int) and 0 < semantics.dt < MAX_DT):
        raise DataError(f"Semantics field 'dt' is {semantics.dt!r}; it must be a time in seconds.")
    steps = semantics.timesteps
    if steps is not None and not (isinstance(steps, int) and 0 < steps <= MAX_TIMESTEPS):
        raise DataError(f"Semantics field 'timesteps' is {steps!r}; it must be 1 to {MAX_TIMESTEPS}.")
    if not isinstance(semantics.classes, tuple) or not all(isinstance(c, str) for c in semantics.classes):
        raise DataError("Semantics field 'classes' is damaged; it must be a list of names.")
    if not isinstance(semantics.assumed, tuple) or not set(semantics.assumed) <= set(_ASSUMABLE):
        raise DataError(f"Semantics field 'assumed' is damaged; it must be a list of some of {_ASSUMABLE}.")
