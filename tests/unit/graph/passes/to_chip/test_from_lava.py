"""The graph of a .net network holds its synapses and does what it does."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest
import torch
from support.lava_nets import random_input, random_net

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.lava.net import NEVER_FIRES, Conv, Cuba, Dense, Flatten, Input, LavaNet, Readout
from snn_deploy.graph.passes.to_chip.from_lava import FromLava
from snn_deploy.graph.plan import make_plan
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference

RNG = np.random.default_rng(0)


def _net(decay: int, voltage: int) -> LavaNet:
    neuron = Cuba.of(decay, voltage, 90)
    bias = None if decay < 4096 else np.array([4, -6, 8])
    conv = Conv((3, 4, 4), 2 * RNG.integers(-20, 40, (3, 1, 3, 3)), neuron, bias, padding=(1, 1), groups=1)
    dense = Dense(2 * RNG.integers(-20, 30, (5, 48)), neuron)
    read = Dense(2 * RNG.integers(-20, 30, (2, 5)), Cuba.of(4096, 0, NEVER_FIRES))
    return LavaNet(
        (Input((1, 4, 4)), conv, Flatten((48,)), dense, read),
        ("conv", "dense", "read"),
        readout=Readout("current", 64 * 40.0),
        input_range=(0, 3),
        input_scale=0.5,
        timesteps=8,
        classes=("a", "b"),
    )


@pytest.mark.parametrize(
    ("decay", "voltage", "kind"),
    [(4096, 0, nir.IF), (4096, 4096, nir.LIF), (4096, 2048, nir.LIF), (2048, 1024, nir.CubaLIF)],
)
def test_graph_fires_as_the_file_does(decay: int, voltage: int, kind: type[nir.NIRNode]) -> None:
    net = _net(decay, voltage)
    x = 0.5 * torch.randint(0, 4, (8, 16, 1, 4, 4)).float() * (torch.rand(8, 16, 1, 4, 4) < 0.5)
    graph = FromLava((50.0, 60.0, 40.0), ("c", "d", "read"))(net)
    assert isinstance(graph.nodes["conv"], kind)
    plan = make_plan(graph)
    assert plan.shapes["conv"] == (3, 4, 4) and plan.shapes[plan.output] == (2,)
    expected = Loihi(net).run(x, record=True)
    found = Reference(plan, dtype=torch.float64).run(x.double(), record=True)
    for name in ("conv", "dense"):
        differing = (found.records[name] != expected.records[name]).float().mean()
        assert expected.records[name].mean() > 0.01
        assert differing <= (0 if voltage in (0, 4096) and decay == 4096 else 0.01), name
    if voltage in (0, 4096) and decay == 4096:
        torch.testing.assert_close(found.output.float(), expected.output, rtol=1e-4, atol=1e-4)


def test_weights_are_those_of_the_file_over_their_scale() -> None:
    net = _net(4096, 2048)
    graph = FromLava((50.0, 60.0, 40.0))(net)
    first, second = net.populations[:2]
    assert isinstance(first, Conv) and isinstance(second, Dense)
    np.testing.assert_allclose(graph.nodes["conv.weights"].weight, first.weight / (50.0 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(graph.nodes["dense.weights"].weight, second.weight / 60.0, rtol=1e-6)
    assert ((graph.nodes["dense.weights"].weight == 0) == (second.weight == 0)).all()


@pytest.mark.parametrize("seed", range(6))
def test_foreign_networks_get_a_graph_in_weight_units(seed: int) -> None:
    net = random_net(seed)
    layers = [
        replace(layer, neuron=Cuba.of(4096, 2048, 90)) if isinstance(layer, Conv | Dense) else layer
        for layer in net.layers
    ]
    net = replace(net, layers=tuple(layers))
    plan = make_plan(FromLava()(net))
    x = torch.from_numpy(random_input(net, seed, 6, 8)).float()
    found = Reference(plan, dtype=torch.float64).run(x.double(), record=True)
    expected = Loihi(net).run(x, record=True)
    first = net.names[0]
    assert (found.records[first] != expected.records[first]).float().mean() < 0.01


@pytest.mark.parametrize(("kind", "current"), [("recurrent", 4096), ("analog", 4096), ("plain", 1500)])
def test_recurrence_analog_input_and_biases_beside_memory_fire_alike(kind: str, current: int) -> None:
    fired = 0.0
    for seed in range(8):
        net = random_net(seed, kind)
        leak = 1024 if current < 4096 else 0
        layers = [
            replace(layer, neuron=Cuba.of(current, leak, 90)) if getattr(layer, "neuron", None) else layer
            for layer in net.layers
        ]
        net = replace(net, layers=tuple(layers))
        if net.analog and len(net.input_shape) < 3:
            continue
        x = torch.from_numpy(random_input(net, seed, 8, 4)).float()
        found = Reference(make_plan(FromLava()(net)), dtype=torch.float64).run(x.double(), record=True)
        expected = Loihi(net).run(x, record=True)
        name = net.names[0]
        fired += float(expected.records[name].mean())
        flips = (found.records[name] != expected.records[name]).float().mean()
        assert flips <= (0.01 if leak else 0), seed
        if not leak:
            assert torch.equal(found.output.float(), expected.output), seed
    assert fired > 0.1


def test_what_the_hub_cannot_say_is_refused() -> None:
    neuron, remembers = Cuba.of(4096, 0, 20), Cuba.of(1000, 0, 20)
    weight, delay, back = np.full((2, 4), 6), np.full((2, 4), 3), np.full((2, 2), 6)
    read = Dense(np.full((2, 2), 6), Cuba.of(1000, 2000, NEVER_FIRES), np.array([1, 2]))
    late = Dense(weight, neuron, recurrent=back, delay=delay)
    net = LavaNet(
        (Input((4,), neuron), late, Dense(np.full((2, 2), 6), remembers), read),
        ("driven", "late", "endless", "read"),
        readout=Readout("membrane", 64.0),
    )
    with pytest.raises(UnsupportedError, match="no NIR graph") as caught:
        FromLava()(net)
    assert [problem.where for problem in caught.value.problems] == ["driven", "late", "endless", "read"]
