r"""Neuron equations made discrete: the numbers every executor and writer of a NIR graph uses.

With k the share of the way to equilibrium made in one step (``euler``: k = dt / tau, ``exponential``:
k = 1 - exp(-dt / tau)), h the membrane before firing, and x the summed input of the step:

===============  ==========================================================================
I, IF            h = v + (r dt) x
LI, LIF          h = v + k (r x - (v - v_leak)), and when r k = 1
                 h = v - k (v - v_leak) + x
CubaLI, CubaLIF  i' = (1 - k_syn) i + (k_syn w_in) x
                 h  = (1 - k_mem) v + (k_mem r) i' + k_mem v_leak
spike            s = [h >= v_threshold] or [h > v_threshold]; with ``many`` spikes
                 s = max(0, floor(h / v_threshold)) or s = max(0, ceil(h / v_threshold) - 1);
                 with ``rounded`` ones s = min(levels, max(0, floor(h / v_threshold + 1/2)))
                 or s = min(levels, max(0, ceil(h / v_threshold + 1/2) - 1))
reset            v' = v_reset where s (``zero``), v' = h - s (v_threshold - v_reset) (``subtract``);
                 for the others see :mod:`snn_deploy.graph.semantics`
bound            v' = max(v', v_min)
integrators      output h, v' = h
Delay            y(t) = x(t - delay / dt), zero before the first input
===============  ==========================================================================

The membrane of a CUBA neuron sees the current of the same step. Spiking neurons start at v_reset, or at zero
where the graph says so (``start``), leaky integrators at v_leak, integrators and currents at zero. Order of
operations, start values and the two tolerances below are our choice; the operations are those of
spikingjelly 2.0 (IFNode, LIFNode, ParametricLIFNode, CUBALIFNode), so that float32 results agree to the
last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.graph.semantics import Comparison, Reset, Semantics, Spikes, reset_of
from snn_deploy.graph.shapes import NEURON_FIELDS

Array = npt.NDArray[np.float64]

ONE_TOLERANCE = 5e-7
"""A gain this near to one is one: r, tau and dt may each have been rounded to float32."""

MULTIPLIER_TOLERANCE = 1e-12
"""k multiplies when it is a float32 number to this precision; otherwise 1 / k divides."""

MAX_DELAY_STEPS = 4096


class DynamicsError(ValueError):
    """Neuron parameters have no discrete-time meaning; the text says why, with the numbers."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One step towards equilibrium: multiply by ``value``, or divide by it when ``divides``."""

    value: Array
    divides: bool


@dataclass(frozen=True, slots=True)
class Membrane:
    """I, IF, LI, LIF. ``gain`` None is 1, ``leak`` None keeps v, ``v_leak`` None is 0.

    ``input_decays``: the leak factor applies to the input too (r k != 1).
    """

    gain: Array | None
    leak: Leak | None = None
    v_leak: Array | None = None
    input_decays: bool = False


@dataclass(frozen=True, slots=True)
class Synaptic:
    """CubaLI, CubaLIF: decays and gains of current and membrane. A gain None is 1, an offset None is 0."""

    i_decay: Array
    i_gain: Array | None
    v_decay: Array
    v_gain: Array | None
    v_offset: Array | None


@dataclass(frozen=True, slots=True)
class Fire:
    """Spike rule and reset of one neuron layer."""

    threshold: Array
    v_reset: Array
    fires_at: Comparison
    reset: Reset
    spikes: Spikes = "one"
    v_min: float | None = None
    levels: int | None = None

    @property
    def several(self) -> bool:
        """Whether a neuron may give more than one spike in a step."""
        return self.spikes != "one"

    @property
    def plain(self) -> bool:
        """At most one spike per step, in which the reset happens, and no bound: what most targets do."""
        return self.spikes == "one" and self.v_min is None and self.reset in {"zero", "subtract"}

    @property
    def words(self) -> str:
        """How the neurons reset, for texts."""
        most = "" if self.levels is None else f", at most {self.levels}"
        several = f", several spikes per step{most}" if self.several else ""
        bound = "" if self.v_min is None else f", membrane at least {self.v_min:g}"
        return f"{self.reset}{several}{bound}"


@dataclass(frozen=True, slots=True)
class Neuron:
    """One neuron or integrator layer in discrete time: charge, then fire (None: output the membrane)."""

    charge: Membrane | Synaptic
    fire: Fire | None
    start: Array

    @property
    def starts_at_reset(self) -> bool:
        """Whether a spiking neuron starts where a spike that resets to a value leaves it."""
        return self.fire is None or bool((self.start == self.fire.v_reset).all())


def uniform(value: Any) -> Array:
    """``value`` in float64; a single number when all its elements are equal."""
    array = np.asarray(value, dtype=np.float64)
    return array.reshape(-1)[0].reshape(()) if array.size and (array == array.flat[0]).all() else array


def _unless(value: Array, neutral: float) -> Array | None:
    """None when ``value`` is ``neutral`` everywhere to the tolerance, else ``value``."""
    return None if (np.abs(value - neutral) <= ONE_TOLERANCE * neutral).all() else value


