r"""sinabs 3.1: ``to_nir`` writes tau in steps, and nothing of spikes, resets, bounds and gains.

With a = exp(-1 / tau) and dt = 1:

============ ===========================================================================
IAF          h = v + x
LIF, ExpLeak h = a v + (1 - a) x with ``norm_input`` (its default), h = a v + x without
spikes       floor(h / threshold) per step (its default, MultiSpike), or one where h >= threshold
reset        that many thresholds subtracted (its default), or to zero
bound        v = max(v, min_v_mem) after every step of a spiking neuron; none by default
============ ===========================================================================

All of this is stated by flags: ``--spikes``, ``--reset``, ``--min-membrane``, ``--norm-input``. A LIF with
``tau_syn`` is written like one without: a trace shows it.
Source: sinabs 3.1.3 ``nir.py``, ``layers/functional/lif.py``, ``activation/``.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np

from snn_deploy.graph.readers.dialects.dialect import Dialect, Meaning, neurons, numbers
from snn_deploy.graph.semantics import Reset, StatedSpikes, set_reset
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.timing import Reading

DT = 1.0


def read(graph: nir.NIRGraph, reading: Reading, _shapes: Mapping[str, Shape]) -> Meaning:
    """See the module's text."""
    kinds: dict[str, Reset] = dict(reading.resets)
    weighted = reading.norm_input is not False
    leaks = False
    for place in neurons(graph):
        node = place.node
        if isinstance(node, nir.IF):
            place.put(nir.IF(np.full(np.shape(node.r), 1.0 / DT), node.v_threshold, node.v_reset))
        if isinstance(node, nir.LI | nir.LIF):
            leaks = True
            share = -np.expm1(-DT / numbers(node.tau))
            r = np.ones_like(share) if weighted else 1.0 / share
            fire = (
                {} if isinstance(node, nir.LI) else {"v_threshold": node.v_threshold, "v_reset": node.v_reset}
            )
            place.put(type(node)(tau=numbers(node.tau), r=r, v_leak=node.v_leak, **fire))
        if place.name in kinds:
            set_reset(place.node, kinds[place.name])
    spikes: StatedSpikes = reading.spikes or "many"
    reset: Reset = reading.reset or "subtract"
    return Meaning(
        "exponential", ">=", reset, DT, spikes, reading.v_min, tuple(_notes(reading, spikes, reset, leaks))
    )


def _notes(reading: Reading, spikes: StatedSpikes, reset: Reset, leaks: bool) -> list[str]:
    open_fields = [
        ("spikes", f"{'several spikes' if spikes == 'many' else 'one spike'} per step (--spikes)"),
        ("reset", f"reset '{reset}' (--reset)"),
        ("v_min", "no lower bound of the membrane (--min-membrane)"),
        *([("norm_input", "norm_input=True (--norm-input)")] if leaks else []),
    ]
    taken = [words for name, words in open_fields if getattr(reading, name) is None]
    return [f"sinabs' files do not say these; its defaults are taken: {', '.join(taken)}."] if taken else []


SINABS = Dialect(
    "sinabs 3.1",
    read,
    takes=("reset", "resets", "spikes", "v_min", "norm_input"),
    resets=("subtract", "zero"),
)
