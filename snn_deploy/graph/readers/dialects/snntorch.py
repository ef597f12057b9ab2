r"""snnTorch 1.0: ``export_to_nir`` writes tau = dt / (1 - beta), r = tau / dt and no kind of reset.

With beta, alpha clipped to 0..1, theta the threshold and o = [v(t-1) > theta]:

============================ =================================================================================
Leaky, RLeaky                g = beta v(t-1) + x (+ recurrent weights times the spikes of the step before)
Synaptic, RSynaptic          i = alpha i + x (+ the same), g = beta v(t-1) + i
spike                        s = [v(t) > theta] before an undelayed reset
``subtract``, delayed        v(t) = g - o theta, its default: the threshold comes off late, not decayed
``subtract``, undelayed      s = [g - o theta > theta], v(t) = g - s theta
``zero``, delayed            Leaky: v(t-1) := 0 where o, a reset in the step of the spike; others:
                             v(t) = 0 where o, whatever came in
``zero``, undelayed          v(t) := 0 where s
``none``                     v(t) = g
============================ =================================================================================

The file says neither the kind of reset nor ``reset_delay``: ``--reset`` and ``--no-reset-delay`` do. With
beta = 1 tau and r are infinite: an IF. RLeaky and RSynaptic become ``NAME.lif`` and ``NAME.w_rec``.
Source: snntorch 1.0 ``export_nir.py``, ``_neurons/{leaky,rleaky,synaptic,rsynaptic,neurons}.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.readers.dialects.dialect import (
    Array,
    Dialect,
    Meaning,
    Place,
    neurons,
    numbers,
    steps_of,
)
from snn_deploy.graph.readers.unit_gain import cuba_lif, lif
from snn_deploy.graph.semantics import Reset, set_reset
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.timing import Reading

DT = 1e-4
"""Written into ``export_nir.py``."""


def reset_of(kind: Reset, *, delayed: bool, late_zero: bool) -> Reset:
    """The hub's reset (:mod:`snn_deploy.graph.semantics`) for snnTorch's ``kind``, its reset_mechanism.

    ``delayed``: reset_delay; ``late_zero``: whether a delayed reset to zero is a step late, as of all neurons
    but Leaky, which forgets v(t-1) where o.
    """
    if kind == "subtract":
        return "subtract-next" if delayed else "subtract-raised"
    return "zero-next" if kind == "zero" and delayed and late_zero else kind


def read(graph: nir.NIRGraph, reading: Reading, _shapes: Mapping[str, Shape]) -> Meaning:
    """See the module's text.

    Raises:
        UnsupportedError: an RSynaptic whose resets are said to be undelayed, which snnTorch 1.0 cannot run.
    """
    kinds: dict[str, Reset] = dict(reading.resets)
    usual: Reset = reading.reset or "subtract"
    delayed = reading.reset_delay is not False
    broken = []
    for place in neurons(graph):
        if not isinstance(place.node, nir.LIF | nir.CubaLIF):
            continue
        recurrent = _weights_of(place) in place.graph.nodes
        if recurrent and isinstance(place.node, nir.CubaLIF) and not delayed:
            broken.append(place.name)
        place.put(_rewritten(place))
        late_zero = recurrent or isinstance(place.node, nir.CubaLIF)
        set_reset(place.node, reset_of(kinds.get(place.name, usual), delayed=delayed, late_zero=late_zero))
    if broken:
        rule = "RSynaptic of snnTorch 1.0 fails with reset_delay=False"
        raise UnsupportedError(
            "snnTorch cannot have run this network.", problems=[Problem(name, rule) for name in broken]
        )
    notes = []
    if reading.reset is None or (usual == "subtract" and reading.reset_delay is None):
        late = "a step late (reset_delay=True)" if delayed else "in the step of the spike"
        notes.append(
            f"snnTorch's files do not say how neurons reset; taken: '{usual}', {late}. "
            "State it with --reset and --no-reset-delay."
        )
    return Meaning("euler", ">", reset_of(usual, delayed=delayed, late_zero=False), DT, notes=tuple(notes))


def _rewritten(place: Place) -> nir.NIRNode:
    node = place.node
    fire = {"v_threshold": node.v_threshold, "v_reset": node.v_reset}
    if isinstance(node, nir.LIF):
        if np.all(_decay(node.tau) == 1.0):
            return nir.IF(r=np.full(np.shape(node.tau), 1.0 / DT), **fire)
        steps = steps_of(_decay(node.tau))
        return lif(steps, DT, node.v_leak, fire)
    synapse, membrane = steps_of(_decay(node.tau_syn)), steps_of(_decay(node.tau_mem))
    return cuba_lif(synapse, membrane, DT, node.v_leak, fire)


def _weights_of(place: Place) -> str:
    """The name that the recurrent weights of a neuron have."""
    return place.key.removesuffix("lif") + "w_rec" if place.key.endswith("lif") else ""


def _decay(tau: object) -> Array:
    """beta from tau = dt / (1 - beta); 1 - beta was a float32, and beta may lie outside of 0..1."""
    with np.errstate(divide="ignore"):
        lost = (DT / numbers(tau)).astype(np.float32).astype(np.float64)
    return np.asarray(np.clip(1.0 - lost, 0.0, 1.0))


def signs(graph: nir.NIRGraph) -> str:
    """Its recurrent layers, and what it makes of beta = 1."""
    for place in neurons(graph):
        node, back = place.node, _weights_of(place)
        if back in place.graph.nodes and (back, place.key) in place.graph.edges:
            return f"'{place.name}' has recurrent weights called 'w_rec'"
        if (
            isinstance(node, nir.LIF)
            and np.isinf(numbers(node.tau)).all()
            and np.isinf(numbers(node.r)).all()
        ):
            return f"'{place.name}' has infinite tau and r"
    return ""


SNNTORCH = Dialect(
    "snnTorch 1.0",
    read,
    signs,
    takes=("reset", "resets", "reset_delay"),
    resets=("subtract", "zero", "none"),
)