def step_share(tau: Array, semantics: Semantics, name: str) -> Array:
    """The share k of the way to equilibrium that one step makes.

    Raises:
        DynamicsError: ``tau`` is not positive, or so short that forward Euler would overshoot.
    """
    if not (tau > 0).all():
        raise DynamicsError(f"'{name}' must be positive; its minimum is {tau.min():g} s")
    if semantics.integrator == "exponential":
        return -np.expm1(-semantics.dt / tau)
    rate = semantics.dt / tau
    if (rate > 1 + ONE_TOLERANCE).any():
        raise DynamicsError(
            f"'{name}' = {tau.min():g} s is shorter than the step dt = {semantics.dt:g} s: "
            f"forward Euler would overshoot ({rate.max():g} of the way per step); is dt right?"
        )
    return rate


def _leak(rate: Array) -> Leak:
    multiplier = rate.astype(np.float32).astype(np.float64)
    if (np.abs(rate - multiplier) <= MULTIPLIER_TOLERANCE * rate).all():
        return Leak(uniform(multiplier), divides=False)
    return Leak(uniform(1.0 / rate), divides=True)


def _membrane(node: nir.NIRNode, p: dict[str, Array], semantics: Semantics) -> Membrane:
    if isinstance(node, nir.I | nir.IF):
        return Membrane(gain=_unless(uniform(p["r"] * semantics.dt), 1.0))
    rate = step_share(p["tau"], semantics, "tau")
    v_leak = None if not p["v_leak"].any() else p["v_leak"]
    gain = _unless(uniform(p["r"] * rate), 1.0)
    if gain is None:
        return Membrane(None, _leak(rate), v_leak, input_decays=False)
    return Membrane(_unless(p["r"], 1.0), _leak(rate), v_leak, input_decays=True)


def _synaptic(p: dict[str, Array], semantics: Semantics) -> Synaptic:
    k_syn = step_share(p["tau_syn"], semantics, "tau_syn")
    k_mem = step_share(p["tau_mem"], semantics, "tau_mem")
    return Synaptic(
        i_decay=uniform(1.0 - k_syn),
        i_gain=_unless(uniform(k_syn * p["w_in"]), 1.0),
        v_decay=uniform(1.0 - k_mem),
        v_gain=_unless(uniform(k_mem * p["r"]), 1.0),
        v_offset=uniform(k_mem * p["v_leak"]) if p["v_leak"].any() else None,
    )


def parameters(node: nir.NIRNode) -> dict[str, Array]:
    """Parameters of a neuron node in float64, uniform ones as a single number.

    Raises:
        DynamicsError: a parameter is not a finite number.
    """
    values = {}
    for name in NEURON_FIELDS[type(node)]:
        values[name] = uniform(getattr(node, name))
        if not np.isfinite(values[name]).all():
            raise DynamicsError(f"'{name}' holds values that are not finite")
    return values


def discretise(node: nir.NIRNode, semantics: Semantics) -> Neuron:
    """Discrete-time form of an I, IF, LI, LIF, CubaLI or CubaLIF node.

    Raises:
        DynamicsError: a parameter is not finite, a time constant is not positive or shorter than dt.
    """
    p = parameters(node)
    charge: Membrane | Synaptic
    charge = _synaptic(p, semantics) if "tau_syn" in p else _membrane(node, p, semantics)
    if "v_threshold" not in p:
        return Neuron(charge, None, p.get("v_leak", np.zeros(())))
    start = p["v_reset"] if semantics.start == "reset" else np.zeros(())
    return Neuron(charge, _fire(node, p["v_threshold"], p["v_reset"], semantics), start)


def _fire(node: nir.NIRNode, threshold: Array, v_reset: Array, semantics: Semantics) -> Fire:
    reset = reset_of(node, semantics)
    if reset.startswith("subtract") and not (threshold > v_reset).all():
        raise DynamicsError("a subtractive reset needs v_threshold > v_reset")
    if semantics.spikes != "one":
        if v_reset.any() or not (threshold > 0).all():
            raise DynamicsError("several spikes per step need v_reset = 0 and v_threshold > 0")
        if reset not in {"zero", "subtract"}:
            raise DynamicsError(f"several spikes per step go with reset zero or subtract, not {reset}")
    if semantics.v_min is not None and not (semantics.v_min < threshold).all():
        raise DynamicsError(f"the lower bound {semantics.v_min:g} is not below v_threshold")
    return Fire(
        threshold, v_reset, semantics.fires_at, reset, semantics.spikes, semantics.v_min, semantics.levels
    )


def delay_steps(node: nir.Delay, semantics: Semantics) -> npt.NDArray[np.int64]:
    """Delay in steps; a single number when it is the same for all elements.

    Raises:
        DynamicsError: negative, longer than ``MAX_DELAY_STEPS``, or no whole number of steps.
    """
    exact = parameters(node)["delay"] / semantics.dt
    steps = np.rint(exact)
    if (np.abs(exact - steps) > 1e-3).any():
        worst = exact.flat[np.abs(exact - steps).argmax()]
        raise DynamicsError(f"a delay of {worst:g} steps of {semantics.dt:g} s is no whole number")
    if (steps < 0).any() or (steps > MAX_DELAY_STEPS).any():
        found = f"{steps.min():g} to {steps.max():g}"
        raise DynamicsError(f"delays must be 0 to {MAX_DELAY_STEPS} steps; found {found}")
    return steps.astype(np.int64)
