"""Norse's own exports, read with ``--from norse``, against Norse itself: no spike may differ."""

from __future__ import annotations

import nir
import pytest
import torch
from support.foreign_nets import BATCH, INPUTS, OUTPUTS, STEPS, frames, full, weights
from support.norse_nets import box, cell, counting, dense, exported, norse, run
from torch import nn

from snn_deploy.core.errors import ConfigError, UnsupportedError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference

reset_subtract = pytest.importorskip("norse.torch.functional.reset").reset_subtract


@pytest.mark.parametrize("dt", [1e-3, 5e-4])
@pytest.mark.parametrize("neuron", [box, cell, counting])
def test_no_spike_differs(neuron, dt, tmp_path):
    net, x = dense(neuron, dt), frames()
    path = exported(net, tmp_path / "n.nir", dt)
    plan, notes = read_plan(path, Reading(writer="norse", dt=None if dt == 1e-3 else dt))
    wanted, found = run(net, x), Reference(plan).run(x).output
    assert 0.01 < wanted.mean() < 0.99
    assert (int((wanted != found).sum()), wanted.numel()) == (0, STEPS * BATCH * OUTPUTS)
    assert any("do not say their step; its default is taken: 0.001 s" in note for note in notes) == (
        dt == 1e-3
    )


def test_a_box_may_subtract(tmp_path):
    net, x = dense(box, 1e-3, reset_method=reset_subtract), frames()
    path = exported(net, tmp_path / "n.nir", 1e-3)
    plan, _ = read_plan(path, Reading(writer="norse", reset="subtract"))
    wanted = run(net, x)
    assert torch.equal(Reference(plan).run(x).output, wanted)
    assert not torch.equal(Reference(read_plan(path, Reading(writer="norse"))[0]).run(x).output, wanted)


def test_a_readout_of_membranes_differs_by_rounding_only(tmp_path):
    leak = norse.LIBoxParameters(tau_mem_inv=full(50.0, OUTPUTS), v_leak=full(0.0, OUTPUTS))
    net = norse.SequentialState(nn.Linear(INPUTS, OUTPUTS), norse.LIBoxCell(leak, dt=1e-3))
    weights(net, 0.5)
    path, x = exported(net, tmp_path / "n.nir", 1e-3), frames()
    plan, _ = read_plan(path, Reading(writer="norse"))
    assert torch.allclose(Reference(plan).run(x).output, run(net, x), rtol=1e-5, atol=1e-6)


def test_its_time_constants_are_recognised(tmp_path):
    path = exported(dense(box, 1e-3), tmp_path / "n.nir", 1e-3)
    _, notes = read_plan(path, Reading(writer="auto"))
    assert any("taken for one of Norse 1.1" in note and "shorter than any step" in note for note in notes)
    path = exported(dense(counting, 1e-3), tmp_path / "i.nir", 1e-3)
    with pytest.raises(ConfigError, match="cannot be told"):
        read_plan(path, Reading(writer="auto"))


def test_membranes_that_start_away_from_their_reset_are_refused(tmp_path):
    path = exported(dense(box, 1e-3), tmp_path / "n.nir", 1e-3)
    graph = nir.read(path, type_check=False)
    graph.nodes["1"].v_leak[:] = -0.1
    nir.write(path, graph)
    with pytest.raises(UnsupportedError, match="starts at v_leak, which is not 0"):
        read_plan(path, Reading(writer="norse"))
