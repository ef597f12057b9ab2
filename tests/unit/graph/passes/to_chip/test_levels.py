"""Branches and sums as channels of a chain: the chain fires like the graph, spike by spike."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chains import assert_exact
from support.graphs import conv, graph, lif
from support.residuals import Builder, residual

from snn_deploy.core.errors import DataError, UnsupportedError
from snn_deploy.graph.lava.io import read_net, write_net
from snn_deploy.graph.passes.quantize.quantize import Quantize, Scales
from snn_deploy.graph.passes.to_chip.layers import Chain
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.plan import make_plan
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference


def _spikes(net: nir.NIRGraph, seed: int = 0) -> torch.Tensor:
    shape = tuple(int(n) for n in net.nodes["input"].input_type["input"])
    return (torch.rand(6, 3, *shape, generator=torch.Generator().manual_seed(seed)) < 0.5).float()


def _relayed(chain: Chain) -> set[str]:
    return {member.source for layer in chain.layers for member in layer.members if member.relay}


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(["sew", "post", "ms"]), seed=st.integers(0, 10_000))
def test_residual_networks_of_every_kind_are_lowered_exactly(kind: str, seed: int) -> None:
    net = residual(kind, seed)
    chain = assert_exact(net, _spikes(net, seed))
    assert chain.readout == "current"
    assert _relayed(chain)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), size=st.integers(2, 3), stride=st.integers(1, 3), padding=st.integers(0, 1)
)
def test_maxima_over_spikes_are_lowered_exactly(seed: int, size: int, stride: int, padding: int) -> None:
    build = Builder(np.random.default_rng(seed), {"input": (2, 7, 8)})
    value = build.neuron("n1", build.conv("c1", ("input",), 4, 3, 1))
    value = build.maximum("or", value, size, stride, padding)
    net = build.finish(build.neuron("n2", build.conv("c2", value, 3, 3, 1)))
    chain = assert_exact(net, _spikes(net, seed))
    assert [layer.name for layer in chain.layers] == ["n1", "or", "n2", "fc"]
    assert float(chain.layers[1].voltage_leak) == 1.0


def test_a_maximum_beside_a_skip_path() -> None:
    build = Builder(np.random.default_rng(3), {"input": (2, 6, 6)})
    stem = build.neuron("n1", build.conv("c1", ("input",), 4, 3, 1))
    value = build.neuron("n2", build.conv("c2", build.maximum("or", stem, 3, 1, 1), 4, 3, 1))
    net = build.finish((*stem, *value))
    chain = assert_exact(net, _spikes(net))
    assert _relayed(chain) == {"n1"}


def test_dense_layers_relay_too() -> None:
    build = Builder(np.random.default_rng(4), {"input": (2, 4, 4)})
    stem = build.neuron("n1", build.conv("c1", ("input",), 3, 3, 2))
    flat = build.add("flat", nir.Flatten({"input": None}, 0, -1), stem)
    weight = build.rng.normal(0.4, 1, (5, 12)) / 2
    one = build.neuron("n2", build.add("d1", nir.Linear(weight), flat))
    two = build.neuron("n3", build.add("d2", nir.Linear(weight[:, :5]), one))
    total = build.add("d3", nir.Linear(weight[:4, :5]), (*one, *two))
    beside = build.add("d4", nir.Linear(weight[:4]), flat)
    build.edges += [(total[0], "output"), (beside[0], "output")]
    net = graph(build.nodes, build.edges, (2, 4, 4), (4,))
    chain = assert_exact(net, _spikes(net))
    assert _relayed(chain) == {"n1", "n2"}
    assert chain.layers[-1].weights_name == "d3+d4"


def test_every_phase_of_a_relay_that_a_strided_layer_needs_is_kept() -> None:
    """A sum whose one path strides by 2 x 2, the other by 4 with a window over all positions."""
    build = Builder(np.random.default_rng(5), {"input": (1, 9, 8)})
    stem = build.neuron("n1", build.conv("c1", ("input",), 2, 3, 1))
    half = build.neuron("n2", build.conv("c2", stem, 2, 3, 2))
    quarter = build.conv("c3", half, 2, 3, 2)
    side = build.conv("c4", stem, 2, 3, 4)
    net = build.finish(build.neuron("n3", (*quarter, *side)))
    chain = assert_exact(net, _spikes(net))
    relays = [member for member in chain.layers[1].members if member.relay]
    assert {member.phase for member in relays} == set(itertools.product((0, 1), (0, 1)))
    assert {member.stride for member in relays} == {(2, 2)}
    assert [member.name for member in relays] == [f"n1[{y},{x}]@n2" for y in (0, 1) for x in (0, 1)]
    _assert_relays_pass_on(net, 8, "layer", 0)


def test_populations_side_by_side_may_differ_in_leak_and_threshold() -> None:
    build = Builder(np.random.default_rng(6), {"input": (2, 5, 5)})
    one = build.neuron("if", build.conv("c1", ("input",), 3, 3, 1), "if")
    two = build.neuron("lif", build.conv("c2", ("input",), 3, 3, 1), "lif")
    net = build.finish((*one, *two))
    first = assert_exact(net, _spikes(net)).layers[0]
    assert first.name == "if+lif"
    assert first.threshold == 1.0
    assert np.ptp(first.voltage_leak) > 0


def _refused(net: nir.NIRGraph) -> list[str]:
    with pytest.raises(UnsupportedError) as caught:
        Lower()(net)
    return [str(problem) for problem in caught.value.problems]


def test_a_branch_that_reaches_no_output_is_refused() -> None:
    build = Builder(np.random.default_rng(7), {"input": (2, 5, 5)})
    stem = build.neuron("n1", build.conv("c1", ("input",), 3, 3, 1))
    build.neuron("dead", build.conv("c2", stem, 3, 3, 1))
    with pytest.raises(DataError) as caught:
        _refused(build.finish(build.neuron("n2", build.conv("c3", stem, 3, 3, 1))))
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert found == dict.fromkeys(["c2", "dead"], "no output is reached from this node")


def test_paths_of_different_stride_are_refused() -> None:
    nodes = {
        "c1": conv(2, 1, 4, stride=2),
        "n1": lif((2, 2, 2)),
        "c2": conv(2, 2, 2),
        "n2": lif((2, 2, 2)),
        "c3": nir.Conv2d((2, 2), np.ones((2, 2, 3, 3)), 2, 2, 1, 1, np.zeros(2)),
        "c4": conv(2, 2, 2),
        "n3": lif((2, 2, 2)),
    }
    edges = [("input", "c1"), ("c1", "n1"), ("n1", "c2"), ("c2", "n2"), ("n2", "c3"), ("c3", "n3")]
    edges += [("n1", "c4"), ("c4", "n3"), ("n3", "output")]
    (problem,) = _refused(graph(nodes, edges, (1, 4, 4), (2, 2, 2)))
    assert "n3: takes 'n1' with stride (1, 1), its other inputs with (2, 2)" in problem


def test_a_sum_with_an_integrator_is_refused() -> None:
    build = Builder(np.random.default_rng(8), {"input": (4,)})
    fed = build.add("fc", nir.Linear(np.eye(4)), ("input",))
    one = build.add("integrator", nir.I(1e4 * np.ones(4)), fed)
    two = build.neuron("n", fed)
    build.edges += [(one[0], "output"), (two[0], "output")]
    net = graph(build.nodes, build.edges, (4,), (4,))
    assert any("is not the output alone" in problem for problem in _refused(net))


def test_a_wide_layer_of_mostly_zero_blocks_is_refused_by_number() -> None:
    one = np.ones((1, 100, 100))
    nodes = {
        "c1": conv(1, 1, 100),
        "n1": lif((1, 100, 100)),
        "flat": nir.Flatten({"input": np.array([1, 100, 100])}, 0, -1),
        "d1": nir.Linear(np.ones((2, 10_000))),
        "n2": lif((2,)),
        "d2": nir.Linear(np.ones((2, 2))),
        "d3": nir.Linear(np.ones((2, 10_000))),
        "n3": lif((2,)),
    }
    edges = [("input", "c1"), ("c1", "n1"), ("n1", "flat"), ("flat", "d1"), ("d1", "n2"), ("n2", "d2")]
    edges += [("d2", "n3"), ("flat", "d3"), ("d3", "n3"), ("n3", "output")]
    (problem,) = _refused(graph(nodes, edges, one.shape, (2,)))
    assert "needs 100,000,000 weights" in problem


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(["sew", "post", "ms"]),
    seed=st.integers(0, 10_000),
    bits=st.integers(7, 8),
    scales=st.sampled_from(["layer", "channel"]),
)
def test_relays_in_integers_pass_on_every_spike(kind: str, seed: int, bits: int, scales: Scales) -> None:
    _assert_relays_pass_on(residual(kind, seed), bits, scales, seed)


def _assert_relays_pass_on(graph: nir.NIRGraph, bits: int, scales: Scales, seed: int) -> None:
    """Every relay of the written and read integer network holds the spikes of its source."""
    plan = make_plan(graph)
    chain, x = Lower()(plan.graph), _spikes(plan.graph, seed)
    quantized = Quantize(x, Reference(plan).run(x, record=True).records, bits=bits, scales=scales)(chain)
    net = quantized.net
    with tempfile.TemporaryDirectory() as folder:
        write_net(net, Path(folder) / "model.net")
        net = read_net(Path(folder) / "model.net")
    fired = {"input": x, **Loihi(net).run(x, record=True).records}
    relays = [(layer, member) for layer in chain.layers for member in layer.members if member.relay]
    assert relays
    counted = sum(fired[member.name][0, 0].numel() for _, member in relays)
    assert any(f"through {counted:,} relay neurons" in note for note in quantized.notes)
    for layer, member in relays:
        assert member.phase is not None
        source, relay = fired[member.source], fired[member.name]
        for i, k in itertools.product(range(layer.shape[1]), range(layer.shape[2])):
            row, column = (s * n + p for s, n, p in zip(member.stride, (i, k), member.phase, strict=True))
            inside = row < source.shape[3] and column < source.shape[4]
            expected = source[..., row, column] if inside else torch.zeros_like(relay[..., i, k])
            assert torch.equal(relay[..., i, k], expected), member
