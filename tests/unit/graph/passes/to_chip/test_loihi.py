"""Lowering to a chain of CUBA layers: exact where it can be said, refused by name where it cannot."""

from __future__ import annotations

import itertools

import nir
import numpy as np
import pytest
import torch
from support.chains import assert_exact
from support.graphs import conv, graph, lif
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.passes.to_chip.windows import Matrix, Window
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics, write_semantics

HARD = [name for name in NEURONS if "soft" not in name and "CUBA" not in name]


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("name", HARD)
def test_every_neuron_with_hard_reset_is_lowered_exactly(name: str, pool: bool) -> None:
    net = from_torch(student(NEURONS[name], norm=True, pool=pool), IN_SHAPE, semantics=Semantics(timesteps=6))
    chain = assert_exact(net, spikes_in())
    assert chain.readout is None
    assert len(chain.layers) == 4
    assert len(Lower().apply(net).facts["steps"]) == (1 if pool else 0)


def test_cuba_without_bias_is_lowered_exactly() -> None:
    x = (torch.rand(9, 4, 6) < 0.5).float()
    rng = np.random.default_rng(0)
    one = np.ones(5)
    cuba = nir.CubaLIF(
        tau_syn=3e-4 * one, tau_mem=2e-4 * one, r=1.5 * one, v_leak=0.1 * one, v_threshold=0.7 * one
    )
    nodes = {"fc": nir.Linear(rng.normal(size=(5, 6)) + 0.4), "cuba": cuba}
    net = graph(nodes, [("input", "fc"), ("fc", "cuba"), ("cuba", "output")], (6,), (5,))
    chain = assert_exact(net, x)
    assert chain.layers[0].current_leak == pytest.approx(1 / 3)


def test_exponential_integrator_and_strict_comparison_are_kept() -> None:
    rng = np.random.default_rng(1)
    nodes = {"fc": nir.Linear(rng.normal(size=(5, 6)) + 0.6), "lif": lif((5,))}
    net = graph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")], (6,), (5,))
    write_semantics(net, Semantics(integrator="exponential", fires_at=">"))
    chain = assert_exact(net, (torch.rand(9, 4, 6) < 0.6).float())
    assert chain.layers[0].fires_at == ">"
    assert chain.layers[0].voltage_leak == pytest.approx(1 - np.exp(-0.5))


def test_thresholds_and_gains_per_channel_go_into_the_weights() -> None:
    one = np.ones((3, 4, 4))
    per_channel = np.array([0.5, 1.0, 2.0])[:, None, None] * one
    node = nir.LIF(
        tau=2e-4 * one, r=per_channel, v_leak=0.2 * one, v_threshold=per_channel, v_reset=-0.1 * one
    )
    nodes = {"conv": conv(3, 2, 4), "lif": node}
    nodes["conv"].weight += 0.3
    net = graph(nodes, [("input", "conv"), ("conv", "lif"), ("lif", "output")], (2, 4, 4), (3, 4, 4))
    chain = assert_exact(net, (torch.rand(7, 3, 2, 4, 4) < 0.6).float())
    assert chain.layers[0].threshold == 1.0
    assert Lower().apply(net).facts["steps"] == ["divide the weights of 'lif' by its thresholds"]


def test_leaks_may_differ_between_channels() -> None:
    taus = np.array([2e-4, 3e-4, 5e-4])
    one = np.ones(3)
    nodes = {"fc": nir.Linear(np.eye(3) * 3.1), "lif": nir.LIF(taus, one, 0 * one, one, 0 * one)}
    net = graph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")], (3,), (3,))
    chain = assert_exact(net, (torch.rand(9, 4, 3) < 0.5).float())
    np.testing.assert_allclose(chain.layers[0].voltage_leak, [1 / 2, 1 / 3, 1 / 5])


@pytest.mark.parametrize("end", ["weights", "integrator", "leaky integrator"])
def test_networks_that_do_not_spike_at_the_end_are_read_by_the_membrane(end: str) -> None:
    rng = np.random.default_rng(2)
    one = np.ones(3)
    nodes = {
        "fc": nir.Affine(rng.normal(size=(5, 6)) + 0.5, rng.normal(size=5)),
        "lif": lif((5,)),
        "read": nir.Affine(rng.normal(size=(3, 5)), rng.normal(size=3)),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "read")]
    if end == "weights":
        edges += [("read", "output")]
    else:
        nodes["out"] = nir.I(2e4 * one) if end == "integrator" else nir.LI(3e-4 * one, 2 * one, 0 * one)
        edges += [("read", "out"), ("out", "output")]
    chain = assert_exact(graph(nodes, edges, (6,), (3,)), (torch.rand(8, 4, 6) < 0.5).float())
    assert chain.readout == ("current" if end == "weights" else "membrane")
    assert [layer.name for layer in chain.layers] == ["lif", "read" if end == "weights" else "out"]
    assert chain.layers[-1].threshold is None


