"""Networks of snnTorch, one kind of neuron each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from support.foreign_nets import HIDDEN, INPUTS, OUTPUTS, full, quiet, written

snn = pytest.importorskip("snntorch")
export_to_nir = pytest.importorskip("snntorch.export_nir").export_to_nir


def leaky(count, **how):
    return snn.Leaky(beta=full(0.85, count), threshold=full(1.0, count), init_hidden=True, **how)


def fading(count, **how):
    """beta differs from neuron to neuron."""
    return snn.Leaky(
        beta=torch.linspace(0.3, 0.98, count), threshold=full(1.0, count), init_hidden=True, **how
    )


def endless(count, **how):
    return snn.Leaky(beta=full(1.0, count), threshold=full(1.0, count), init_hidden=True, **how)


def mixed(count, **how):
    """Some neurons do not leak, some forget; snnTorch clips beta to 0..1."""
    beta = torch.tensor([1.0, 0.5, 1.2, 0.0, -0.3, 0.9]).repeat(count)[:count]
    return snn.Leaky(beta=beta, threshold=full(1.0, count), init_hidden=True, **how)


def synaptic(count, **how):
    return snn.Synaptic(
        alpha=full(0.6, count), beta=full(0.85, count), threshold=full(1.0, count), init_hidden=True, **how
    )


def recurrent(count, **how):
    return snn.RLeaky(beta=full(0.8, count), linear_features=count, init_hidden=True, **how)


def one_to_one(count, **how):
    return snn.RLeaky(beta=0.8, V=torch.linspace(-1, 0.5, count), all_to_all=False, init_hidden=True, **how)


def recurrent_synaptic(count, **how):
    return snn.RSynaptic(
        alpha=full(0.5, count), beta=full(0.8, count), linear_features=count, init_hidden=True, **how
    )


def dense(neuron, **how):
    layers = (
        nn.Linear(INPUTS, HIDDEN),
        neuron(HIDDEN, **how),
        nn.Linear(HIDDEN, OUTPUTS),
        neuron(OUTPUTS, **how),
    )
    return nn.Sequential(*layers)


def exported(net, path, x):
    with quiet():
        return written(export_to_nir(net, x[0], ignore_dims=[0]), path)


def forget(net):
    """Take the state from all neurons."""
    for module in net:
        if hasattr(module, "reset_mem"):
            module.reset_mem()
