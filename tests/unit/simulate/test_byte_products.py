"""Products of bytes: equal to integer sums for every geometry, and refused where they would not be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Flatten, Input, LavaNet, conv_shape
from snn_deploy.simulate import byte_products, synapse
from snn_deploy.simulate.loihi import Loihi

NEURON = Cuba.of(4096, 2048, 100)
CPU = torch.device("cpu")
needs_bytes = pytest.mark.skipif(
    not byte_products.available(), reason="this processor has no exact products of bytes"
)


def _weight(rng: np.random.Generator, shape: tuple[int, ...], unit: int) -> np.ndarray:
    """Bytes of all sizes, the extreme ones among them, times ``unit``."""
    weight = rng.integers(-128, 128, shape)
    weight.flat[:2] = -128, 127
    return weight * unit


@needs_bytes
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    channels=st.tuples(st.integers(1, 40), st.integers(2, 40)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    unit=st.sampled_from([1, 2, 3, 8]),
    largest=st.sampled_from([1, 127]),
)
def test_convolutions_equal_integer_sums(
    seed: int,
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    unit: int,
    largest: int,
) -> None:
    rng = np.random.default_rng(seed)
    weight = _weight(rng, (channels[1], channels[0], *kernel), unit)
    layer = Conv((1, 1, 1), weight, NEURON, stride=stride, padding=padding, dilation=dilation)
    layer = Conv(conv_shape(layer, 9, 8), weight, NEURON, None, stride, padding, dilation)
    prepared = synapse.prepare(layer, (channels[0], 9, 8), (0, largest), CPU)
    x = torch.from_numpy(rng.integers(0, largest + 1, (3, 2, channels[0], 9, 8)))
    exact = torch.nn.functional.conv2d(
        x.flatten(0, 1).double(), torch.from_numpy(64 * weight).double(), None, stride, padding, dilation
    )
    fits = unit != 3 and prepared.bound < synapse.FLOAT32_LIMIT
    assert (prepared.byte_weights is not None) == fits
    assert torch.equal(synapse.currents(prepared, x.float()).flatten(0, 1).double(), exact)


@needs_bytes
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 40),
    inputs=st.integers(1, 700),
    outputs=st.integers(2, 40),
    unit=st.sampled_from([1, 2, 4]),
)
def test_dense_layers_equal_integer_sums(seed: int, rows: int, inputs: int, outputs: int, unit: int) -> None:
    rng = np.random.default_rng(seed)
    weight = _weight(rng, (outputs, inputs), unit)
    prepared = synapse.prepare(Dense(weight, NEURON), (inputs,), (0, 127), CPU)
    x = rng.integers(0, 128, (rows, 2, inputs))
    found = synapse.currents(prepared, torch.from_numpy(x).float())
    assert (prepared.byte_weights is None) == (prepared.bound >= synapse.FLOAT32_LIMIT)
    np.testing.assert_array_equal(found.numpy(), 64 * x @ weight.T)


@needs_bytes
def test_sums_up_to_the_largest_are_exact() -> None:
    """All products of one sign: nothing saturates on the way to a sum just below 2^24."""
    for value in (-128, 127):
        layer = Dense(np.full((3, 1000), value), NEURON)
        prepared = synapse.prepare(layer, (1000,), (0, 127), CPU)
        assert prepared.byte_weights is not None
        found = synapse.currents(prepared, torch.full((2, 1, 1000), 127.0))
        assert found.unique().tolist() == [64 * 127 * 1000 * value]


@pytest.mark.parametrize(
    ("layer", "shape", "input_range"),
    [
        (Dense(np.array([[1, 128]]), NEURON), (2,), (0, 1)),  # nine bits
        (Dense(np.array([[2, 254]]), NEURON), (2,), (0, 128)),
        (Dense(np.array([[2, 254]]), NEURON), (2,), (-1, 1)),
        (Dense(np.full((1, 1040), -128), NEURON), (1040,), (0, 127)),  # sums above 2^24
        (Dense(np.array([[2, 4]]), NEURON, delay=np.array([[0, 1]])), (2,), (0, 1)),
        (Conv((2, 1, 1), np.ones((2, 1, 1, 1), np.int64), NEURON, groups=2), (2, 1, 1), (0, 1)),
    ],
)
def test_what_bytes_do_not_hold_stays_in_floats(
    layer: Conv | Dense, shape: tuple[int, ...], input_range: tuple[int, int]
) -> None:
    assert synapse.prepare(layer, shape, input_range, CPU).byte_weights is None


def _net() -> LavaNet:
    rng = np.random.default_rng(0)
    conv = Conv((6, 5, 5), 2 * rng.integers(-40, 60, (6, 2, 3, 3)), NEURON, padding=(1, 1))
    dense = Dense(2 * rng.integers(-60, 90, (7, 150)), NEURON)
    return LavaNet((Input((2, 5, 5)), conv, Flatten((150,)), dense), ("a", "b"))


@pytest.fixture
def forgotten() -> Iterator[None]:
    byte_products.available.cache_clear()
    yield
    byte_products.available.cache_clear()


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("lacks", ["instructions", "kernel", "exactness"])
def test_a_machine_without_exact_bytes_computes_the_same_spikes(
    lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = (torch.rand(6, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    expected = Loihi(_net()).run(x, record=True)
    byte_products.available.cache_clear()
    if lacks == "instructions":
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    elif lacks == "kernel":
        monkeypatch.delattr(torch, "_int_mm")
    else:
        monkeypatch.setattr(torch, "_int_mm", lambda x, y: (x.int() @ y.int()).clamp(-32768, 32767))
    assert not byte_products.available()
    found = Loihi(_net()).run(x, record=True)
    assert all(expected.records[name].any() for name in ("a", "b"))
    assert all(torch.equal(found.records[name], expected.records[name]) for name in ("a", "b"))
