"""Integers from real weights: limits that always hold, and no error where none is needed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import graph, lif
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.lava.net import NEVER_FIRES, Conv, Dense, layer_bound
from snn_deploy.graph.lava.rules import chip_problems, simulation_problems
from snn_deploy.graph.passes.quantize.candidates import round_threshold, round_weights
from snn_deploy.graph.passes.quantize.quantize import Quantize, Quantized
from snn_deploy.graph.passes.to_chip.input_grid import input_grid
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference


def _quantized(net: nir.NIRGraph, x: torch.Tensor, bits: int = 8) -> Quantized:
    plan = make_plan(net)
    return Quantize(x, Reference(plan).run(x, record=True).records, bits=bits)(Lower()(plan.graph))


def _random_net(seed: int, timesteps: int = 6) -> nir.NIRGraph:
    """conv, neuron - conv, neuron - dense readout, with weights, biases and thresholds of any size."""
    rng = np.random.default_rng(seed)

    def size() -> float:
        return float(np.exp(rng.uniform(-6, 6)))

    def neuron(shape: tuple[int, ...], level: float) -> nir.NIRNode:
        one = np.ones(shape)
        if rng.random() < 0.5:
            return nir.IF(1e4 * one, level * one)
        return nir.LIF(float(rng.uniform(1.1, 5)) * 1e-4 * one, one, 0 * one, level * one, 0 * one)

    gains = [size() for _ in range(3)]
    weights = [
        rng.standard_t(3, s) * g for s, g in zip(((4, 2, 3, 3), (5, 4, 3, 3), (3, 45)), gains, strict=True)
    ]
    biases = [rng.normal(size=n) * g * rng.integers(0, 2) for n, g in zip((4, 5, 3), gains, strict=True)]
    nodes = {
        "conv1": nir.Conv2d((6, 6), weights[0], 1, 1, 1, 1, biases[0]),
        "n1": neuron((4, 6, 6), gains[0] * rng.uniform(0.5, 3)),
        "conv2": nir.Conv2d((6, 6), weights[1], 2, 1, 1, 1, biases[1]),
        "n2": neuron((5, 3, 3), gains[1] * rng.uniform(0.5, 3)),
        "flat": nir.Flatten({"input": np.array([5, 3, 3])}, 0, -1),
        "read": nir.Affine(weights[2], biases[2]),
    }
    names = ["input", *nodes, "output"]
    net = graph(nodes, list(itertools.pairwise(names)), (2, 6, 6), (3,))
    write_semantics(net, Semantics(fires_at=">=", timesteps=timesteps))
    return net


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), bits=st.integers(2, 8), largest=st.sampled_from([1, 7, 255]))
def test_limits_hold_whatever_the_weights_are(seed: int, bits: int, largest: int) -> None:
    x = torch.randint(0, largest + 1, (6, 4, 2, 6, 6)) * (torch.rand(6, 4, 2, 6, 6) < 0.4)
    found = _quantized(_random_net(seed), x.float(), bits)
    assert simulation_problems(found.net) == []
    assert chip_problems(found.net) == []
    step, span = 1 << (9 - bits), found.net.input_range
    for layer, row in zip(found.net.populations, found.table, strict=True):
        assert isinstance(layer, Conv | Dense)
        assert layer.weight.any()
        assert not (layer.weight % step).any()
        assert layer.weight.min() >= -256 and layer.weight.max() <= 256 - step
        assert layer.bias is None or np.abs(layer.bias).max() <= 4096
        assert layer.neuron is not None and 0 <= layer.neuron.threshold <= NEVER_FIRES
        assert layer_bound(layer, span) == row["largest possible sum"] <= 1 << 17
        span = (0, 1)
    Loihi(found.net).run(x.float())


@pytest.mark.parametrize("fires_at", [">=", ">"])
@pytest.mark.parametrize("bits", [8, 5])
def test_weights_on_the_grid_lose_nothing(fires_at: str, bits: int) -> None:
    """Integer weights over a common scale, IF neurons: every spike of the float network, in integers."""
    rng = np.random.default_rng(3)
    step = 1 << (9 - bits)
    scale = 97.0

    def weights(*shape: int) -> np.ndarray:
        integers = step * rng.integers(-20 // step, 120 // step, shape)
        integers.flat[:2] = -256, 256 - step
        return integers / scale

    bias = rng.integers(-20, 20, 4) / scale
    nodes = {
        "conv1": nir.Conv2d((6, 6), weights(4, 2, 3, 3), 1, 1, 1, 1, bias),
        "if1": nir.IF(1e4 * np.ones((4, 6, 6)), np.full((4, 6, 6), 200.4 / scale)),
        "flat": nir.Flatten({"input": np.array([4, 6, 6])}, 0, -1),
        "fc": nir.Linear(weights(5, 144)),
        "if2": nir.IF(1e4 * np.ones(5), np.full(5, 700.0 / scale)),
    }
    names = ["input", *nodes, "output"]
    net = graph(nodes, list(itertools.pairwise(names)), (2, 6, 6), (5,))
    write_semantics(net, Semantics(fires_at=fires_at))
    x = (torch.rand(10, 8, 2, 6, 6) < 0.3).float()
    found = _quantized(net, x, bits)
    assert [row["current error / threshold"] for row in found.table] == pytest.approx([0, 0], abs=1e-6)
    assert found.scales == pytest.approx((scale, scale))
    spikes = Loihi(found.net).run(x, record=True).records
    rounded = dict(net.nodes)
    rounded["conv1"] = nir.Conv2d(
        (6, 6), np.rint(nodes["conv1"].weight * scale), 1, 1, 1, 1, np.rint(bias * scale)
    )
    rounded["fc"] = nir.Linear(np.rint(nodes["fc"].weight * scale))
    for name, level in (("if1", 200.4), ("if2", 700.0)):
        rounded[name] = nir.IF(nodes[name].r, np.full(nodes[name].r.shape, level))
    integers = nir.NIRGraph(rounded, net.edges, metadata=net.metadata, type_check=False)
    expected = Reference(integers, dtype=torch.float64).run(x.double(), record=True).records
    for name in ("if1", "if2"):
        assert spikes[name].any()
        assert torch.equal(spikes[name].double(), expected[name]), name


@settings(max_examples=80, deadline=None)
@given(theta=st.floats(0.01, 50), scale=st.floats(1, 500), strict=st.booleans())
def test_threshold_of_a_state_in_whole_units_is_exact(theta: float, scale: float, strict: bool) -> None:
    net = _random_net(0)
    layer = next(x for x in Lower()(net).layers if x.threshold is not None)
    layer = replace(
        layer,
        threshold=theta,
        voltage_leak=np.zeros(()),
        current_leak=np.ones(()),
        fires_at=">" if strict else ">=",
    )
    found = round_threshold(layer, scale)
    for v in range(int(theta * scale) - 2, int(theta * scale) + 4):
        assert (v > found) == (v > theta * scale if strict else v >= theta * scale)


def test_chosen_scale_is_no_worse_than_the_largest_weight_at_the_end_of_the_range() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(20, 60))
    weight[0, 0] = 40.0
    nodes = {"fc": nir.Linear(weight), "lif": lif((20,))}
    net = graph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")], (60,), (20,))
    x = (torch.rand(8, 8, 60) < 0.3).float()
    for bits in (4, 8):
        row = _quantized(net, x, bits).table[0]
        scale = (256 - (1 << (9 - bits))) / 20.0  # the neuron's gain of 1/2 is in the weights
        difference = (round_weights(weight / 2, scale, bits) / scale - weight / 2) @ x.flatten(0, 1).T.numpy()
        assert row["current error / threshold"] <= np.sqrt((difference**2).mean()) * 1.2
    assert row["clipped weights"] < 0.01


def test_fewer_bits_cost_accuracy_of_the_currents() -> None:
    net = from_torch(student(NEURONS["LIF"], norm=True), IN_SHAPE, semantics=Semantics(timesteps=6))
    x = spikes_in()
    errors = [
        np.mean([row["current error / threshold"] for row in _quantized(net, x, bits).table])
        for bits in (4, 6, 8)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0


def test_readout_has_room_for_four_times_what_calibration_saw() -> None:
    weight = np.full((2, 400), 1.0)
    weight[1, 0] = -1.0
    net = graph({"read": nir.Linear(weight)}, [("input", "read"), ("read", "output")], (400,), (2,))
    write_semantics(net, Semantics(timesteps=20))
    x = (torch.rand(10, 4, 400) < 0.2).float()
    found = _quantized(net, x)
    membranes = Loihi(found.net).run(x.repeat(2, 1, 1)).output.cumsum(0)
    assert float(membranes.max()) * found.scales[0] * 4 == pytest.approx(NEVER_FIRES, rel=0.15)
    exact = torch.stack([x.sum(2), x.sum(2) - 2 * x[..., 0]], -1).cumsum(0)
    torch.testing.assert_close(membranes[:10], exact, rtol=1e-5, atol=0)


def test_a_dead_layer_is_refused_by_name() -> None:
    nodes = {
        "fc": nir.Linear(np.zeros((3, 4))),
        "one": lif((3,)),
        "fc2": nir.Linear(-np.eye(3)),
        "two": lif((3,)),
    }
    names = ["input", *nodes, "output"]
    net = graph(nodes, list(itertools.pairwise(names)), (4,), (3,))
    with pytest.raises(UnsupportedError) as caught:
        _quantized(net, torch.ones(3, 2, 4))
    assert [problem.where for problem in caught.value.problems] == ["one", "two"]


@pytest.mark.parametrize(
    ("x", "scale", "span", "exact"),
    [
        ([0.0, 0.0], 1.0, (0, 1), True),
        ([0.0, 1.0, 1.0], 1.0, (0, 1), True),
        ([0.0, 0.25], 0.25, (0, 1), True),
        ([0.0, 3.0, 5.0], 1.0, (0, 7), True),
        ([2.0, 4.0], 1.0, (0, 7), True),
        ([0.1, 0.2, 0.7], 0.1, (0, 7), True),
        ([-2.0, 9.0], 1.0, (-15, 15), True),
        ([255.0, 1.0], 1.0, (0, 255), True),
        ([0.3, 1.0, 0.77], 1 / 255, (0, 255), False),
        ([256.0, 1.0], 256 / 255, (0, 255), False),
        ([-0.33, 1.0, 0.71], 1 / 255, (-255, 255), False),
    ],
)
def test_grid_of_the_input(x: list[float], scale: float, span: tuple[int, int], exact: bool) -> None:
    values = torch.tensor(x)
    grid = input_grid(values)
    assert grid.scale == pytest.approx(scale)
    assert grid.range == span
    assert (grid.error == 0) is exact
    error = float((grid.units(values).double() * grid.scale - values.double()).abs().max())
    assert error <= (1e-6 if exact else scale / 2 + 1e-9)
    assert exact or grid.error == pytest.approx(error)


def test_input_that_is_rounded_is_said_to_be() -> None:
    found = _quantized(_random_net(1), torch.rand(6, 2, 2, 6, 6))
    assert any("The input is rounded to multiples of" in note for note in found.notes)
    found = _quantized(_random_net(1), torch.randint(0, 5, (6, 2, 2, 6, 6)).float())
    assert any("graded spikes of whole numbers" in note and "exact" in note for note in found.notes)
