r"""Neurons rewritten so that a reader's arithmetic gives the same spikes.

Every IF, LIF and CubaLIF of the hub is, with the shares k of one step and the input gain g,

.. math::
    h = (1 - k) v + k v_{rest} + g x

A reader that does not know v_reset, or that builds another gain g', sees the same spikes in the coordinate
:math:`u = s (v - v_{reset})` with :math:`s = g' / g`:

.. math::
    h_u = (1 - k) u + k s (v_{rest} - v_{reset}) + g' x, \qquad
    \theta_u = s (\theta - v_{reset}), \qquad u_{reset} = 0

The new time constant is :math:`\tau = dt / k`, or :math:`\tau = -dt / \ln(1 - k)` for a reader that decays
exponentially. Exact in real numbers; in float32 the threshold is rounded once. A CUBA neuron has
:math:`g = k_{syn} w_{in} k_{mem} r`, and its own current decays by :math:`k_{syn}`.

A Threshold is a neuron that forgets: k = 1, so that h is the input.

Some nodes become others that compute the same (our choice):

========== ========== ======================================================================================
reader     node       becomes
========== ========== ======================================================================================
all        Threshold  a LIF whose time constant is one step
snntorch   IF         a LIF with tau = 2^60 dt, whose leak rounds to nothing
sinabs     CubaLIF    an LI (the current) that feeds a LIF; both add their input as it is
spyx       LIF        a CubaLIF whose current lasts one step (tau_syn = dt): its LIF subtracts the threshold
                      after the leak, its CubaLIF before it
========== ========== ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.dynamics import ONE_TOLERANCE, Array, parameters, step_share, uniform
from snn_deploy.graph.passes.for_readers.consumers import Consumer
from snn_deploy.graph.passes.for_readers.encoding import full_array
from snn_deploy.graph.passes.for_readers.thresholds import compared
from snn_deploy.graph.passes.keeps import GraphChange
from snn_deploy.graph.semantics import Semantics, read_semantics, reset_of
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.types import SPIKING_NODES

ENDLESS = 2.0**60
"""A time constant in steps whose leak float64 rounds to nothing."""

INSTANT = 200.0
"""Steps per time constant after which float32 holds nothing of an exponential decay."""


_SAME = 1e-5
"""Relative difference of potentials, and difference of shares, that float32 in a file explains."""


@dataclass(frozen=True, slots=True)
class _Discrete:
    """The equation of the module text; ``k_syn`` None: no current of its own."""

    k: Array
    k_syn: Array | None
    gain: Array
    threshold: Array
    reset: Array
    rest: Array


def _discrete(node: nir.NIRNode, semantics: Semantics) -> _Discrete:
    p = parameters(node)
    one, zero = np.ones(()), np.zeros(())
    if isinstance(node, nir.Threshold):
        return _Discrete(one, None, one, p["threshold"], zero, zero)
    threshold, reset = p["v_threshold"], p["v_reset"]
    if isinstance(node, nir.IF):
        return _Discrete(zero, None, p["r"] * semantics.dt, threshold, reset, reset)
    if isinstance(node, nir.LIF):
        k = step_share(p["tau"], semantics, "tau")
        return _Discrete(k, None, p["r"] * k, threshold, reset, p["v_leak"])
    k_syn = step_share(p["tau_syn"], semantics, "tau_syn")
    k = step_share(p["tau_mem"], semantics, "tau_mem")
    return _Discrete(k, k_syn, k_syn * p["w_in"] * k * p["r"], threshold, reset, p["v_leak"])


def _moved(neuron: _Discrete, origin: Array) -> _Discrete:
    return replace(
        neuron, threshold=neuron.threshold - origin, reset=neuron.reset - origin, rest=neuron.rest - origin
    )


def _scaled(neuron: _Discrete, gain: Array) -> _Discrete:
    scale = uniform(gain / neuron.gain)
    return replace(
        neuron,
        gain=uniform(np.broadcast_to(gain, np.broadcast_shapes(gain.shape, neuron.gain.shape))),
        threshold=neuron.threshold * scale,
        reset=neuron.reset * scale,
        rest=neuron.rest * scale,
    )


def _near(a: Array, b: Array | float) -> bool:
    return bool((np.abs(a - b) <= ONE_TOLERANCE * np.abs(b)).all())


def _reader_gain(node: nir.NIRNode, neuron: _Discrete, consumer: Consumer) -> Array:
    one = np.ones(())
    if isinstance(node, nir.IF) or consumer.gain == "one":
        return one
    if neuron.k_syn is not None and consumer.gain == "decay":
        return 1.0 - neuron.k_syn
    if isinstance(node, nir.CubaLIF):
        return neuron.gain if consumer.gain == "any" else one
    if consumer.gain == "any":
        return neuron.gain
    if consumer.gain == "either" and _near(neuron.gain, 1.0):
        return one
    return neuron.k


class NeuronWriter:
    """Rewrites the neurons of a graph with ``semantics`` for one reader; collects ``problems``."""

    def __init__(self, name: str, consumer: Consumer, semantics: Semantics) -> None:
        self._name, self._consumer, self._semantics = name, consumer, semantics
        self.problems: list[Problem] = []

    def rewrite(self, name: str, node: nir.NIRNode, shape: Shape) -> list[nir.NIRNode]:
        """The node or chain of nodes that the reader executes like a spiking ``node``."""
        neuron = _discrete(node, self._semantics)
        if (neuron.gain <= 0).any():
            what = f"an input gain of {neuron.gain.min():g}"
            self.problems.append(Problem(name, what, f"{self._consumer.title} takes positive gains"))
            return []
        if self._semantics.start == "zero" and neuron.reset.any():
            what = f"starts {np.abs(neuron.reset).max():g} away from its reset potential"
            rule = f"{self._consumer.title} starts at the reset potential"
            self.problems.append(Problem(name, what, rule, try_instead="the portable form"))
        neuron = self._at_readers_rest(name, node, neuron)
        neuron = _scaled(neuron, _reader_gain(node, neuron, self._consumer))
        self._check(name, node, neuron, shape)
        # sinabs looks at v_leak in a way that fails for more than one axis
        single = self._name == "sinabs" and not isinstance(node, nir.IF) and len(shape) > 1
        written = (1,) if single else shape
        return [
            kind(
                **{name: full_array(name, value, written) for name, value in fields.items()},
                metadata=dict(node.metadata),
            )
            for kind, fields in ([] if self.problems else self._chain(node, neuron))
        ]

    def _at_readers_rest(self, name: str, node: nir.NIRNode, neuron: _Discrete) -> _Discrete:
        if self._name == "spikingjelly":
            if isinstance(node, nir.CubaLIF):
                return _moved(neuron, neuron.rest)
            away = (neuron.rest != neuron.reset).any()
        else:
            neuron = _moved(neuron, neuron.reset)
            away = neuron.rest.any() and not self._consumer.reads_rest
        if away:
            what = f"rests {np.abs(neuron.rest - neuron.reset).max():g} away from its reset potential"
            rule = f"{self._consumer.title} leaks towards the reset potential only"
            self.problems.append(Problem(name, what, rule, try_instead="v_leak = v_reset"))
        return neuron

    def _check(self, name: str, node: nir.NIRNode, neuron: _Discrete, shape: Shape) -> None:
        values = (neuron.threshold, neuron.reset, neuron.k, neuron.gain)
        spread = any(value.ndim for value in (*values, *([] if neuron.k_syn is None else [neuron.k_syn])))
        one_value = self._name in {"snntorch", "spikingjelly"} or (
            self._name == "sinabs" and not isinstance(node, nir.IF) and len(shape) > 1
        )
        if spread and one_value:
            rule = f"{self._consumer.title} reads one value per layer"
            self.problems.append(Problem(name, f"{type(node).__name__} parameters that differ", rule))
        resets_to_zero = reset_of(node, self._semantics) == "zero"
        if not resets_to_zero and (neuron.threshold <= neuron.reset).any():
            what = f"a threshold of {neuron.threshold.min():g}"
            self.problems.append(Problem(name, what, "a subtractive reset needs v_threshold > v_reset"))

    def _tau(self, k: Array) -> Array:
        dt = self._consumer.dt
        if self._consumer.integrator == "euler":
            return dt / k
        steps = np.full(np.shape(k), 1.0 / INSTANT)
        fading = k < 1.0 - np.exp(-INSTANT)
        np.divide(-1.0, np.log1p(-np.where(fading, k, 0.5)), out=steps, where=fading)
        return dt * steps

    def _fire(self, node: nir.NIRNode, neuron: _Discrete) -> dict[str, Any]:
        threshold = neuron.threshold.astype(np.float32)
        if reset_of(node, self._semantics) == "zero":
            threshold = compared(threshold, self._semantics.fires_at, self._consumer.fires_at)
        return {"v_threshold": threshold, "v_reset": neuron.reset.astype(np.float32)}

    def _chain(self, node: nir.NIRNode, neuron: _Discrete) -> list[tuple[type[nir.NIRNode], dict[str, Any]]]:
        """Types and fields of the nodes that the reader executes like ``node``."""
        dt, fire = self._consumer.dt, self._fire(node, neuron)
        if isinstance(node, nir.IF):
            if self._name == "snntorch":
                return [(nir.LIF, {"tau": ENDLESS * dt, "r": ENDLESS, "v_leak": neuron.reset, **fire})]
            return [(nir.IF, {"r": neuron.gain / dt, **fire})]
        tau, r = self._tau(neuron.k), neuron.gain / neuron.k
        if neuron.k_syn is not None:
            tau_syn = self._tau(neuron.k_syn)
            if self._name == "sinabs":
                # sinabs takes both gains for one; this r makes them one by the equation, too
                r = 1.0 / (neuron.k * neuron.k_syn)
                return [
                    (nir.LI, {"tau": tau_syn, "r": 1.0, "v_leak": 0.0}),
                    (nir.LIF, {"tau": tau, "r": r, "v_leak": neuron.rest, **fire}),
                ]
            w_in = 1.0 / neuron.k_syn
            if self._consumer.gain == "decay":
                # Rockpool takes from r its step only, tau_mem / (1 + r); w_in gives our equation its gain
                r = tau / dt - 1.0
                w_in = neuron.gain / (neuron.k_syn * neuron.k * r)
            if self._consumer.gain == "any":
                w_in, r = node.w_in, node.r
            membrane = {"tau_mem": tau, "r": r, "v_leak": neuron.rest, **fire}
            return [(nir.CubaLIF, {"tau_syn": tau_syn, "w_in": w_in, **membrane})]
        if self._name == "spyx":
            membrane = {"tau_mem": tau, "r": r, "v_leak": neuron.rest, **fire}
            return [(nir.CubaLIF, {"tau_syn": dt, "w_in": 1.0, **membrane})]
        return [(nir.LIF, {"tau": tau, "r": r, "v_leak": neuron.rest, **fire})]


def dynamics_kept(change: GraphChange) -> Iterator[Problem]:
    """Neurons of the file, by its own semantics, have the shares and, per unit of input, the potentials that
    they had."""
    semantics = read_semantics(change.before), read_semantics(change.after)
    chains: dict[str, list[nir.NIRNode]] = {}
    for name, node in change.after.nodes.items():
        for origin in change.origins[name]:
            if isinstance(change.before.nodes[origin], SPIKING_NODES):
                chains.setdefault(origin, []).append(node)
    for name, chain in chains.items():
        old = _per_unit(_discrete(change.before.nodes[name], semantics[0]))
        new = _per_unit(_of_chain(chain, semantics[1]))
        for what, mine in old.items():
            scale = np.abs(old["threshold"]) if what in {"threshold", "rest"} else 1.0
            if not np.all(np.abs(new[what] - mine) <= _SAME * scale):
                found = f"{what} {np.max(new[what]):g}, before {np.max(mine):g}"
                yield Problem(name, found, "the reader's neuron is the same neuron")


def _per_unit(neuron: _Discrete) -> dict[str, Array]:
    """What does not depend on the coordinate of the membrane; potentials per unit of input."""
    return {
        "share": neuron.k,
        "share of the current": np.ones(()) if neuron.k_syn is None else neuron.k_syn,
        "threshold": (neuron.threshold - neuron.reset) / neuron.gain,
        "rest": neuron.k * (neuron.rest - neuron.reset) / neuron.gain,
    }


def _of_chain(chain: Sequence[nir.NIRNode], semantics: Semantics) -> _Discrete:
    """A neuron, perhaps behind the integrator that is its current."""
    *first, last = chain
    neuron = _discrete(last, semantics)
    for current in first:
        p = parameters(current)
        share = step_share(p["tau"], semantics, "tau")
        neuron = replace(neuron, k_syn=share, gain=neuron.gain * share * p["r"])
    return neuron
