r"""Spyx 1.0: ``to_nir`` writes tau = dt / (1 - beta) and r = beta; spikes leave a layer a step late.

With o = [v(t-1) > theta], which is what the layer gives at step t:

=================== ===========================================================================
IF, LIF, RIF, RLIF  v(t) = beta v(t-1) + x (+ recurrent weights times o) - o theta
CuBaLIF, RCuBaLIF   i = alpha i + x (+ the same), v(t) = beta (v(t-1) - o theta) + i
PSU_LIF             an LI with r = 1 and a Threshold: v(t) = beta v(t-1) + x, s = [v(t) > theta]
=================== ===========================================================================

So spikes of the hub are followed by a Delay of one step, outside of recurrent loops. Three more things its
files do not mean literally: dense weights behind a Flatten are for channels last (H, W, C); in its recurrent
graphs the input does not pass ``w_rec``; and the padding of a SumPool2d is the sum of both sides.
Source: spyx 1.0.0 ``nir.py``, ``nn.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import nir
import numpy as np

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.readers.dialects.dialect import Dialect, Meaning, Place, neurons, numbers, steps_of
from snn_deploy.graph.readers.unit_gain import cuba_lif, lif
from snn_deploy.graph.semantics import set_reset
from snn_deploy.graph.shapes import Shape, axes
from snn_deploy.graph.timing import Reading

DT = 1.0


def read(graph: nir.NIRGraph, _reading: Reading, shapes: Mapping[str, Shape]) -> Meaning:
    """See the module's text.

    Raises:
        UnsupportedError: a pool with padding that is not the same on both sides.
    """
    found = list(neurons(graph))
    step = _step([place.node for place in found])
    for place in found:
        place.put(_rewritten(place.node, step))
        if isinstance(place.node, nir.CubaLIF):
            set_reset(place.node, "subtract")
        if hasattr(place.node, "v_threshold"):
            _late(place)
    for node in graph.nodes.values():
        if isinstance(node, nir.NIRGraph):
            _input_beside_weights(node)
    _pools(graph)
    _channels_first(graph, shapes)
    return Meaning("euler", ">", "subtract-next", DT)


def _rewritten(node: nir.NIRNode, step: float) -> nir.NIRNode:
    if isinstance(node, nir.LI):
        steps = numbers(node.tau) / step
        return nir.LI(steps * DT, steps, node.v_leak)
    fire = {"v_threshold": node.v_threshold, "v_reset": node.v_reset}
    if isinstance(node, nir.IF):
        return nir.IF(np.full(np.shape(node.r), 1.0 / DT), **fire)
    membrane = steps_of(numbers(node.r))
    if isinstance(node, nir.LIF):
        return lif(membrane, DT, node.v_leak, fire)
    with np.errstate(divide="ignore"):
        synapse = steps_of(1.0 - step / numbers(node.tau_syn))
    return cuba_lif(synapse, membrane, DT, node.v_leak, fire)


def _step(found: Sequence[nir.NIRNode]) -> float:
    """The exporter's dt = tau (1 - beta), from the first neuron that says it; else its default."""
    for node in found:
        tau = getattr(node, "tau_mem", getattr(node, "tau", None))
        if tau is not None and not isinstance(node, nir.LI):
            said = numbers(tau) * (1.0 - numbers(node.r))
            if np.isfinite(said).all() and (said > 0).all():
                return float(np.median(said))
    return DT


def _late(place: Place) -> None:
    """Put a Delay of one step on the way out of the neuron, but not into its recurrent weights."""
    graph, key = place.graph, place.key
    delay = f"{key}_late"
    while delay in graph.nodes:
        delay += "_"
    shape = np.shape(place.node.v_threshold)
    graph.nodes[delay] = nir.Delay(np.full(shape, DT))
    back = {a for a, b in graph.edges if b == key}
    graph.edges = [(delay, b) if a == key and b not in back else (a, b) for a, b in graph.edges] + [
        (key, delay)
    ]


def _input_beside_weights(graph: nir.NIRGraph) -> None:
    doors = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    spiking = [name for name, node in graph.nodes.items() if hasattr(node, "v_threshold")]
    if len(doors) == len(spiking) == 1:
        graph.edges = [(a, spiking[0]) if a == doors[0] else (a, b) for a, b in graph.edges]


def _pools(graph: nir.NIRGraph) -> None:
    problems = []
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.SumPool2d):
            continue
        total = axes(node.padding, 2)
        if any(pad % 2 for pad in total):
            problems.append(Problem(name, f"a padding of {total} in all", "the same on both sides"))
        node.padding = np.array([pad // 2 for pad in total])
    if problems:
        raise UnsupportedError("These pools pad one side more than the other.", problems=problems)


def _channels_first(graph: nir.NIRGraph, shapes: Mapping[str, Shape]) -> None:
    """Columns of the dense weights right behind a Flatten of (C, H, W)."""
    for a, b in graph.edges:
        flat, dense, shape = graph.nodes[a], graph.nodes[b], shapes.get(a, ())
        if not isinstance(flat, nir.Flatten) or not isinstance(dense, nir.Affine | nir.Linear):
            continue
        if len(shape) == 3:
            c, h, w = shape
            weight = np.asarray(dense.weight)
            moved = weight.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(weight.shape)
            dense.weight = np.ascontiguousarray(moved)


SPYX = Dialect("Spyx 1.0", read)