def test_pooling_around_weights_and_scaling_are_merged_exactly() -> None:
    pair = np.array([2, 2])
    nodes = {
        "first": nir.SumPool2d(pair, pair, np.zeros(2, int)),
        "half": nir.Scale(np.full((2, 6, 6), 0.5)),
        "conv": conv(4, 2, 6),
        "after": nir.AvgPool2d(pair, pair, np.zeros(2, int)),
        "lif1": lif((4, 3, 3)),
        "last": nir.AvgPool2d(np.array([3, 3]), np.array([3, 3]), np.zeros(2, int)),
        "flat": nir.Flatten({"input": np.array([4, 1, 1])}, 0, -1),
        "fc": nir.Linear(np.random.default_rng(0).normal(size=(3, 4)) + 1),
        "lif2": lif((3,)),
    }
    nodes["conv"].weight += 0.4
    names = ["input", *nodes, "output"]
    net = graph(nodes, list(itertools.pairwise(names)), (2, 12, 12), (3,))
    chain = assert_exact(net, (torch.rand(8, 3, 2, 12, 12) < 0.4).float())
    assert [type(layer.map) for layer in chain.layers] == [Window, Matrix]
    assert chain.layers[0].map.stride == (4, 4)
    assert chain.layers[1].weights_name == "fc"


def test_neurons_right_behind_the_input_get_identity_weights() -> None:
    nodes = {"lif": nir.IF(1e4 * np.ones((2, 3, 3)), np.full((2, 3, 3), 1.5))}
    net = graph(nodes, [("input", "lif"), ("lif", "output")], (2, 3, 3), (2, 3, 3))
    assert_exact(net, (torch.rand(8, 2, 2, 3, 3) < 0.5).float())


def _problems(net: nir.NIRGraph) -> list[str]:
    with pytest.raises(UnsupportedError) as caught:
        Lower()(net)
    return [str(problem) for problem in caught.value.problems]


def test_soft_reset_is_refused_with_the_way_out() -> None:
    net = from_torch(
        student(NEURONS["IF, soft reset"], pool=False), IN_SHAPE, semantics=Semantics(timesteps=6)
    )
    weight = net.nodes["readout.linear"].weight  # without bias it returns to its layer, see below
    net.nodes["readout.linear"] = nir.Affine(weight, np.ones(len(weight)))
    problems = _problems(net)
    assert len(problems) == 4
    assert all("soft reset" in p and "every Lava neuron resets to 0" in p for p in problems)
    assert all("train with a hard reset" in p for p in problems)


def test_a_dense_layer_subtracts_by_its_own_spikes() -> None:
    """Soft reset without leak or bias: exact, for several thresholds in a layer, too."""
    rng = np.random.default_rng(0)
    nodes: dict[str, nir.NIRNode] = {}
    for name, inputs, theta in (("a", 6, np.full(5, 12.0)), ("b", 5, np.array([8.0, 16.0, 8.0, 16.0]))):
        nodes[f"{name}.fc"] = nir.Linear(2.0 * rng.integers(-6, 12, (len(theta), inputs)))
        nodes[name] = nir.IF(np.full(len(theta), 1e4), theta, np.zeros(len(theta)))
    net = graph(nodes, list(itertools.pairwise(["input", *nodes, "output"])), (6,), (4,))
    write_semantics(net, Semantics(fires_at=">=", reset="subtract", timesteps=12))
    chain = Lower()(net)
    assert [layer.recurrent is not None for layer in chain.layers] == [True, True]
    assert np.array_equal(np.diag(chain.layers[0].recurrent), np.full(5, -12.0))
    assert_exact(net, (torch.rand(12, 4, 6, generator=torch.Generator().manual_seed(0)) < 0.6).float())


