"""Files for one reader: same spikes, the numbers of each translation, and what is refused."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.graphs import chain, conv, graph, lif, pool, replace_fields
from support.passes import flavour, portable
from support.random_graphs import exact_cases

from snn_deploy.graph.passes.for_readers.channel_order import channels_first
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.passes.for_readers.for_reader import type_check
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.semantics import Semantics, read_semantics, write_semantics
from snn_deploy.graph.shapes import output_shape
from snn_deploy.simulate.reference import Reference

BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


def away_from_thresholds(net: nir.NIRGraph) -> nir.NIRGraph:
    """Thresholds that the exact arithmetic of a random case never meets; none at or below v_reset."""
    for node in net.nodes.values():
        if hasattr(node, "v_threshold"):
            node.v_threshold = np.maximum(node.v_threshold, node.v_reset) + 0.0371
        elif isinstance(node, nir.Threshold):
            node.threshold = node.threshold + 0.0371
    return net


@pytest.mark.parametrize("reader", CONSUMERS)
@settings(deadline=None, max_examples=25)
@given(case=exact_cases(scalar_start=True))
def test_the_readers_arithmetic_gives_the_same_spikes(reader, case):
    """The file's semantics are the reader's; where the reader cannot, there is no file."""
    net = away_from_thresholds(case.graph)
    made = flavour(make_plan(net), reader)
    assert (made.graph is None) == bool(made.problems)
    if made.graph is None:
        return
    stated = read_semantics(made.graph)
    facts = CONSUMERS[reader]
    assert (stated.dt, stated.integrator, stated.fires_at) == (facts.dt, facts.integrator, facts.fires_at)
    for name, node in made.graph.nodes.items():
        made.graph.nodes[name] = channels_first(node)
    before, after = Reference(net).run(case.x), Reference(made.graph).run(case.x)
    assert torch.equal(before.output, after.output)


@pytest.mark.parametrize(
    ("reader", "kind"),
    [(r, k) for r in CONSUMERS for k in (nir.IF, nir.LIF, nir.CubaLIF) if k in CONSUMERS[r].nodes],
)
def test_neurons_away_from_zero_with_any_gain(reader, kind):
    """v_reset = v_leak = 0.3, a gain that no reader has, and inputs of many sizes."""
    rng = np.random.default_rng(3)
    fire = {"v_threshold": np.full(6, 1.1), "v_reset": np.full(6, 0.3)}
    fields = {
        nir.IF: {"r": np.full(6, 7e3)},
        nir.LIF: {"tau": np.full(6, 3.3e-4), "r": np.full(6, 1.7), "v_leak": np.full(6, 0.3)},
        nir.CubaLIF: {
            "tau_syn": np.full(6, 1.9e-4),
            "tau_mem": np.full(6, 4.1e-4),
            "r": np.full(6, 1.7),
            "w_in": np.full(6, 2.2),
            "v_leak": np.full(6, 0.3),
        },
    }[kind]
    weights = nir.Linear(rng.normal(size=(6, 5)).astype(np.float32))
    nodes = {"w": weights, "n": kind(**fields, **fire)}
    net = graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], (5,), (6,))
    reset = CONSUMERS[reader].resets[0]
    write_semantics(net, Semantics(reset=reset))
    made = flavour(make_plan(net), reader)
    assert made.problems == []
    x = torch.from_numpy(rng.integers(0, 3, (30, 20, 5)).astype(np.float32))
    expected = Reference(net).run(x).output
    assert 0.05 < expected.mean() < 0.95
    assert torch.equal(Reference(made.graph).run(x).output, expected)


def translated(reader: str, node: nir.NIRNode, **semantics) -> dict[str, nir.NIRNode]:
    net = graph(
        {"n": node}, [("input", "n"), ("n", "output")], np.shape(node.v_threshold), np.shape(node.v_threshold)
    )
    write_semantics(net, Semantics(fires_at=">=", **semantics))
    made = flavour(make_plan(net), reader)
    assert made.problems == []
    return made.graph.nodes


def two_steps(size: int) -> nir.LIF:
    one = np.ones(size)
    return nir.LIF(tau=2e-4 * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


@pytest.mark.parametrize(
    ("reader", "tau", "r", "threshold"),
    [
        ("norse", 2e-3, 1.0, BELOW_ONE),
        ("spikingjelly", 2e-4, 1.0, 1.0),
        ("snntorch", 2e-4, 2.0, 2 * BELOW_ONE),
        ("sinabs", 1 / np.log(2), 2.0, 2.0),
        ("spinnaker2", 1 / np.log(2), 1.0, BELOW_ONE),
    ],
)
def test_a_lif_of_two_steps_by_hand(reader, tau, r, threshold):
    """tau_s = 2, input decays: h = v/2 + x/2 at threshold 1; who adds x itself has twice the threshold."""
    node = translated(reader, two_steps(3))["n"]
    assert isinstance(node, nir.LIF)
    assert np.allclose(node.tau, tau, rtol=1e-12)
    assert np.allclose(node.r, r, rtol=1e-12)
    assert node.v_threshold.tolist() == [threshold] * 3


def test_without_decay_of_the_input_norse_gets_half_the_threshold():
    """r = tau_s = 2: h = v/2 + x; Norse knows h = v/2 + x/2 only, so that u = v/2 and its threshold 1/2."""
    node = replace_fields(two_steps(2), r=2 * np.ones(2))
    found = translated("norse", node)["n"]
    assert found.r.tolist() == [1, 1]
    assert found.v_threshold.tolist() == [BELOW_ONE / 2] * 2
    assert translated("spikingjelly", node)["n"].r.tolist() == [2, 2]


def test_an_if_for_snntorch_is_a_lif_that_does_not_leak():
    node = translated("snntorch", nir.IF(r=np.full(2, 1e4), v_threshold=np.ones(2)))["n"]
    assert isinstance(node, nir.LIF)
    assert (1 - 1e-4 / node.tau).tolist() == [1, 1]
    assert np.allclose(node.r * 1e-4 / node.tau, 1.0, rtol=1e-15)


def test_cuba_for_sinabs_is_a_current_and_a_membrane():
    cuba = nir.CubaLIF(
        tau_syn=np.full(2, 2e-4),
        tau_mem=np.full(2, 4e-4),
        r=np.full(2, 4.0),
        v_leak=np.zeros(2),
        v_threshold=np.full(2, 3.0),
        w_in=np.full(2, 2.0),
    )
    nodes = translated("sinabs", cuba)
    assert [type(node).__name__ for node in nodes.values()] == ["Input", "LI", "LIF", "Output"]
    assert np.allclose(nodes["n_current"].tau, -1 / np.log(0.5))
    assert nodes["n_current"].r.tolist() == [1, 1]
    assert np.allclose(nodes["n"].tau, -1 / np.log(0.75))
    assert nodes["n"].v_threshold.tolist() == [3, 3]


@pytest.mark.parametrize("reader", ["norse", "sinabs", "snntorch", "spinnaker2", "spyx"])
def test_a_threshold_is_a_neuron_that_forgets(reader):
    reset = CONSUMERS[reader].resets[0]
    nodes = {"w": nir.Linear(np.array([[0.7], [1.3]], np.float32)), "n": nir.Threshold(np.ones(2))}
    net = graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], (1,), (2,))
    write_semantics(net, Semantics(reset=reset))
    made = flavour(make_plan(net), reader)
    assert made.problems == []
    x = torch.tensor([0.0, 1, 2, -3, 1, 0, 1]).view(-1, 1, 1)
    assert Reference(made.graph).run(x).output[:, 0].tolist() == [
        [0, 0], [0, 1], [1, 1], [0, 0], [0, 1], [0, 0], [0, 1],
    ]  # fmt: skip


def test_a_lif_for_spyx_is_a_cuba_whose_current_lasts_one_step():
    node = translated("spyx", two_steps(2), reset="subtract")["n"]
    assert isinstance(node, nir.CubaLIF)
    assert (node.tau_syn.tolist(), node.tau_mem.tolist()) == ([1, 1], [2, 2])
    assert node.v_threshold.tolist() == [2, 2]


def test_sinabs_gets_single_values_behind_convolutions():
    assert translated("sinabs", lif((2, 3, 3)))["n"].v_leak.shape == (1,)
    assert translated("sinabs", lif((4,)))["n"].v_leak.shape == (4,)


def test_channels_are_last_for_spyx_and_first_again_when_read(tmp_path):
    weight = np.arange(12, dtype=np.float32)[None]
    nodes = {"flat": nir.Flatten({"input": None}, 0, -1), "dense": nir.Linear(weight), "n": lif((1,))}
    edges = [("input", "flat"), ("flat", "dense"), ("dense", "n"), ("n", "output")]
    net = graph(nodes, edges, (3, 2, 2), (1,))
    write_semantics(net, Semantics(reset="subtract"))
    made = flavour(make_plan(net), "spyx").graph
    assert made.nodes["dense"].weight.tolist() == [[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]]
    write_nir(made, tmp_path / "model.nir")
    assert (
        nir.read(tmp_path / "model.nir").nodes["dense"].weight.tolist() == made.nodes["dense"].weight.tolist()
    )
    assert read_nir(tmp_path / "model.nir").nodes["dense"].weight.tolist() == weight.tolist()


@pytest.mark.parametrize(
    ("groups", "kernel", "padding", "dilation"),
    [(2, (3, 3), 1, 1), (4, (1, 1), 0, 1), (1, (3, 5), (0, 2), 1), (2, (1, 3), (1, 0), 2)],
)
def test_grouped_and_wide_kernels_become_dense_and_square(groups, kernel, padding, dilation):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 4 // groups, *kernel)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    node = nir.Conv2d(None, weight, (1, 2), padding, dilation, groups, bias)
    shape = output_shape(node, (4, 9, 9))
    net = graph({"c": node, "n": lif(shape)}, [("input", "c"), ("c", "n"), ("n", "output")], (4, 9, 9), shape)
    assert type_check(portable(make_plan(net))[0])
    made = flavour(make_plan(net), "norse")
    assert made.problems == []
    written = made.graph.nodes["c"]
    side = max(kernel)
    assert (written.groups, written.weight.shape) == (1, (4, 4, side, side))
    assert type_check(made.graph) == ""
    x = torch.from_numpy(rng.normal(size=(3, 2, 4, 9, 9)).astype(np.float32))
    assert torch.equal(Reference(net).run(x).output, Reference(made.graph).run(x).output)


def test_what_was_done_is_said():
    net = chain(lif((2, 8, 8)), pool(nir.AvgPool2d), conv(2, 2, 6, groups=2), target=(2, 6, 6))
    passes = flavour(make_plan(net), "norse").passes
    assert [entry["pass"] for entry in passes] == [
        "sum_pooling",
        "plain_convolutions",
        "flavour for Norse 1.1",
    ]
    assert passes[1]["nodes"] == ["n2"]
    assert passes[2]["dt"] == 1e-3
