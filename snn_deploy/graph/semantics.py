"""What NIR leaves open about discrete time, written once into the graph's metadata.

NIR nodes are differential equations; a trained network is a difference equation. The missing facts are:

========== ======================================================================================
field      meaning
========== ======================================================================================
dt         step in seconds; tau_steps = tau / dt
integrator ``euler``: v += (dt / tau) (v_leak - v + r x); ``exponential``: a = exp(-dt / tau),
           v = a v + (1 - a) (v_leak + r x)
fires_at   ``>=``: a neuron spikes when v >= v_threshold; ``>``: when v > v_threshold (the NIR text)
reset      what a spike does to the membrane; see below. A node may have its own in its metadata
start      membranes of spiking neurons before the first step: ``reset``: at v_reset; ``zero``: at 0
spikes     ``one`` per neuron and step; ``many``: as many as the membrane holds thresholds; ``rounded``: the
           whole number of thresholds next to the membrane (halves up with ``>=``), at most ``levels``
levels     see there
v_min      lower bound of the membranes of spiking neurons after every step; None: no bound
decode     class scores of a network: ``mean`` over time of the output node, or its ``last`` value
========== ======================================================================================

With the drop d = v_threshold - v_reset, a spike s of this step, and o the comparison that decides spikes
applied to the membrane that the step before left:

=================== =============================================================================
reset               meaning
=================== =============================================================================
``zero``            v := v_reset where s
``subtract``        v := v - s d
``none``            nothing: the neuron fires in every step in which it is above its threshold
``zero-next``       one step later: v := v_reset where o, whatever came in; then the comparison
``subtract-next``   one step later, not decayed: v := v - o d; then the comparison
``subtract-raised`` v := v - s d, but the threshold stands d higher in a step with o
=================== =============================================================================

The last three are those of snnTorch. IF neurons follow v += dt r x under both integrators.
Tensor order is channel first (C, H, W); time is the first axis and batch the second.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, cast, get_args

import nir

from snn_deploy.core.errors import DataError

KEY = "snn_deploy"
RESET_KEY = "snn_deploy_reset"
VERSION = 4
"""Version 1 had no ``spikes``, no ``v_min``, no resets of single nodes, version 2 no ``start``, version 3 no
``levels``; all are still read."""
MAX_DT = 1e3
MAX_TIMESTEPS = 1_000_000
MAX_LEVELS = 255

Integrator = Literal["euler", "exponential"]
Comparison = Literal[">=", ">"]
Reset = Literal["zero", "subtract", "none", "zero-next", "subtract-next", "subtract-raised"]
Start = Literal["reset", "zero"]
Spikes = Literal["one", "many", "rounded"]
StatedSpikes = Literal["one", "many"]
"""What files of other writers may mean; only ours say how many spikes are the most."""
Decode = Literal["mean", "last"]


@dataclass(frozen=True, slots=True)
class Semantics:
    """Discrete-time semantics of one graph. ``assumed`` names the fields no file or flag has stated."""

    dt: float = 1e-4
    integrator: Integrator = "euler"
    fires_at: Comparison = ">"
    reset: Reset = "zero"
    start: Start = "reset"
    spikes: Spikes = "one"
    levels: int | None = None
    v_min: float | None = None
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
        if stored_version not in range(1, VERSION + 1):
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


def reset_of(node: nir.NIRNode, semantics: Semantics) -> Reset:
    """The reset of one node: its own, or that of the graph.

    Raises:
        DataError: the node's metadata are damaged.
    """
    raw = node.metadata.get(RESET_KEY)
    if raw is None:
        return semantics.reset
    text = raw.decode() if isinstance(raw, bytes) else str(raw)
    if text not in get_args(Reset):
        raise DataError(
            f"A node's '{RESET_KEY}' metadata are damaged: {text[:80]!r}; known: {get_args(Reset)}."
        )
    return cast(Reset, text)


def set_reset(node: nir.NIRNode, reset: Reset) -> None:
    """Give ``node`` a reset of its own (in place)."""
    node.metadata[RESET_KEY] = reset


def _check(semantics: Semantics) -> None:
    allowed = {
        "integrator": Integrator,
        "fires_at": Comparison,
        "reset": Reset,
        "start": Start,
        "spikes": Spikes,
        "decode": Decode,
    }
    for name, literal in allowed.items():
        value = getattr(semantics, name)
        if value not in get_args(literal):
            raise DataError(f"Semantics field '{name}' is {value!r}; known: {get_args(literal)}.")
    if not (isinstance(semantics.dt, float | int) and 0 < semantics.dt < MAX_DT):
        raise DataError(f"Semantics field 'dt' is {semantics.dt!r}; it must be a time in seconds.")
    bound = semantics.v_min
    if bound is not None and not (isinstance(bound, float | int) and math.isfinite(bound)):
        raise DataError(f"Semantics field 'v_min' is {bound!r}; it must be a number.")
    levels, rounds = semantics.levels, semantics.spikes == "rounded"
    if rounds != (levels is not None) or not (levels is None or _whole(levels, MAX_LEVELS)):
        raise DataError(
            f"Semantics field 'levels' is {levels!r} with {semantics.spikes} spikes; rounded spikes have a "
            f"bound of 1 to {MAX_LEVELS}, others none."
        )
    steps = semantics.timesteps
    if steps is not None and not _whole(steps, MAX_TIMESTEPS):
        raise DataError(f"Semantics field 'timesteps' is {steps!r}; it must be 1 to {MAX_TIMESTEPS}.")
    if not isinstance(semantics.classes, tuple) or not all(isinstance(c, str) for c in semantics.classes):
        raise DataError("Semantics field 'classes' is damaged; it must be a list of names.")
    if not isinstance(semantics.assumed, tuple) or not set(semantics.assumed) <= set(_ASSUMABLE):
        raise DataError(f"Semantics field 'assumed' is damaged; it must be a list of some of {_ASSUMABLE}.")


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and 0 < value <= most
