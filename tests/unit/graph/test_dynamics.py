"""Discretisation: which numbers a step uses, and which parameters mean nothing."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.graph.dynamics import (
    MAX_DELAY_STEPS,
    DynamicsError,
    Membrane,
    Synaptic,
    delay_steps,
    discretise,
    uniform,
)
from snn_deploy.graph.semantics import Semantics

DT = 1e-4
EULER = Semantics(dt=DT)
EXPONENTIAL = Semantics(dt=DT, integrator="exponential")


def lif(tau_steps, *, r=1.0, leak=0.0, threshold=1.0, reset=0.0) -> nir.LIF:
    values = (np.asarray(tau_steps) * DT, r, leak, threshold, reset)
    return nir.LIF(*np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in values)))


@given(st.floats(1.01, 1e4))
def test_a_time_constant_in_steps_divides(tau):
    leak = discretise(lif(tau), EULER).charge.leak
    value = float(leak.value) if leak.divides else 1.0 / float(leak.value)
    assert value == pytest.approx(tau, rel=1e-12)


@given(st.floats(2**-10, 1, width=32))
def test_a_float32_rate_multiplies_exactly(rate):
    """PLIF learns the rate itself in float32; the hub stores tau = dt / rate."""
    leak = discretise(lif(1.0 / rate), EULER).charge.leak
    assert not leak.divides
    assert float(leak.value) == rate


def test_resistance_of_tau_steps_takes_the_input_undiminished():
    charge = discretise(lif([2.5, 3.7], r=[2.5, 3.7]), EULER).charge
    assert charge.gain is None
    assert not charge.input_decays
    charge = discretise(lif(2.5, r=1.0), EULER).charge
    assert charge.gain is None
    assert charge.input_decays
    charge = discretise(lif(2.5, r=2.0), EULER).charge
    assert float(charge.gain) == 2.0
    assert charge.input_decays


def test_float32_storage_of_r_and_tau_still_gives_a_gain_of_one():
    tau, r = np.float32(3.3 * DT), np.float32(3.3)
    node = nir.LIF(*(np.full(2, v, np.float32) for v in (tau, r, 0.0, 1.0, 0.0)))
    assert discretise(node, EULER).charge.gain is None
    assert discretise(nir.IF(np.full(2, 1e4, np.float32), np.ones(2)), EULER).charge == Membrane(gain=None)


@given(st.floats(0.1, 100))
def test_exponential_decay(tau):
    leak = discretise(lif(tau), EXPONENTIAL).charge.leak
    rate = 1.0 / float(leak.value) if leak.divides else float(leak.value)
    assert rate == pytest.approx(1.0 - np.exp(-1.0 / tau), rel=1e-12)


def test_cuba_decays_and_gains():
    node = nir.CubaLIF(*(np.full(3, v) for v in (2 * DT, 4 * DT, 4.0, 0.5, 1.0, 0.0, 1.0)))
    charge = discretise(node, EULER).charge
    assert isinstance(charge, Synaptic)
    assert (float(charge.i_decay), float(charge.i_gain)) == (0.5, 0.5)
    assert (float(charge.v_decay), charge.v_gain, float(charge.v_offset)) == (0.75, None, 0.125)


def test_start_values():
    assert float(discretise(lif(2.0, leak=0.5, reset=-0.25), EULER).start) == -0.25
    assert float(discretise(nir.LI(*(np.full(1, v) for v in (2 * DT, 1.0, 0.5))), EULER).start) == 0.5
    assert float(discretise(nir.I(np.ones(2)), EULER).start) == 0.0


def test_uniform_keeps_what_differs():
    assert uniform(np.full((3, 4), 2.0)).shape == ()
    assert uniform([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert uniform(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("node", "semantics", "says"),
    [
        (lif([2.0, 0.5]), EULER, "'tau' = 5e-05 s is shorter than the step dt = 0.0001 s"),
        (lif([2.0, 0.0]), EULER, "'tau' must be positive; its minimum is 0 s"),
        (lif(-1.0), EXPONENTIAL, "must be positive"),
        (lif(np.nan), EULER, "'tau' holds values that are not finite"),
        (lif(2.0, threshold=np.inf), EULER, "'v_threshold' holds values that are not finite"),
        (lif(2.0, threshold=0.0), Semantics(reset="subtract"), "needs v_threshold > v_reset"),
        (nir.CubaLI(*(np.full(1, v) for v in (-1.0, 1.0, 1.0, 0.0))), EULER, "'tau_syn' must be positive"),
    ],
)
def test_parameters_without_meaning(node, semantics, says):
    with pytest.raises(DynamicsError, match=says):
        discretise(node, semantics)


def test_a_time_constant_of_one_step_is_the_limit_of_euler():
    assert discretise(lif(np.float32(DT) / DT), EULER).charge.leak is not None
    assert discretise(lif(0.5), EXPONENTIAL).charge.leak is not None


def test_delays_are_whole_steps():
    assert delay_steps(nir.Delay(np.array([0.0, 3.0]) * DT), EULER).tolist() == [0, 3]
    assert delay_steps(nir.Delay(np.full((2, 2), 3 * DT)), EULER).shape == ()
    with pytest.raises(DynamicsError, match=r"2.5 steps of 0.0001 s is no whole number"):
        delay_steps(nir.Delay(np.array([2.5 * DT])), EULER)
    with pytest.raises(DynamicsError, match=f"0 to {MAX_DELAY_STEPS} steps"):
        delay_steps(nir.Delay(np.array([-DT])), EULER)
    with pytest.raises(DynamicsError, match=f"0 to {MAX_DELAY_STEPS} steps"):
        delay_steps(nir.Delay(np.array([1.0])), EULER)
