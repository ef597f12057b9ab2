"""The referee's oracle against traces worked out by hand in fractions, and against loops in plain Python."""

from __future__ import annotations

from fractions import Fraction as F

import nir
import numpy as np
import pytest
from oracles.nir_loops import simulate

from snn_deploy.conformance.golden import chain, cuba, dense, integrate, lif
from snn_deploy.conformance.golden_structure import golden_set
from snn_deploy.conformance.judge import admitted
from snn_deploy.conformance.loops import INTEGRATORS, Habits, flat, run

ROWS = {row.name: row for row in golden_set()}


def one(node, series, **habits):
    """What one neuron gives for a series of inputs."""
    x = np.array(series, float).reshape(-1, 1, 1)
    graph = chain({"n": node}, (1,), (1,))
    return run(graph, x, Habits(1.0, **habits))["output"][:, 0, 0].tolist()


def test_if_by_hand():
    """v: 3/4; 3/2 > 1 fires, 0; 1/2; 1 does not fire; 5/4 fires, 0."""
    series = [F(3, 4), F(3, 4), F(1, 2), F(1, 2), F(1, 4)]
    v, wanted = F(0), []
    for x in series:
        v += x
        wanted.append(float(v > 1))
        v = F(0) if v > 1 else v
    assert wanted == [0, 1, 0, 0, 1]
    assert one(integrate(1.0, 1), series) == wanted


def test_lif_by_hand():
    """tau = 8, r = 8: v := 7/8 v + x; 3/4, 45/32 fires, 1/2, 15/16, 141/128 does not, ..."""
    series = [F(3, 4), F(3, 4), F(1, 2), F(1, 2), F(3, 16), F(0), F(1, 2)]
    v, wanted, membranes = F(0), [], []
    for x in series:
        v = F(7, 8) * v + x
        membranes.append(v)
        wanted.append(float(v > 1))
        v = F(0) if v > 1 else v
    assert membranes[:2] == [F(3, 4), F(45, 32)]
    assert wanted == [0, 1, 0, 0, 1, 0, 0]
    assert one(lif(1.0, 1), series) == wanted
    assert one(lif(1.0, 1, r=1, threshold=1 / 8), series) == wanted


def test_a_cuba_neuron_by_hand():
    """tau_syn = 2: i := i / 2 + x; tau_mem = 8: v := 7/8 v + i."""
    series = [F(1), F(0), F(1), F(0), F(0)]
    i, v, wanted = F(0), F(0), []
    for x in series:
        i = i / 2 + x
        v = F(7, 8) * v + i
        wanted.append(float(v > 2))
        v = F(0) if v > 2 else v
    assert wanted == [0, 0, 1, 0, 0]
    assert one(cuba(1.0, 1, threshold=2), series) == wanted


@pytest.mark.parametrize(
    ("habits", "wanted"),
    [
        ({"reset": "subtract"}, [1, 1, 0, 0, 0]),  # 5/2, 3/2 left; fires, 1/2 left
        ({"reset": "none"}, [1, 1, 1, 1, 1]),
        ({"reset": "subtract-next"}, [1, 1, 0, 0, 0]),
        ({"reset": "zero-next"}, [1, 0, 0, 0, 0]),
        ({"many": True, "reset": "subtract"}, [2, 0, 0, 0, 0]),
        ({"late": True}, [0, 1, 0, 0, 0]),
        ({"forgets": True}, [1, 0, 0, 0, 0]),
    ],
)
def test_habits_by_hand(habits, wanted):
    assert one(integrate(1.0, 1), [2.5, 0, 0, 0, 0], **habits) == wanted


def test_a_raised_threshold_by_hand():
    """5/2 fires, 3/2 left; that stands above 1, so the next needs more than 2; then 3/2 is above 1 again."""
    assert one(integrate(1.0, 1), [2.5, 0, 0, 1], reset="subtract-raised") == [1, 0, 0, 1]


def test_ways_of_a_step_by_hand():
    """tau = 2, r = 2, one input of 1: the share that enters, and what is left of it a step later."""
    k, e = 0.5, np.exp(-0.5)
    enters = {"euler": 2 * k, "held": 2 * (1 - e), "impulses": 1.0, "early impulses": e}
    node = nir.LI(np.full(1, 2.0), np.full(1, 2.0), np.zeros(1))
    for integrator in INTEGRATORS:
        left = 1 - k if integrator == "euler" else e
        found = one(node, [1, 0], integrator=integrator)
        assert found == pytest.approx([enters[integrator], enters[integrator] * left])


@pytest.mark.parametrize("name", sorted(ROWS))
def test_is_equal_to_loops_in_plain_python(name):
    """Euler, of the golden rows themselves, walked element by element."""
    row = ROWS[name]
    for carrier in row.carriers or ("",):
        graph = row.make(1.0, carrier)
        meaning = admitted(graph, 1.0, row)[0]
        wanted = simulate(graph, row.x, dt=1.0, reset="zero", feedback=frozenset(row.feedback))
        found = meaning.answer(row.x)
        if row.name == "Flatten, from axis 1":  # plain loops flatten all
            found = found.reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_a_flattened_nested_graph_is_the_graph():
    inner = chain({"w": dense(((1.0, 0.5),)), "n": integrate(1.0, 1)}, (2,), (1,))
    outer = chain({"block": inner, "v": dense(((2.0,),), (0.5,))}, (2,), (1,))
    plain = chain(
        {"w": dense(((1.0, 0.5),)), "n": integrate(1.0, 1), "v": dense(((2.0,),), (0.5,))}, (2,), (1,)
    )
    x = np.random.default_rng(0).random((6, 2, 2))
    habits = Habits(1.0)
    assert np.array_equal(run(flat(outer), x, habits)["output"], run(plain, x, habits)["output"])
