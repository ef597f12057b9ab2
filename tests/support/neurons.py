"""Layers of neurons of every kind with random inputs, and what a layer answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from spikingjelly.activation_based import functional
from torch import nn

from snn_deploy.distill.neurons.dynamics import Dynamics, dynamics_of, learned_leak
from snn_deploy.models.options import NeuronOptions, SurrogateOptions

Scan = Callable[[torch.Tensor, torch.Tensor | None, Dynamics], torch.Tensor]
SURROGATES = ("atan", "sigmoid", "triangle", "rectangle")


class Answer(NamedTuple):
    """Spikes, the gradient of their weighted sum by the input, and that by PLIF's ``w``."""

    spikes: torch.Tensor
    gradient: torch.Tensor
    leak: torch.Tensor | None


def answer(node: nn.Module, x: torch.Tensor, weight: torch.Tensor) -> Answer:
    """Of a layer from rest."""
    functional.reset_net(node)
    node.zero_grad()
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    spikes = node(x)
    (spikes * weight).sum().backward()
    assert x.grad is not None
    leak = node.w.grad if hasattr(node, "w") else None
    return Answer(spikes.detach(), x.grad, None if leak is None else leak.clone())


def answers(
    node: nn.Module, scan: Scan, x: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same of a form of the neurons: spikes, their gradient, and PLIF's, of others the gradient again."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    node.zero_grad()
    dynamics = dynamics_of(node)
    assert dynamics is not None
    spikes = scan(x, learned_leak(node), dynamics)
    spikes.backward(weight)
    assert x.grad is not None
    return spikes.detach(), x.grad, getattr(node, "w", x).grad.clone()


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """Norm of the differences, of that of ``b``."""
    return float((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-9))


def options(**more: Any) -> st.SearchStrategy[NeuronOptions]:
    """Every kind, reset and surrogate."""
    drawn: dict[str, Any] = {
        "kind": st.sampled_from(["if", "lif", "plif"]),
        "tau": st.sampled_from([1.25, 2.0, 3.7, 16.0]),
        "decay_input": st.booleans(),
        "v_reset": st.sampled_from([0.0, -0.3, 0.25, None]),
        "v_threshold": st.sampled_from([0.5, 1.0, 1.7]),
        "surrogate": st.builds(
            SurrogateOptions,
            name=st.sampled_from(SURROGATES),
            alpha=st.sampled_from([0.7, 1.0, 2.0, 4.0]),
        ),
        "detach_reset": st.booleans(),
    }
    return st.builds(NeuronOptions, **drawn | more)


def batch(steps: int, seed: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs ``[steps, *shape]`` that make neurons fire now and then, and weights of their spikes."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(steps, *shape, generator=generator) + 0.5
    return x, torch.randn(x.shape, generator=generator)
