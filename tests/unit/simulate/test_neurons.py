"""Neuron traces worked out by hand from the equations in snn_deploy.graph.dynamics."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from support.graphs import graph

from snn_deploy.graph.readers.kinds import kind
from snn_deploy.graph.readers.torch_modules.spikingjelly import NEURONS
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.neurons import MembraneState, SynapticState
from snn_deploy.simulate.reference import Reference

DT = 1e-4
ONE = np.ones(1)


def simulator(node: nir.NIRNode, **semantics) -> Reference:
    net = graph({"node": node}, [("input", "node"), ("node", "output")], (1,), (1,))
    write_semantics(net, Semantics(dt=DT, **semantics))
    return Reference(net)


def run(node: nir.NIRNode, xs: list[float], **semantics) -> tuple[list[float], tuple]:
    trace = simulator(node, **semantics).run(torch.tensor(xs).view(-1, 1, 1))
    return trace.output.flatten().tolist(), trace.state.get("node")


def lif(tau: float, *, r: float = 1.0, leak: float = 0.0, reset: float = 0.0) -> nir.LIF:
    return nir.LIF(tau=tau * DT * ONE, r=r * ONE, v_leak=leak * ONE, v_threshold=ONE, v_reset=reset * ONE)


def test_if_adds_its_input_and_resets_to_zero():
    node = nir.IF(r=ONE / DT, v_threshold=ONE, v_reset=0 * ONE)
    spikes, state = run(node, [0.5, 0.25, 0.5, 0.75], fires_at=">=")
    assert spikes == [0, 0, 1, 0]  # h: 0.5, 0.75, 1.25, 0.75
    assert state == MembraneState(torch.tensor([[0.75]]))


def test_if_with_subtractive_reset_keeps_the_rest():
    node = nir.IF(r=ONE / DT, v_threshold=ONE, v_reset=0 * ONE)
    spikes, state = run(node, [1.5, 0.5, 0.5], fires_at=">=", reset="subtract")
    assert spikes == [1, 1, 0]  # h: 1.5, 0.5 + 0.5, 0 + 0.5
    assert state.v.item() == 0.5


def test_if_resistance_and_reset_value():
    node = nir.IF(r=2 * ONE / DT, v_threshold=ONE, v_reset=-0.5 * ONE)
    spikes, state = run(node, [0.5, 0.5, 0.5], fires_at=">=")
    assert spikes == [0, 1, 0]  # starts at -0.5; h: 0.5, 1.5, 0.5
    assert state.v.item() == 0.5


@pytest.mark.parametrize(("fires_at", "expected"), [(">=", [0, 1, 0, 1]), (">", [0, 0, 1, 0])])
def test_comparison_decides_exact_hits(fires_at, expected):
    node = nir.IF(r=ONE / DT, v_threshold=ONE, v_reset=0 * ONE)
    assert run(node, [0.5, 0.5, 0.5, 0.5], fires_at=fires_at)[0] == expected


def test_lif_moves_half_way_to_its_input():
    spikes, state = run(lif(2.0), [1.0, 1.5, 1.5, 1.0], fires_at=">=")
    assert spikes == [0, 1, 0, 0]  # h: 0.5, 0.5 + 0.5 * 1.0, 0.75, 0.75 + 0.5 * 0.25
    assert state.v.item() == 0.875


def test_lif_with_r_tau_takes_its_input_undiminished():
    spikes, state = run(lif(4.0, r=4.0), [0.5, 0.5, 0.5], fires_at=">=")
    assert spikes == [0, 0, 1]  # h: 0.5, 0.375 + 0.5, 0.65625 + 0.5
    assert state.v.item() == 0.0


def test_lif_leaks_towards_v_leak_and_starts_at_v_reset():
    _, state = run(lif(2.0, leak=0.5, reset=-0.5), [0.0, 0.0])
    assert state.v.item() == 0.25  # -0.5, 0.0, 0.25


def test_lif_resistance():
    _, state = run(lif(2.0, r=3.0), [0.25])
    assert state.v.item() == 0.375


def test_lif_with_the_exponential_integrator():
    _, state = run(lif(2.0), [1.0, 0.0], integrator="exponential")
    a = np.exp(-0.5)
    assert state.v.item() == pytest.approx(a * (1 - a), rel=1e-6)


def test_li_outputs_its_membrane():
    node = nir.LI(tau=2 * DT * ONE, r=ONE, v_leak=0.5 * ONE)
    values, state = run(node, [0.5, -0.5])
    assert values == [0.75, 0.375]  # from 0.5: + 0.5 (0.5 + 0.5 - 0.5), then + 0.5 (0.5 - 0.5 - 0.75)
    assert state.v.item() == 0.375


def test_i_accumulates():
    assert run(nir.I(r=2 * ONE / DT), [0.5, 0.25, -1.0])[0] == [1.0, 1.5, -0.5]


def test_cuba_lif_sees_the_current_of_the_same_step():
    node = nir.CubaLIF(
        tau_syn=2 * DT * ONE, tau_mem=2 * DT * ONE, r=2 * ONE, v_leak=0 * ONE, v_threshold=ONE, w_in=2 * ONE
    )
    spikes, state = run(node, [0.5, 0.5, 0.0], fires_at=">=")
    # i: 0.5, 0.75, 0.375; h: 0.5, 0.25 + 0.75, 0 + 0.375
    assert spikes == [0, 1, 0]
    assert state == SynapticState(torch.tensor([[0.375]]), torch.tensor([[0.375]]))


def test_cuba_li_gains_and_leak():
    node = nir.CubaLI(tau_syn=2 * DT * ONE, tau_mem=4 * DT * ONE, r=2 * ONE, v_leak=1.0 * ONE, w_in=0.5 * ONE)
    values, state = run(node, [2.0, 0.0])
    # i: 0.5, 0.25; v: 1 -> 0.75 + 0.25 (2 * 0.5 + 1) = 1.25 -> 0.9375 + 0.25 (0.5 + 1) = 1.3125
    assert values == [1.25, 1.3125]
    assert state.i.item() == 0.25


def test_threshold_has_no_state():
    spikes, state = run(nir.Threshold(ONE), [0.5, 1.0, 2.0])
    assert spikes == [0, 0, 1]
    assert state is None


def test_delay_hands_on_what_came_whole_steps_ago():
    values, state = run(nir.Delay(2 * DT * ONE), [1.0, 2.0, 3.0, 4.0])
    assert values == [0, 0, 1, 2]
    assert state.past.flatten().tolist() == [3.0, 4.0]


def test_delay_per_element_and_of_nothing():
    node = nir.Delay(np.array([0.0, 1.0, 3.0]) * DT)
    net = graph({"node": node}, [("input", "node"), ("node", "output")], (3,), (3,))
    out = Reference(net).run(torch.arange(1.0, 5.0).view(4, 1, 1).expand(4, 1, 3)).output
    assert out[:, 0].T.tolist() == [[1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 0, 1]]
    assert run(nir.Delay(0 * ONE), [1.0, 2.0])[0] == [1.0, 2.0]


def test_scale_multiplies():
    assert run(nir.Scale(0.5 * ONE), [1.0, 3.0])[0] == [0.5, 1.5]


MODULES = {
    "IF": lambda: neuron.IFNode(),
    "IF soft": lambda: neuron.IFNode(v_reset=None, v_threshold=0.8),
    "IF reset 0.3": lambda: neuron.IFNode(v_reset=0.3),
    **{
        f"LIF tau {tau} decay {decay} reset {reset}": lambda tau=tau, decay=decay, reset=reset: (
            neuron.LIFNode(tau=tau, decay_input=decay, v_reset=reset, v_threshold=0.9)
        )
        for tau in (2.0, 3.0, 1.1)
        for decay in (True, False)
        for reset in (0.0, -0.2, 0.15, None)
    },
    **{
        f"PLIF decay {decay} reset {reset}": lambda decay=decay, reset=reset: neuron.ParametricLIFNode(
            init_tau=2.3, decay_input=decay, v_reset=reset
        )
        for decay in (True, False)
        for reset in (0.0, 0.15, None)
    },
    "CUBA": lambda: neuron.CUBALIFNode(c_decay=0.3, v_decay=0.7),
    "CUBA soft": lambda: neuron.CUBALIFNode(v_reset=None),
}


@pytest.mark.parametrize("name", MODULES)
def test_is_spikingjelly_to_the_last_bit(name):
    module = MODULES[name]()
    functional.set_step_mode(module, "m")
    x = torch.randn(40, 4, 50) * 2
    node = NEURONS[kind(type(module))](module, (50,), DT).node
    reset = "subtract" if module.v_reset is None else "zero"
    net = graph({"node": node}, [("input", "node"), ("node", "output")], (50,), (50,))
    write_semantics(net, Semantics(dt=DT, fires_at=">=", reset=reset))
    trace = Reference(net).run(x)
    with torch.no_grad():
        spikes = module(x)
    assert 0.02 < spikes.mean() < 0.98
    assert torch.equal(trace.output, spikes)
    assert torch.equal(trace.state["node"].v, module.v)
    if isinstance(trace.state["node"], SynapticState):
        assert torch.equal(trace.state["node"].i, module.c)
