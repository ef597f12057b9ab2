"""Golden rows about neurons: what they add, how they leak, when they fire and what a spike does; time."""

from __future__ import annotations

import nir
import numpy as np

from snn_deploy.conformance.golden import (
    BATCH,
    CARRIERS,
    SLOW,
    STEPS,
    Golden,
    array,
    chain,
    cuba,
    dense,
    full,
    integrate,
    lif,
    neuron_row,
    pulses,
)
from snn_deploy.conformance.loops import Array

ONE = ((1.0, 0.0), (0.0, 1.0))


def _series(*steps: float) -> Array:
    """The same series for both samples of both inputs, the second sample one step later."""
    series = np.zeros((STEPS, BATCH, 2))
    series[: len(steps), 0] = np.array(steps)[:, None]
    series[1 : len(steps) + 1, 1] = np.array(steps)[: STEPS - 1, None]
    return series


def neurons() -> list[Golden]:
    """What a neuron of each kind adds up."""
    scaled = 1 / SLOW
    return [
        neuron_row("IF", "dv/dt = r x with r = 1 / dt", lambda dt: integrate(dt, 2)),
        neuron_row(
            "IF, r = 1",
            "as files in steps have it; an IF does not leak",
            lambda dt: nir.IF(full(1, 2), full(1, 2), full(0, 2)),
            step=1.0,
        ),
        neuron_row("LIF, r = tau / dt", "the input is added unscaled", lambda dt: lif(dt, 2)),
        neuron_row(
            "LIF, r = 1", "the input is scaled by dt / tau", lambda dt: lif(dt, 2, r=1, threshold=scaled)
        ),
        neuron_row("LIF, another r", "r is a factor", lambda dt: lif(dt, 2, r=4, threshold=0.5)),
        neuron_row(
            "LIF, v_leak",
            "the membrane leaks towards v_leak",
            lambda dt: lif(dt, 2, v_leak=0.5, threshold=1.0),
        ),
        neuron_row(
            "LIF, per neuron",
            "each neuron has its own tau, r and threshold",
            lambda dt: lif(dt, 2, tau=(8, 4), r=(8, 4), threshold=(1, 0.5)),
        ),
        neuron_row("CubaLIF", "a current that leaks feeds the membrane", lambda dt: cuba(dt, 2, threshold=2)),
        neuron_row(
            "CubaLIF, r = w_in = 1",
            "both inputs are scaled by their step",
            lambda dt: cuba(dt, 2, scaled=True, threshold=scaled),
        ),
        neuron_row("I", "an integrator gives its membrane", lambda dt: nir.I(full(1 / dt, 2))),
        neuron_row(
            "LI",
            "a leaky integrator gives its membrane",
            lambda dt: nir.LI(full(SLOW * dt, 2), full(SLOW, 2), full(0, 2)),
        ),
        neuron_row(
            "CubaLI",
            "so does one behind a current",
            lambda dt: nir.CubaLI(
                full(2 * dt, 2), full(SLOW * dt, 2), r=full(SLOW, 2), v_leak=full(0, 2), w_in=full(2, 2)
            ),
        ),
        neuron_row("Threshold", "1 where x is above", lambda dt: nir.Threshold(array((0.5, 0.3)))),
    ]


def _carried(
    name: str, tells: str, x: Array, *, scale: float = 1.0, group: str = "firing", step: float | None = None
) -> Golden:
    def graph(dt: float, carrier: str) -> nir.NIRGraph:
        weights = np.array(ONE) * scale
        return chain({"w": dense(weights.tolist()), "n": CARRIERS[carrier](dt, 2)}, (2,), (2,))

    return Golden(name, group, tells, graph, x, carried=True, step=step)


def firing() -> list[Golden]:
    """When neurons fire, and what a spike does."""
    return [
        _carried("spike in its step", "a spike leaves in the step of its input", _series(0, 0, 1.5, 0, 0, 1.5)),
        _carried("reset discards", "what exceeds the threshold is gone after a spike", _series(1.75, 0.5, 0.5, 0.5, 1.75, 0.5)),
        _carried("one spike per step", "three thresholds at once are one spike", _series(3.25, 0, 0.25, 3.25, 0, 0)),
        _carried("no lower bound", "a membrane may sink below minus its threshold", _series(-4, 2.5, 2.5, 2.5, 2.5, 2.5)),
        _carried("state is kept", "halves add up over the steps", _series(0.75, 0.75, 0.75, 0.75, 0.75, 0.75)),
        neuron_row(
            "at the threshold",
            "v > v_threshold fires, v = v_threshold does not",
            lambda dt: integrate(dt, 2),
            _series(1, 0, 0, 0.5, 1, 0, 0.5, 0),
            group="firing",
            weights=ONE,
        ),
        neuron_row(
            "at the threshold, LIF",
            "the same of a LIF; its time constant is kept in float64, so that sums are exact",
            lambda dt: nir.LIF(np.full(2, SLOW * dt), full(SLOW, 2), full(0, 2), full(1, 2), full(0, 2)),
            _series(1, 0, 0, 1, 1, 0.5, 0, 0),
            group="firing",
            weights=ONE,
        ),
        neuron_row(
            "v_reset, IF",
            "a spike sets the membrane to v_reset",
            lambda dt: integrate(dt, 2, v_reset=-0.5),
            _series(1.75, 0, 1.25, 0.5, 1.25, 0, 0.5, 0.5, 0.25, 0.5),
            group="firing",
            weights=ONE,
        ),
        neuron_row(
            "v_reset, LIF",
            "a spike sets the membrane to v_reset",
            lambda dt: lif(dt, 2, v_reset=-0.5, v_leak=-0.5),
            _series(2.25, 0, 1.25, 0.5, 1.25, 0, 0.5, 0.5, 0.25, 0.5),
            group="firing",
            weights=ONE,
        ),
    ]  # fmt: skip


def time() -> list[Golden]:
    """The step, the leak and delays."""
    weights = dense(((0.75, -0.25), (0.25, 0.625)))

    def delayed(dt: float, _carrier: str) -> nir.NIRGraph:
        return chain({"w": weights, "z": nir.Delay(array((1, 3)) * dt)}, (2,), (2,))

    fast = neuron_row(
        "a fast leak",
        "how a step is made: Euler, or one of three exponential ways",
        lambda dt: nir.LIF(full(2 * dt, 2), full(2, 2), full(0, 2), full(1, 2), full(0, 2)),
        _series(0.75, 0.125, 0.375, 0.75, 0.625, 0.375, 0.375, 0.125, 0.25, 0.125, 0.75),
        group="time",
        weights=ONE,
    )
    units = [
        _carried(
            f"step of {step:g} s",
            "the reader takes the step it is told",
            pulses(2, every=2) * 0.75,
            group="time",
            step=step,
        )
        for step in (1e-4, 1e-3, 1.0)
    ]
    return [
        fast,
        *units,
        Golden("Delay", "time", "each element comes as many steps later", delayed, pulses(2)),
    ]

