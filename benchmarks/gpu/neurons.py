"""Are the neurons of a device those of the CPU? Every kind, reset, surrogate, type and layout."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch

from snn_deploy.distill.neurons.choice import scanned
from snn_deploy.distill.neurons.dynamics import dynamics_of, learned_leak
from snn_deploy.distill.neurons.written_out import written_out
from snn_deploy.distill.step import channels_last
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions, SurrogateOptions

BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""Of the norm of a gradient, that of its difference."""


class Compared(NamedTuple):
    """Cases, spikes that differ in all of them, and the largest relative difference of gradients by type."""

    cases: int
    spikes: int
    gradients: dict[str, float]
    faults: list[str]


def cases() -> list[NeuronOptions]:
    """What is tried."""
    return [
        NeuronOptions(
            kind=kind,
            tau=1.7,
            decay_input=decay,
            v_reset=reset,
            detach_reset=detach,
            surrogate=SurrogateOptions(name=surrogate),
        )
        for kind, decay, reset, detach, surrogate in itertools.product(
            ("if", "lif", "plif"),
            (True, False),
            (0.0, -0.2, None),
            (True, False),
            ("atan", "sigmoid", "triangle", "rectangle"),
        )
    ]


def compare(device: torch.device, every: int = 1) -> Compared:
    """Run one case in ``every`` on ``device``, in the form that it takes, and written out on the CPU."""
    differing, faults = 0, []
    worst = {str(dtype): 0.0 for dtype in BOUNDS}
    tried = cases()[::every]
    for number, options in enumerate(tried):
        dtype = list(BOUNDS)[number % 2]
        node = make_neuron(options)
        generator = torch.Generator().manual_seed(number)
        x = 1.5 * torch.randn(6, 4, 8, 9, 9, generator=generator)
        weight = torch.randn(x.shape, generator=generator).to(dtype)
        x = (channels_last(x) if number % 3 else x).to(dtype)
        here = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        reference = written_out(here, learned_leak(node), dynamics_of(node))
        reference.backward(weight)
        there = x.to(device).requires_grad_()
        with scanned(node.to(device)):
            spikes = node(there)
        spikes.backward(weight.to(device))
        flips = int((spikes.detach().cpu() != reference.detach()).sum())
        apart = float((there.grad.cpu().double() - here.grad.double()).norm() / here.grad.double().norm())
        differing += flips
        worst[str(dtype)] = max(worst[str(dtype)], apart)
        if flips or not apart < BOUNDS[dtype]:
            faults.append(f"{dtype} {options}: {flips} spikes, gradient {apart:.1e}")
    return Compared(len(tried), differing, worst, faults)
