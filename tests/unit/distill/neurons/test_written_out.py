"""Neurons written out for training, against spikingjelly's and by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.neurons import answer, batch, options
from torch import nn

from snn_deploy.distill.neurons.choice import scanned
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions, SurrogateOptions

RECTANGLE = SurrogateOptions(name="rectangle", alpha=1.0)


@settings(deadline=None, max_examples=300)
@given(options=options(), steps=st.integers(1, 7), seed=st.integers(0, 10_000))
def test_equals_spikingjelly(options: NeuronOptions, steps: int, seed: int) -> None:
    node = make_neuron(options)
    x, weight = batch(steps, seed, 3, 4, 5)
    theirs = answer(node, x, weight)
    with scanned(node):
        own = answer(node, x, weight)
    assert torch.equal(own.spikes, theirs.spikes)
    torch.testing.assert_close(own.gradient, theirs.gradient, rtol=1e-4, atol=1e-6)
    if theirs.leak is not None:
        torch.testing.assert_close(own.leak, theirs.leak, rtol=1e-4, atol=1e-4)


def by_hand(x: list[float], weight: list[float], **more: object) -> tuple[list[float], list[float]]:
    """Spikes and gradient of an IF neuron of threshold 1 with a rectangle of width 1."""
    node = make_neuron(NeuronOptions(kind="if", surrogate=RECTANGLE, **more))  # type: ignore[arg-type]
    with scanned(node):
        own = answer(node, torch.tensor(x)[:, None], torch.tensor(weight)[:, None])
    return own.spikes.flatten().tolist(), own.gradient.flatten().tolist()


def test_gradient_by_hand() -> None:
    """x = (0.75, 0.5, 0.75) gives h = (0.75, 1.25, 0.75), a spike at the second step, all slopes 1; the third
    step's gradient stops at the reset."""
    assert by_hand([0.75, 0.5, 0.75], [1, 10, 100]) == ([0, 1, 0], [11, 10, 100])


def test_gradient_through_the_reset_by_hand() -> None:
    """The same; now dv/dh is -1.25 where it was 0 (at the spike, h = 1.25) and 1 - 0.75 where it was 1."""
    second = 10 - 1.25 * 100
    assert by_hand([0.75, 0.5, 0.75], [1, 10, 100], detach_reset=False) == (
        [0, 1, 0],
        [1 + 0.25 * second, second, 100],
    )


def test_gradient_through_the_soft_reset_by_hand() -> None:
    """h = (0.75, 1.25, 1.0), spikes at the second and third step; dv/dh = 1 - slope = 0 everywhere."""
    assert by_hand([0.75, 0.5, 0.75], [1, 10, 100], v_reset=None, detach_reset=False) == (
        [0, 1, 1],
        [1, 10, 100],
    )


def test_bfloat16_has_a_float32_membrane() -> None:
    """257 steps of 1/256 reach the threshold 1 only where the sum has more than bfloat16's 8 bits."""
    node = make_neuron(NeuronOptions(kind="if", surrogate=RECTANGLE))
    x = torch.full((257, 1), 1 / 256, dtype=torch.bfloat16)
    with scanned(node):
        own = answer(node, x, torch.ones_like(x))
    assert own.spikes.dtype == own.gradient.dtype == torch.bfloat16
    assert own.spikes.nonzero()[:, 0].tolist() == [255]


@pytest.mark.parametrize("kind", ["if", "lif", "plif"])
def test_only_neurons_are_replaced_and_only_for_the_time(kind: str) -> None:
    node, stored = (make_neuron(NeuronOptions(kind=kind)) for _ in range(2))  # type: ignore[arg-type]
    stored.store_v_seq = True  # somebody wants the membrane
    with scanned(nn.Sequential(node, stored)):
        assert ["multi_step_forward" in vars(n) for n in (node, stored)] == [True, False]
    assert "multi_step_forward" not in vars(node)
