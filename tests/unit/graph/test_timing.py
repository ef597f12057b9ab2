"""Discrete time of files that do not state it: flags, the one step that fits, defaults, what matters."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from support.graphs import graph

from snn_deploy.core.errors import ConfigError
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.timing import Reading, timing

NOTHING = Reading()


def net(*nodes: nir.NIRNode) -> nir.NIRGraph:
    return graph({f"n{i}": node for i, node in enumerate(nodes)}, [], (2,), (2,))


def fire(kind, **fields) -> nir.NIRNode:
    return kind(**{name: np.full(2, value) for name, value in fields.items()}, v_threshold=np.ones(2))


def integrate_and_fire(r: float) -> nir.NIRNode:
    return fire(nir.IF, r=r)


def lif(tau: float, r: float = 1.0) -> nir.NIRNode:
    return fire(nir.LIF, tau=tau, r=r, v_leak=0.0)


def cuba(tau_syn: float, w_in: float, tau_mem: float, r: float) -> nir.NIRNode:
    return fire(nir.CubaLIF, tau_syn=tau_syn, w_in=w_in, tau_mem=tau_mem, r=r, v_leak=0.0)


@pytest.mark.parametrize(
    ("nodes", "step"),
    [
        ([integrate_and_fire(1.0)], 1.0),
        ([integrate_and_fire(1e4), lif(2e-4)], 1e-4),
        ([lif(3e-3, r=3.0)], 1e-3),
        ([cuba(2e-3, 4.0, 1e-3, 2.0)], 5e-4),
        ([cuba(2e-3, 4.0, 1e-3, 1.0), integrate_and_fire(2000.0)], 5e-4),
        ([nir.LI(np.full(2, np.float32(5e-4)), np.full(2, np.float32(5.0)), np.zeros(2))], 1e-4),
        ([integrate_and_fire(1e4), nir.Delay(np.array([2e-4, 0.0]))], 1e-4),
    ],
)
def test_the_one_step_that_every_node_says(nodes, step):
    semantics, (note,) = timing(net(*nodes), NOTHING)
    assert semantics.dt == step
    assert "dt" not in semantics.assumed
    assert f"{step:g} s" in note


@pytest.mark.parametrize(
    "nodes",
    [
        [lif(2e-4)],
        [integrate_and_fire(1e4), integrate_and_fire(1e3)],
        [lif(2e-4, r=2.0), lif(3e-4, r=2.0)],
        [integrate_and_fire(1e3), lif(2e-4)],
        [integrate_and_fire(1e4), nir.Delay(np.array([1.5e-4, 0.0]))],
        [integrate_and_fire(-1.0)],
        [integrate_and_fire(5e-324)],
        [lif(0.0, r=2.0)],
        [fire(nir.IF, r=1.0), nir.I(np.array([1.0, 2.0]))],
    ],
)
def test_without_one_step_the_default_is_assumed(nodes):
    semantics, notes = timing(net(*nodes), NOTHING)
    assert (semantics.dt, notes) == (1e-4, [])
    assert "dt" in semantics.assumed


def test_what_is_stated_is_not_assumed():
    reading = Reading(dt=1e-3, integrator="exponential", fires_at=">=", reset="subtract")
    semantics, notes = timing(net(lif(2e-2, r=5.0)), reading)
    assert (semantics.dt, semantics.integrator, semantics.fires_at, semantics.reset) == (
        1e-3, "exponential", ">=", "subtract",
    )  # fmt: skip
    assert semantics.assumed == ()
    assert notes == []


@pytest.mark.parametrize(
    ("node", "matters"),
    [
        (nir.Threshold(np.ones(2)), {"fires_at"}),
        (nir.Linear(np.ones((2, 2))), set()),
        (lif(2e-4), {"dt", "integrator", "fires_at", "reset"}),
        (nir.I(np.array([1.0, 2.0])), {"dt"}),
        (nir.Delay(np.zeros(2)), {"dt"}),
        (nir.LI(np.ones(2), np.ones(2), np.zeros(2)), {"dt", "integrator"}),
    ],
)
def test_only_what_a_node_depends_on_is_assumed(node, matters):
    assert set(timing(net(node), NOTHING)[0].assumed) == matters


def test_nodes_of_nested_graphs_speak_too():
    semantics, _ = timing(net(net(integrate_and_fire(500.0))), NOTHING)
    assert semantics.dt == 2e-3


def test_a_file_that_states_its_time_cannot_be_told_another():
    stated = net(lif(2e-3, r=2.0))
    write_semantics(stated, Semantics(dt=1e-3, integrator="exponential"))
    assert timing(stated, Reading(dt=1e-3))[0].dt == 1e-3
    with pytest.raises(ConfigError) as caught:
        timing(stated, Reading(dt=1e-4, integrator="euler"))
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert found == {
        "dt": "stated as 0.0001, but the file says 0.001",
        "integrator": "stated as euler, but the file says exponential",
    }
