"""The fixed-point simulator against an independent integer simulator, and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.loihi_integer import simulate
from support.lava_nets import KINDS, random_input, random_net

from snn_deploy.core.errors import ConfigError, DataError, UnsupportedError
from snn_deploy.graph.lava.net import NEVER_FIRES, Conv, Cuba, Dense, Input, LavaNet, Readout, layer_bound
from snn_deploy.simulate import cuba, loihi, synapse
from snn_deploy.simulate.loihi import Loihi


def _assert_same(activities: dict[str, cuba.Activity], expected: list[dict[str, np.ndarray]], b: int) -> None:
    for (name, found), wanted in zip(activities.items(), expected, strict=True):
        assert found.u is not None and found.v is not None
        np.testing.assert_array_equal(found.spikes[:, b].numpy(), wanted["s"], err_msg=name)
        np.testing.assert_array_equal(found.u[:, b].numpy(), wanted["u"], err_msg=name)
        np.testing.assert_array_equal(found.v[:, b].numpy(), wanted["v"], err_msg=name)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS))
def test_every_state_equals_the_integer_simulator(seed: int, kind: str) -> None:
    net = random_net(seed, kind)
    x = random_input(net, seed, 6, 2)
    activities = Loihi(net).probe(torch.from_numpy(x).float())
    for b in range(2):
        _assert_same(activities, simulate(net, x[:, b]), b)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(KINDS),
    interval=st.one_of(st.none(), st.integers(1, 5)),
    offset=st.integers(0, 3),
)
def test_pipelined_mode_equals_the_integer_simulator(
    seed: int, kind: str, interval: int | None, offset: int
) -> None:
    net = random_net(seed, kind)
    x = random_input(net, seed, 9, 1)
    activities = Loihi(net).run_pipelined(
        torch.from_numpy(x).float(), reset_interval=interval, reset_offset=offset, probe=True
    )
    expected = simulate(net, x[:, 0], pipelined=True, interval=interval, offset=offset)
    _assert_same(activities, expected, 0)


@pytest.mark.parametrize("seed", range(6))
def test_staggered_resets_make_each_sample_a_fresh_network(seed: int) -> None:
    net = random_net(seed)
    samples, steps = 3, 5
    x = torch.from_numpy(random_input(net, seed, steps, samples)).float()
    rows = x.swapaxes(0, 1).reshape(samples * steps, 1, *net.input_shape)
    rows = torch.cat([rows, torch.zeros_like(rows[: net.depth])])
    piped = Loihi(net).run_pipelined(rows, reset_interval=steps, reset_offset=1)
    fresh = Loihi(net).run(x, record=True)
    for layer, name in enumerate(net.names, start=1):
        aligned = piped[name].spikes[layer : layer + samples * steps, 0]
        assert torch.equal(aligned.unflatten(0, (samples, steps)).swapaxes(0, 1), fresh.records[name])


def test_one_neuron_by_hand() -> None:
    # u: 64*10 = 640, then trunc(640*3072/4096) = 480 and a further 640
    # v: 640 - bias 2*64 = 512; trunc(512*2048/4096) + 1120 - 128 = 1248 > 64*19 = 1216 fires, v = 0
    neuron = Cuba.of(1024, 2048, 19)
    net = LavaNet((Input((1,)), Dense(np.array([[10]]), neuron, np.array([-2]))), ("n",))
    found = Loihi(net).probe(torch.tensor([1.0, 1, 0, 0])[:, None, None])["n"]
    assert found.u is not None and found.v is not None
    assert found.u.flatten().tolist() == [640, 1120, 840, 630]
    assert found.v.flatten().tolist() == [512, 0, 840 - 128, (840 - 128) // 2 + 630 - 128]
    assert found.spikes.flatten().tolist() == [0, 1, 0, 0]


def test_state_is_rounded_toward_zero_on_both_sides() -> None:
    neuron = Cuba.of(4096, 4095, NEVER_FIRES)
    net = LavaNet((Input((2,)), Dense(np.array([[100, -100]]), neuron)), ("n",))
    x = torch.tensor([[1.0, 0], [0, 0], [0, 1], [0, 0]])[:, None]
    v = Loihi(net).probe(x)["n"].v
    assert v is not None
    assert v.flatten().tolist() == [6400, 1, -6400, -1]


def test_current_wraps_and_voltage_is_clipped_as_24_bits_do() -> None:
    inputs = 700
    weight = np.full((2, inputs), 254)
    weight[1] *= -1
    net = LavaNet((Input((inputs,)), Dense(weight, Cuba.of(2048, 0, 1 << 18))), ("n",))
    x = np.zeros((6, 1, inputs), np.int64)
    x[:, 0, :516], x[3:, 0] = 1, 1
    activities = Loihi(net).probe(torch.from_numpy(x).float())
    _assert_same(activities, simulate(net, x[:, 0]), 0)
    found = activities["n"]
    assert found.u is not None and found.v is not None
    assert found.u.max() < 254 * 700 * 64, "the current did not wrap"
    assert found.v.max() == (1 << 23) - 1, "the voltage was not clipped"


def test_convolution_keeps_24_bits_of_its_sum() -> None:
    weight = np.full((1, 20, 3, 3), 60_000)
    net = LavaNet((Input((20, 3, 3)), Conv((1, 1, 1), weight, Cuba.of(4096, 0, 1 << 18))), ("n",))
    x = np.ones((2, 1, 20, 3, 3), np.int64)
    expected = (60_000 * 180 + (1 << 23)) % (1 << 24) - (1 << 23)
    found = synapse.currents(
        synapse.prepare(net.populations[0], (20, 3, 3), (0, 1), torch.device("cpu")),
        torch.from_numpy(x).float(),
    )
    assert found.unique().tolist() == [64 * expected]
    _assert_same(Loihi(net).probe(torch.from_numpy(x).float()), simulate(net, x[:, 0]), 0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), voltage=st.sampled_from([0, 2048, 3072, 4032, 4095, 4096]))
def test_float32_state_is_exact_up_to_the_clip(seed: int, voltage: int) -> None:
    """Sums near the largest that is proven exact, so that v runs into both ends of its 24 bits."""
    rng = np.random.default_rng(seed)
    weight = 2 * rng.integers(-128, 128, (4, 512))
    neuron = Cuba.of(4096, voltage, int(rng.integers(1, NEVER_FIRES)))
    bias = rng.integers(-4096, 4096, 4)
    net = LavaNet((Input((512,)), Dense(weight, neuron, bias)), ("n",))
    if voltage in (0, 2048, 4096):
        assert cuba.state_dtype(neuron, layer_bound(net.populations[0], (0, 1))) == torch.float32
    signs = weight[rng.integers(0, 4, 8)] > 0
    x = (rng.random((8, 512)) < 0.9) & signs
    _assert_same(Loihi(net).probe(torch.from_numpy(x[:, None]).float()), simulate(net, x), 0)


def test_a_voltage_is_clipped_from_the_first_step_on_that_it_can_reach() -> None:
    """4000 units a step reach 24 bits in step 33: 64 x 4000 x 33 > 2^23 - 1."""
    net = LavaNet((Input((40,)), Dense(np.full((1, 40), 100), Cuba.of(4096, 0, 1 << 18))), ("n",))
    assert cuba.steps_in_range(Cuba.of(4096, 0, 1 << 18), None, 4000) == pytest.approx(32.77, abs=0.01)
    for steps in (32, 33, 34):
        x = np.ones((steps, 1, 40), np.int64)
        _assert_same(Loihi(net).probe(torch.from_numpy(x).float()), simulate(net, x[:, 0]), 0)
    assert cuba.steps_in_range(Cuba.of(4096, 2048, 10), None, 4000) == np.inf
    assert cuba.steps_in_range(Cuba.of(2048, 0, 10), np.array([-100]), 4000) == (2**23 - 1) / (64 * 8100)
    assert cuba.steps_in_range(Cuba.of(0, 0, 10), None, 4000) == 0


@pytest.mark.parametrize(
    ("current", "voltage", "bound", "expected"),
    [
        (4096, 0, 1000, torch.float32),
        (4096, 2048, 1000, torch.float32),
        (4096, 4096, 1 << 17, torch.float32),
        (4096, 1024, 1000, torch.float64),  # keeps 3/4 of 24 bits
        (4095, 0, 1000, torch.float64),  # a current that remembers
        (4096, 0, (1 << 17) + 1, torch.float64),  # may wrap
    ],
)
def test_float32_is_used_only_where_it_is_exact(
    current: int, voltage: int, bound: int, expected: torch.dtype
) -> None:
    assert cuba.state_dtype(Cuba.of(current, voltage, 10), bound) == expected


def test_weights_use_float64_when_sums_reach_24_bits() -> None:
    def dtype(inputs: int) -> torch.dtype:
        layer = Dense(np.full((1, inputs), 254), Cuba.of(4096, 0, 10))
        return synapse.prepare(layer, (inputs,), (0, 255), torch.device("cpu")).weight.dtype

    assert dtype(200) == torch.float32
    assert dtype(300) == torch.float64


@pytest.mark.parametrize("seed", [s for s in range(30) if isinstance(random_net(s).layers[1], Conv)][:8])
def test_convolution_as_a_product_equals_the_convolution(seed: int) -> None:
    net = random_net(seed)
    layer = net.populations[0]
    assert isinstance(layer, Conv)
    x = torch.from_numpy(random_input(net, seed, 3, 2)).float()
    prepared = synapse.prepare(layer, net.input_shape, (0, 1), torch.device("cpu"))
    product = synapse.conv_as_product(layer, prepared.weight, x.flatten(0, 1))
    assert torch.equal(product, synapse.currents(prepared, x).flatten(0, 1))


def test_exact_products_restores_every_setting() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with synapse.exact_products():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_forced_layers_are_seen_by_the_next_one_only() -> None:
    net = random_net(4)
    simulator = Loihi(net)
    x = torch.from_numpy(random_input(net, 4, 8, 3)).float()
    free = simulator.run(x, record=True)
    second, third = net.names[1], net.names[2]
    given_spikes = 1 - free.records[second]
    judged = simulator.run(x, record=True, forced={second: given_spikes})
    assert torch.equal(judged.records[second], free.records[second])
    tail = replace(net, layers=(Input(net.layers[2].shape), *net.layers[3:]), names=net.names[2:])
    assert torch.equal(judged.records[third], Loihi(tail).run(given_spikes, record=True).records[third])
    assert not torch.equal(judged.records[third], free.records[third])


def test_chunks_of_samples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_net(2)
    x = torch.from_numpy(random_input(net, 2, 6, 7)).float()
    whole = Loihi(net).run(x, record=True)
    monkeypatch.setitem(loihi.CHUNK_ELEMENTS, "cpu", 1)
    assert len(Loihi(net)._chunks(x)) == 7
    parts = Loihi(net).run(x, record=True)
    assert torch.equal(parts.output, whole.output)
    assert all(torch.equal(parts.records[name], whole.records[name]) for name in net.names)


def _readout(kind: str, weight: list[list[int]], vdecay: int = 0) -> LavaNet:
    layer = Dense(np.array(weight), Cuba.of(4096, vdecay, NEVER_FIRES), np.full(len(weight), 3))
    return LavaNet(
        (Input((len(weight[0]),)), layer),
        ("read",),
        readout=Readout(kind, 64 * 10.0),  # type: ignore[arg-type]
    )


def test_current_readout_gives_the_linear_layer_step_by_step() -> None:
    x = torch.tensor([[1.0, 0], [1, 1], [0, 0]])[:, None]
    trace = Loihi(_readout("current", [[20, -4], [2, 6]])).run(x, record=True)
    assert trace.records == {}
    expected = torch.tensor([[23.0, 5], [19, 11], [3, 3]]) / 10
    torch.testing.assert_close(trace.output[:, 0], expected, rtol=0, atol=1e-7)


def test_membrane_readout_gives_the_membrane() -> None:
    x = torch.tensor([[1.0, 0], [0, 0], [0, 0]])[:, None]
    trace = Loihi(_readout("membrane", [[20, -4]], vdecay=2048)).run(x)
    assert trace.output.flatten().tolist() == pytest.approx([2.3, 1.45, 1.025])


def test_a_saturated_readout_is_an_error_not_an_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loihi.CHUNK_ELEMENTS, "cpu", 1)
    for sign in (1, -1):
        net = _readout("current", [[254 * sign] * 400 + [2, -2]])
        with pytest.raises(DataError, match="readout 'read' saturates at step 1 of sample 1"):
            Loihi(net).run(torch.stack([torch.zeros(3, 402), torch.ones(3, 402)], 1))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 1, 3), "has shape"),
        (torch.full((2, 1, 2), 2.0), "binary spikes"),
        (torch.full((2, 1, 2), torch.nan), "binary spikes"),
    ],
)
def test_input_that_lava_would_misread_is_refused(x: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Loihi(_readout("current", [[20, -4]])).run(x)


def test_graded_input_must_be_finite() -> None:
    net = replace(_readout("current", [[20, -4]]), input_range=(0, 15))
    with pytest.raises(DataError, match="not finite"):
        Loihi(net).run(torch.full((2, 1, 2), torch.inf))


def test_graded_input_is_counted_in_units_of_its_scale() -> None:
    net = replace(_readout("current", [[20, -4]]), input_range=(0, 15), input_scale=0.5)
    assert Loihi(net).run(torch.tensor([[[1.5, 2.0]]])).output.item() == pytest.approx((60 - 16 + 3) / 10)


def test_unknown_forced_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown layers: nowhere"):
        Loihi(random_net(1)).run(torch.zeros(1), forced={"nowhere": torch.zeros(1)})


def test_networks_that_lava_would_change_are_refused() -> None:
    net = LavaNet((Input((2,)), Dense(np.zeros((2, 2), np.int64), Cuba.of(4096, 0, 10))), ("dead",))
    with pytest.raises(UnsupportedError, match="all weights are 0"):
        Loihi(net)
