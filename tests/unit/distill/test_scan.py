"""Neurons written out for training on a CPU, against spikingjelly's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional
from torch import nn

from snn_deploy.distill.scan import scanned
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions, SurrogateOptions

SURROGATES = ("atan", "sigmoid", "triangle", "rectangle")


def run(node: nn.Module, x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes, and the gradient of their weighted sum."""
    functional.reset_net(node)
    x = x.clone().requires_grad_()
    spikes = node(x)
    (spikes * weight).sum().backward()
    assert x.grad is not None
    return spikes.detach(), x.grad


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["if", "lif"]),
    tau=st.sampled_from([1.25, 2.0, 3.7, 16.0]),
    decay_input=st.booleans(),
    v_reset=st.sampled_from([0.0, -0.3, 0.25, None]),
    threshold=st.sampled_from([0.5, 1.0, 1.7]),
    surrogate=st.sampled_from(SURROGATES),
    alpha=st.sampled_from([0.7, 1.0, 2.0, 4.0]),
    steps=st.integers(1, 7),
    seed=st.integers(0, 10_000),
)
def test_equals_spikingjelly(kind, tau, decay_input, v_reset, threshold, surrogate, alpha, steps, seed):
    options = NeuronOptions(
        kind=kind,
        tau=tau,
        decay_input=decay_input,
        v_reset=v_reset,
        v_threshold=threshold,
        surrogate=SurrogateOptions(name=surrogate, alpha=alpha),
    )
    node = make_neuron(options)
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(steps, 3, 4, 5, generator=generator) + 0.5
    weight = torch.randn(x.shape, generator=generator)
    spikes, gradient = run(node, x, weight)
    with scanned(node):
        own_spikes, own_gradient = run(node, x, weight)
    assert torch.equal(own_spikes, spikes)
    torch.testing.assert_close(own_gradient, gradient, rtol=1e-4, atol=1e-6)


def test_gradient_by_hand():
    """IF, threshold 1, rectangle of width 1: x = (0.75, 0.5, 0.75) gives h = (0.75, 1.25, 0.75), a spike at
    the second step, all slopes 1; the third step's gradient stops at the reset."""
    node = make_neuron(NeuronOptions(kind="if", surrogate=SurrogateOptions(name="rectangle", alpha=1.0)))
    with scanned(node):
        spikes, gradient = run(
            node, torch.tensor([[0.75], [0.5], [0.75]]), torch.tensor([[1.0], [10.0], [100.0]])
        )
    assert spikes.flatten().tolist() == [0, 1, 0]
    assert gradient.flatten().tolist() == [11, 10, 100]


@pytest.mark.parametrize(
    ("options", "covered"),
    [
        (NeuronOptions(), True),
        (NeuronOptions(kind="plif"), False),
        (NeuronOptions(detach_reset=False), False),
    ],
)
def test_only_covered_neurons_are_replaced_and_only_for_the_time(options, covered):
    node = make_neuron(options)
    with scanned(nn.Sequential(node)):
        assert ("multi_step_forward" in vars(node)) == covered
    assert "multi_step_forward" not in vars(node)