def test_all_problems_come_at_once_by_node() -> None:
    one = np.ones((2, 4, 4))
    uneven = one.copy()
    uneven[0, 0, 0] = 2
    nodes = {
        "conv1": conv(2, 2, 4),
        "conv2": conv(2, 2, 4),
        "odd": nir.LIF(2e-4 * uneven, one, 0 * one, one, 0 * one),
        "skip": conv(2, 2, 4),
        "lif": lif((2, 4, 4)),
        "delay": nir.Delay(1e-4 * one),
        "negative": nir.IF(1e4 * one, -1 * one),
    }
    edges = [("input", "conv1"), ("conv1", "conv2"), ("conv2", "odd"), ("odd", "skip"), ("skip", "lif")]
    edges += [("odd", "lif"), ("lif", "delay"), ("delay", "negative"), ("negative", "output")]
    problems = _problems(graph(nodes, edges, (2, 4, 4), (2, 4, 4)))
    expected = [
        ("conv2: two layers of weights follow each other", "put neurons before it"),
        ("odd: parameters differ between neurons of a channel", ""),
        ("negative: a convolution, or an image, of delayed spikes of 'lif'", "netx ignores the delays"),
        ("negative: v_threshold - v_reset is -1", "positive"),
    ]
    for what, rule in expected:
        assert any(p.startswith(what) and rule in p for p in problems), (what, problems)
    assert len(problems) == len(expected)


def test_bias_into_a_current_that_remembers_is_refused() -> None:
    one = np.ones(2)
    cuba = nir.CubaLIF(2e-4 * one, 2e-4 * one, one, 0 * one, one)
    nodes = {"fc": nir.Affine(np.eye(2), one), "cuba": cuba}
    net = graph(nodes, [("input", "fc"), ("fc", "cuba"), ("cuba", "output")], (2,), (2,))
    assert "bias of 'fc' enters a current that remembers" in _problems(net)[0]


FLAT = {"flat": nir.Flatten({"input": np.array([1, 2, 2])}, 0, -1)}
ONE = np.ones(2)
EYE = nir.Linear(np.eye(2))
UNEVEN = conv(1, 1, 2, kernel=2, padding="same")


@pytest.mark.parametrize(
    ("nodes", "source", "target", "message"),
    [
        ({"conv": UNEVEN, "lif": lif((1, 2, 2))}, (1, 2, 2), (1, 2, 2), "differently on the two sides"),
        ({"conv": conv(1, 1, 2), **FLAT, "lif": lif((4,))}, (1, 2, 2), (4,), "lies between the weights"),
        ({"conv": conv(1, 1, 2), "lif": lif((1, 2, 2)), **FLAT}, (1, 2, 2), (4,), "flattens the output"),
        ({**FLAT, "lif": lif((4,))}, (1, 2, 2), (4,), "neurons without weights"),
        ({"a": EYE, "b": EYE, "lif": lif((2,))}, (2,), (2,), "follows the weights 'a'"),
        ({"a": EYE, "li": nir.LI(2e-4 * ONE, ONE, ONE)}, (2,), (2,), "starts away from 0"),
        ({"li": nir.I(ONE), "b": EYE}, (2,), (2,), "follows an integrator"),
    ],
)
def test_what_has_no_form_is_named(nodes, source, target, message: str) -> None:
    names = ["input", *nodes, "output"]
    problems = _problems(graph(nodes, list(itertools.pairwise(names)), source, target))
    assert any(message in problem for problem in problems), problems


def test_a_refused_merge_is_reported_and_not_closed() -> None:
    # SumPool2d then a padded convolution cannot be merged; the neurons behind have parameters per channel
    nodes = {
        "input": nir.Input({"input": np.array([2, 5, 5])}),
        "first": nir.IF(np.full((2, 5, 5), 1e4), np.ones((2, 5, 5)), np.zeros((2, 5, 5))),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "conv": nir.Conv2d((2, 2), np.ones((3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3)),
        "last": nir.IF(
            np.arange(1, 4).reshape(3, 1, 1) * np.full((3, 2, 2), 1e4),
            np.ones((3, 2, 2)),
            np.zeros((3, 2, 2)),
        ),
        "output": nir.Output({"output": np.array([3, 2, 2])}),
    }
    names = list(nodes)
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(names)), type_check=False)
    with pytest.raises(UnsupportedError) as refusal:
        Lower()(graph)
    assert [problem.where for problem in refusal.value.problems] == ["conv"]
