"""There and back: a framework's file, read with ``--from``, written ``--for`` it and run by its importer."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional
from support.foreign_nets import BATCH, OUTPUTS, STEPS, frames, quiet, stepped, weights, written
from support.norse_nets import box, cell, counting
from support.norse_nets import dense as norse_dense
from support.norse_nets import exported as norse_exported
from support.norse_nets import run as norse_run
from support.snntorch_nets import dense, endless, exported, forget, leaky
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.export.base import Calibration
from snn_deploy.export.foreign import run_foreign
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.options import NirOptions
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference

NO_CALIBRATION = Calibration(torch.zeros(1, 1, 1))


def back(path, reading, x, folder):
    """What the framework's importer computes from our file, made from its own at ``path``."""
    plan, _ = read_plan(path, reading)
    folder.mkdir()
    NirWriter(NirOptions(reader=reading.writer)).write(plan.graph, folder, NO_CALIBRATION)
    return run_foreign(folder / "model.nir", x, reading.writer)


@pytest.mark.parametrize("neuron", [leaky, endless])
def test_snntorch(neuron, tmp_path):
    net, x = weights(dense(neuron, reset_mechanism="zero"), 0.5), frames()
    path = exported(net, tmp_path / "n.nir", x)
    forget(net)
    wanted = stepped(net, x)
    found = back(path, Reading(writer="snntorch", reset="zero"), x, tmp_path / "out")
    assert (int((wanted != found).sum()), wanted.numel()) == (0, STEPS * BATCH * OUTPUTS)


@pytest.mark.parametrize("neuron", [box, cell, counting])
def test_norse(neuron, tmp_path):
    net, x = norse_dense(neuron, 1e-3), frames()
    path = norse_exported(net, tmp_path / "n.nir", 1e-3)
    found = back(path, Reading(writer="norse"), x, tmp_path / "out")
    wanted = norse_run(net, x)
    assert (int((wanted != found).sum()), wanted.numel()) == (0, STEPS * BATCH * OUTPUTS)


@pytest.mark.parametrize("name", ["LIF", "LIF, no decay of the input", "IF", "CUBA"])
def test_spikingjelly(name, tmp_path):
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    net, x = student(NEURONS[name], pool=False), spikes_in(20, 48)
    functional.reset_net(net)
    with quiet():
        graph = exchange.export_to_nir(net, spikes_in(1, 1), dt=1e-4)
    path = written(graph, tmp_path / "n.nir")
    functional.reset_net(net)
    with torch.no_grad():
        wanted = net(x)
    plan, _ = read_plan(path, Reading(writer="spikingjelly"))
    assert plan.shapes[plan.input] == IN_SHAPE
    assert 0.001 < wanted.mean() < 0.999
    assert wanted.numel() >= 4_800
    assert torch.equal(Reference(plan).run(x).output, wanted)
    assert torch.equal(back(path, Reading(writer="spikingjelly"), x, tmp_path / "out"), wanted)
