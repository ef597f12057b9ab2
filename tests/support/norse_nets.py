"""Networks of Norse, one kind of neuron each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from support.foreign_nets import HIDDEN, INPUTS, OUTPUTS, full, quiet, weights, written

norse = pytest.importorskip("norse.torch")


def box(count, dt, **how):
    parameters = norse.LIFBoxParameters(
        tau_mem_inv=full(100.0, count), v_th=full(0.3, count), **zeros(count), **how
    )
    return norse.LIFBoxCell(parameters, dt=dt)


def cell(count, dt):
    parameters = norse.LIFParameters(
        tau_syn_inv=torch.linspace(100, 400, count),
        tau_mem_inv=full(80.0, count),
        v_th=full(0.4, count),
        **zeros(count),
    )
    return norse.LIFCell(parameters, dt=dt)


def zeros(count):
    return {"v_leak": full(0.0, count), "v_reset": full(0.0, count)}


def counting(count, dt):
    from norse.torch.functional.iaf import IAFParameters
    from norse.torch.module.iaf import IAFCell

    return IAFCell(IAFParameters(v_th=full(1.0, count), v_reset=full(0.0, count)), dt=dt)


def dense(neuron, dt, **how):
    layers = (
        nn.Linear(INPUTS, HIDDEN),
        neuron(HIDDEN, dt, **how),
        nn.Linear(HIDDEN, OUTPUTS),
        neuron(OUTPUTS, dt, **how),
    )
    return weights(norse.SequentialState(*layers), 0.5)


def run(net, x):
    state, found = None, []
    with torch.no_grad():
        for x_t in x:
            y, state = net(x_t, state)
            found.append(y)
    return torch.stack(found)


def exported(net, path, dt):
    with quiet():
        return written(norse.to_nir(net, torch.zeros(1, INPUTS), dt=dt), path)
