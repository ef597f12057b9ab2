"""Integer layers by hand, against plain integers, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.loihi_integer import simulate
from spikingjelly.activation_based import neuron, surrogate
from torch import nn

from snn_deploy.graph.lava.net import Cuba, Dense, LavaNet
from snn_deploy.models.chip_modules import ChipLinear, ChipNeuron, bounded, rounded, truncated


def linear(weight: list[list[float]], bias: list[float] | None, bits: int, **numbers: float) -> ChipLinear:
    tensor = torch.tensor(weight)
    like = nn.Linear(tensor.shape[1], tensor.shape[0])
    made = ChipLinear(like, tensor, None if bias is None else torch.tensor(bias), bits)
    for name, value in numbers.items():
        made.get_buffer(name).fill_(value)
    return made


def neurons(detach_reset: bool = True, **numbers: float) -> ChipNeuron:
    made = ChipNeuron(1.0, surrogate.ATan(alpha=2.0), detach_reset)
    for name, value in numbers.items():
        made.get_buffer(name).fill_(value)
    return made


def test_weights_and_biases_become_the_integers_of_the_equations() -> None:
    # g S unit = 10 * 0.5 * 0.25 = 1.25; in steps of 32 (4 bits) 30 -> 37.5 -> 32, 50 -> 62.5 -> 64,
    # -300 -> -375 -> -256, 300 -> 375 -> 224. The bias, times g S = 5: 1.1 -> 5.5 -> 6 and -2000 -> -4095.
    layer = linear([[30.0, 50.0], [-300.0, 300.0]], [1.1, -2000.0], 4, scale=10, gain=0.5, unit=0.25)
    weight, bias = layer.integers()
    assert weight.tolist() == [[32, 64], [-256, 224]]
    assert bias is not None and bias.tolist() == [6, -4095]
    x = torch.tensor([[[0.25, 0.5]]])  # the integers 1 and 2
    assert torch.equal(layer(x), torch.tensor([[[(32 + 128 + 6) / 5, (-256 + 448 - 4095) / 5]]]))


def test_gradients_pass_as_if_nothing_were_rounded() -> None:
    layer = linear([[30.0, -50.0]], [1.1], 4, scale=10, gain=0.5, unit=0.25)
    x = torch.tensor([[[0.25, 0.5]]], requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is not None and layer.bias is not None and layer.bias.grad is not None
    assert torch.allclose(layer.weight.grad, torch.tensor([[0.25, 0.5]]))  # d y / d W = x
    assert torch.allclose(layer.bias.grad, torch.ones(1))
    effective = torch.tensor([32.0, -64.0]) / (10 * 0.5 * 0.25)
    assert x.grad is not None and torch.allclose(x.grad, effective)


def test_a_weight_out_of_range_may_only_come_back() -> None:
    x = torch.tensor([-3.0, -3.0, 0.0, 3.0, 3.0], requires_grad=True)
    up_and_down = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
    (bounded(x, -1, 1, x.detach().clamp(-1, 1)) * up_and_down).sum().backward()
    # a step against the gradient: +1 lowers x, -1 raises it
    assert x.grad is not None and x.grad.tolist() == [0, -1, 1, 1, 0]


@pytest.mark.parametrize(("function", "expected"), [(rounded, [-2, -2, 0, 2]), (truncated, [-2, -1, 0, 1])])
def test_rounding_is_half_to_even_and_truncation_toward_zero(function, expected: list[float]) -> None:
    x = torch.tensor([-2.5, -1.5, -0.5, 1.9], requires_grad=True)
    result = function(x)
    assert result.tolist() == expected
    result.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 1, 1, 1]


def test_the_membrane_by_hand() -> None:
    # S = 100, a quarter is lost per step. Currents of -1, 2, 3, 1 and 2 weight units, in 64ths of one:
    # -64; -48 + 128 = 80; 60 + 192 = 252 > 192, a spike; 0 + 64; 48 + 128 = 176.
    layer = neurons(scale=100, voltage_decay=1024, threshold=3)
    x = torch.tensor([-0.01, 0.02, 0.03, 0.01, 0.02]).view(5, 1, 1)
    assert layer(x).flatten().tolist() == [0, 0, 1, 0, 0]
    # v = 192 is not above the threshold, the least step above it is
    exact = neurons(scale=100, voltage_decay=4096, threshold=3)
    assert exact(torch.tensor([0.03, 0.04]).view(2, 1, 1)).flatten().tolist() == [0, 1]


def test_the_state_is_truncated_toward_zero() -> None:
    # 4095 / 4096 of -64 is -63.98, cut to -63: two units more give 65, one above the threshold of 64.
    # Rounded down it would stay -64 and end at 64, which does not fire.
    layer = neurons(scale=1, voltage_decay=1, threshold=1)
    assert layer(torch.tensor([-1.0, 2.0]).view(2, 1, 1)).flatten().tolist() == [0, 1]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    current=st.sampled_from([4096, 4096, 1, 700, 4095]),
    voltage=st.sampled_from([0, 4096, 2048, 1, 1365, 4095]),
    size=st.sampled_from([20, 3000, 131072]),
)
def test_neurons_equal_plain_integers(seed: int, current: int, voltage: int, size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    threshold = int(torch.randint(0, min(4 * size, 131071), (), generator=generator))
    sums = torch.randint(-size // 2, size + 1, (9, 1, 5), generator=generator)
    scale = float(torch.rand((), generator=generator) * 100 + 0.01)
    layer = neurons(scale=scale, gain=0.5, current_decay=current, voltage_decay=voltage, threshold=threshold)
    found = layer((sums.double() / (scale * 0.5)).float())
    population = LavaNet(
        (Dense(torch.eye(5, dtype=torch.int64).numpy(), Cuba.of(current, voltage, threshold)),), ("n",)
    )
    expected = simulate(population, sums[:, 0].numpy())[0]["s"]
    assert torch.equal(found[:, 0].long(), torch.from_numpy(expected))


def test_the_surrogate_gradient_is_that_of_the_real_membrane() -> None:
    # One step, v = 64 * 100 * 0.8 = 5120; threshold 90.5 units: x = 0.8 - 0.9000781...
    layer = neurons(scale=100, threshold=90, voltage_decay=2048)
    x = torch.tensor([[[0.8]]], requires_grad=True)
    layer(x).sum().backward()
    distance = 0.8 - (90 * 64 + 0.5) / 6400
    expected = (2.0 / 2) / (1 + (math.pi / 2 * 2.0 * distance) ** 2)
    assert x.grad is not None and x.grad.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("detach_reset", [True, False])
def test_gradients_through_time_are_those_of_the_neuron_replaced(detach_reset: bool) -> None:
    # With a scale so fine that rounding is nothing, both are the same function of time.
    torch.manual_seed(3)
    real = neuron.LIFNode(tau=2.0, decay_input=False, detach_reset=detach_reset, step_mode="m",
                          surrogate_function=surrogate.ATan(alpha=2.0))  # fmt: skip
    chip = neurons(detach_reset, scale=60_000, threshold=60_000, voltage_decay=2048)
    weights, grads = torch.randn(7, 4, 5), []
    for layer in (real, chip):
        x = torch.round(torch.rand(7, 4, 5, generator=torch.Generator().manual_seed(1)) * 6e4) / 6e4
        x.requires_grad_()
        (layer(x) * weights).sum().backward()
        assert x.grad is not None
        grads.append(x.grad)
    assert grads[0].abs().max() > 0.1
    assert torch.allclose(grads[0], grads[1], atol=2e-4)


def test_autocast_does_not_touch_integers() -> None:
    torch.manual_seed(0)
    layer = linear((torch.randn(6, 400) * 100).tolist(), None, 8, scale=1.3)
    x = (torch.rand(2, 3, 400) < 0.5).float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, layer(x))


def test_rows_that_could_overflow_are_shrunk() -> None:
    rows = [[200.0] * 700, [-200.0] * 700, [1.0] * 700]
    layer = linear(rows, None, 8, scale=1)
    weight, _ = layer.integers()
    assert weight[0].unique().tolist() == [186]  # 131072 / 700 = 187.2, toward zero to an even number
    assert weight[1].unique().tolist() == [-186]
    assert weight[2].unique().tolist() == [0]  # half to even
