"""Golden rows about neurons: what they add, how they leak, when they fire and what a spike does; time."""

from __future__ import annotations

from collections.abc import Callable

import nir
import numpy as np

from snn_deploy.conformance.golden import (
    ANY,
    CARRIERS,
    CUBA_THRESHOLD,
    IF_THRESHOLD,
    LEAKING,
    LIF_THRESHOLD,
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

SHARES = (1.0, 0.5, 0.75, 1.25)
"""Of one series of inputs, to four neurons."""


def neurons() -> list[Golden]:
    """What a neuron of each kind adds up."""
    scaled = 1 / SLOW
    return [
        neuron_row(
            "IF", "dv/dt = r x with r = 1 / dt", lambda dt, n: integrate(dt, n, threshold=IF_THRESHOLD)
        ),
        neuron_row(
            "IF, r = 1",
            "as files in steps have it; an IF does not leak",
            lambda _dt, n: nir.IF(full(1, n), full(IF_THRESHOLD, n), full(0, n)),
            step=1.0,
        ),
        neuron_row(
            "LIF, r = tau / dt",
            "the input is added unscaled",
            lambda dt, n: lif(dt, n, threshold=LIF_THRESHOLD),
        ),
        neuron_row(
            "LIF, r = 1",
            "the input is scaled by dt / tau",
            lambda dt, n: lif(dt, n, r=1, threshold=scaled * LIF_THRESHOLD),
        ),
        neuron_row(
            "LIF, another r",
            "r is a factor",
            lambda dt, n: lif(dt, n, r=3, threshold=3 * scaled * LIF_THRESHOLD),
        ),
        neuron_row(
            "LIF, v_leak",
            "the membrane leaks towards v_leak",
            lambda dt, n: lif(dt, n, v_leak=0.5, threshold=LIF_THRESHOLD),
        ),
        neuron_row(
            "LIF, per neuron",
            "each neuron has its own tau, r and threshold",
            lambda dt, n: lif(
                dt,
                n,
                tau=(8, 4, 8, 2),
                r=(8, 4, 6, 2),
                threshold=np.array((1, 0.5, 1.25, 0.75)) * LIF_THRESHOLD,
            ),
        ),
        neuron_row(
            "CubaLIF",
            "a current that leaks feeds the membrane",
            lambda dt, n: cuba(dt, n, threshold=CUBA_THRESHOLD),
        ),
        neuron_row(
            "CubaLIF, r = w_in = 1",
            "both inputs are scaled by their step",
            lambda dt, n: cuba(dt, n, scaled=True, threshold=CUBA_THRESHOLD * scaled / 2),
        ),
        neuron_row("I", "an integrator gives its membrane", lambda dt, n: nir.I(full(1 / dt, n))),
        neuron_row(
            "LI",
            "a leaky integrator gives its membrane",
            lambda dt, n: nir.LI(full(SLOW * dt, n), full(SLOW, n), full(0, n)),
        ),
        neuron_row(
            "CubaLI",
            "so does one behind a current",
            lambda dt, n: nir.CubaLI(
                full(2 * dt, n), full(SLOW * dt, n), r=full(SLOW, n), v_leak=full(0, n), w_in=full(2, n)
            ),
        ),
        neuron_row(
            "Threshold", "1 where x is above", lambda _dt, _n: nir.Threshold(array((0.7, 0.3, 1.6, 0.45)))
        ),
    ]


def _fed(*series: float) -> Array:
    """``series`` over and over for the first sample, one step later for the second."""
    first = np.resize(np.array(series), STEPS)
    return np.stack([first, np.concatenate([[0.0], first[:-1]])], axis=1)[..., None]


def _row(
    name: str,
    tells: str,
    make: Callable[[float, str], nir.NIRNode],
    x: Array,
    *,
    carriers: tuple[str, ...] = (),
    group: str = "firing",
    step: float | None = None,
) -> Golden:
    def graph(dt: float, carrier: str) -> nir.NIRGraph:
        return chain({"w": dense([[share] for share in SHARES]), "n": make(dt, carrier)}, (1,), (4,))

    return Golden(name, group, tells, graph, x, carriers=carriers, step=step)


def _carried(dt: float, carrier: str) -> nir.NIRNode:
    return CARRIERS[carrier](dt, len(SHARES))


def firing() -> list[Golden]:
    """When neurons fire, and what a spike does."""
    rows = {
        "spike in its step": ("a spike leaves in the step of its input", (0, 0, 3.5, 0, 0, 0, 3.5, 0, 0)),
        "reset discards": (
            "what exceeds the threshold is gone after a spike",
            (1.75, 0.5, 0.5, 0.5, 1.75, 0.5, 0.25),
        ),
        "one spike per step": ("several thresholds at once are one spike", (5.25, 0, 0, 0.25, 5.25, 0, 0, 0)),
        "no lower bound": (
            "a membrane may sink below minus its threshold",
            (-5, 2.5, 2.5, 2.5, 2.5, 2.5, -5, -5),
        ),
        "state is kept": ("halves add up over the steps", (0.75, 0.75, 0.75, 0.5, 0.75)),
    }
    carried = [_row(name, tells, _carried, _fed(*x), carriers=ANY) for name, (tells, x) in rows.items()]
    return [
        *carried,
        _row(
            "at the threshold",
            "v > v_threshold fires, v = v_threshold does not",
            lambda dt, _c: integrate(dt, 4),
            _fed(1, 0, 0, 0.5, 1, 0, 0.5, 0),
        ),
        _row(
            "at the threshold, LIF",
            "the same of a LIF; its time constant is kept in float64, so that sums are exact",
            lambda dt, _c: nir.LIF(np.full(4, SLOW * dt), full(SLOW, 4), full(0, 4), full(1, 4), full(0, 4)),
            _fed(1, 0, 0, 1, 1, 0.5, 0, 0),
        ),
        _row(
            "v_reset, IF",
            "a spike sets the membrane to v_reset",
            lambda dt, _c: integrate(dt, 4, threshold=IF_THRESHOLD, v_reset=-0.5),
            _fed(1.75, 0, 1.25, 0.5, 1.25, 0, 0.5, 0.5, 0.25, 0.5),
        ),
        _row(
            "v_reset, LIF",
            "a spike sets the membrane to v_reset, to which it leaks",
            lambda dt, _c: lif(dt, 4, threshold=LIF_THRESHOLD, v_reset=-0.5, v_leak=-0.5),
            _fed(2.25, 0, 1.25, 0.5, 1.25, 0, 0.5, 0.5, 0.25, 0.5),
        ),
    ]  # fmt: skip


def time() -> list[Golden]:
    """The step, the leak and delays."""

    def delayed(dt: float, _carrier: str) -> nir.NIRGraph:
        return chain(
            {"w": dense(((0.75, -0.25), (0.25, 0.625))), "z": nir.Delay(array((1, 3)) * dt)}, (2,), (2,)
        )

    fast = _row(
        "a fast leak",
        "how a step is made: Euler, or one of three exponential ways",
        lambda dt, _c: lif(dt, 4, tau=2, r=2, threshold=LIF_THRESHOLD),
        _fed(0.75, 0.125, 0.375, 0.75, 0.625, 0.375, 0.375, 0.125, 0.25, 0.125, 0.75, 1.375),
        group="time",
    )
    units = [
        _row(
            f"step of {step:g} s",
            "the reader takes the step it is told",
            _carried,
            _fed(0.75, 0.25, 0, 2.5, 0.5, 0.875, 0),
            carriers=LEAKING,
            group="time",
            step=step,
        )
        for step in (1e-4, 1e-3, 1.0)
    ]
    return [
        fast,
        *units,
        Golden("Delay", "time", "each element comes as many steps later", delayed, pulses(2)),
    ]  # fmt: skip
