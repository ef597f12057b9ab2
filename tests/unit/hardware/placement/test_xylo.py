"""Xylo: what counts as hidden, as output, and as a synapse between hidden neurons."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from support.graphs import graph

from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.hardware.fit import fit
from snn_deploy.hardware.profile import load_profile


def cuba(width: int) -> nir.CubaLIF:
    one = np.ones(width)
    return nir.CubaLIF(
        tau_syn=2e-4 * one,
        tau_mem=4e-4 * one,
        r=one,
        v_leak=0 * one,
        v_threshold=one,
        v_reset=0 * one,
        w_in=one,
    )


def network(*widths: int, inputs: int = 16, recurrent: bool = False, density: float = 1.0):
    rng = np.random.default_rng(0)
    nodes, edges, previous, before = {}, [], "input", inputs
    for i, width in enumerate(widths):
        weight = (rng.random((width, before)) <= density).astype(np.float32)
        nodes |= {f"w{i}": nir.Linear(weight), f"n{i}": cuba(width)}
        edges += [(previous, f"w{i}"), (f"w{i}", f"n{i}")]
        previous, before = f"n{i}", width
    if recurrent:
        nodes["back"] = nir.Linear(np.ones((widths[0], widths[0]), np.float32))
        edges += [("n0", "back"), ("back", "n0")]
    made = graph(nodes, [*edges, (previous, "output")], (inputs,), (widths[-1],))
    write_semantics(made, Semantics(reset="subtract"))
    return make_plan(made)


def uses(plan, profile="xylo-a2"):
    return {
        n: (u.amount, u.available) for n, u in fit(plan, load_profile(profile)).placement.rows[0].uses.items()
    }


def problems(plan, profile="xylo-a2"):
    return {f.rule: (f.found, f.limit) for f in fit(plan, load_profile(profile)).problems}


def test_counts():
    """60 and 40 hidden neurons: 2,400 synapses between them; those of inputs and outputs are others."""
    assert uses(network(60, 40, 8)) == {
        "input channels": (16, 16),
        "hidden neurons": (100, 1000),
        "output neurons": (8, 8),
        "largest hidden fan-out": (40, 64),
        "hidden synapses": (2400, 64000),
    }


def test_only_the_fan_in_is_left_unknown():
    found = fit(network(60, 40, 8), load_profile("xylo-a2"))
    assert found.verdict == "cannot tell"
    assert [f.rule for f in found.unknowns] == ["fan_in"]
    assert not found.problems


def test_recurrence_counts_as_hidden_synapses():
    assert uses(network(30, 8, recurrent=True))["hidden synapses"][0] == 900
    assert uses(network(30, 8, recurrent=True))["largest hidden fan-out"][0] == 30


def test_zero_weights_are_no_synapses():
    plan = network(60, 40, 8, density=0.5)
    weight = plan.node("w1").weight
    assert uses(plan)["hidden synapses"][0] == np.count_nonzero(weight) < 1300
    assert uses(plan)["largest hidden fan-out"][0] == np.count_nonzero(weight, axis=0).max()


def test_everything_that_can_be_too_large():
    found = problems(network(1500, 100, 9, inputs=17))
    assert found == {
        "input channels": ("17 input channels", "at most 16"),
        "hidden neurons": ("1,600 hidden neurons", "at most 1,000"),
        "output neurons": ("9 output neurons", "at most 8"),
        "largest hidden fan-out": ("100 largest hidden fan-out", "at most 64"),
        "hidden synapses": ("150,000 hidden synapses", "at most 32,000 or 64,000; sources differ"),
    }


@pytest.mark.parametrize(("synapses", "state"), [((640, 50), None), ((800, 60), "unknown")])
def test_a_mean_that_depends_on_the_second_synapse(synapses, state):
    """32,000 hidden synapses with one synapse per neuron, 64,000 with two."""
    found = fit(network(*synapses, 8), load_profile("xylo-a2"))
    assert [f.state for f in found.unknowns if f.rule == "hidden synapses"] == ([state] if state else [])


def test_projections_of_the_later_chips():
    found = problems(network(200, 8), "xylo-imu")
    assert found["neurons that see the input"] == ("200 neurons that see the input", "at most 128")
    assert found["neurons that feed the output"][0] == "200 neurons that feed the output"


def test_structure_biases_and_decays():
    nodes = {
        "w": nir.Affine(np.ones((4, 3), np.float32), np.array([0, 1, 0, 0], np.float32)),
        "n": cuba(4),
    }
    made = graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], (3,), (4,))
    write_semantics(made, Semantics(reset="subtract", dt=1.5e-4))
    found = fit(make_plan(made), load_profile("xylo-a2"))
    assert {f.rule: f.found for f in found.problems} == {
        "biases": "1 biases",
        "two_neuron_layers": "1 layer of neurons",
    }
    assert [f.found for f in found.changes] == ["current leak 0.75 per step", "membrane leak 0.375 per step"]
    assert {f.limit for f in found.changes} == {"1/2, 1/4, 1/8 ..."}
