"""The format nir: what is written, what is proven, what is said aside."""

from __future__ import annotations

import nir
import pytest
import torch
from support.graphs import graph, lif
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.errors import UnsupportedError
from snn_deploy.export.base import Calibration, Check
from snn_deploy.export.nir import NirWriter
from snn_deploy.graph.from_torch import from_torch
from snn_deploy.graph.io import read_nir
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.registry import BACKENDS, FORMATS, Options
from snn_deploy.simulate.reference import Reference

NO_CALIBRATION = Calibration(torch.zeros(1, 1, 1))


def hub(name: str) -> nir.NIRGraph:
    return from_torch(student(NEURONS[name]), IN_SHAPE, semantics=Semantics(timesteps=6, classes=("a",)))


@pytest.mark.parametrize("name", NEURONS)
def test_the_file_run_by_the_backend_spikes_like_the_network(name, tmp_path):
    net, x = hub(name), spikes_in()
    written = NirWriter().write(net, tmp_path, NO_CALIBRATION)
    loaded = BACKENDS.get("reference").factory(tmp_path / written.files["model"])
    expected = Reference(net).run(x, record=True)
    found = loaded.run(x, record=True)
    assert loaded.layers == ("block1.neuron", "block2.neuron", "hidden.neuron", "readout.neuron")
    assert all(torch.equal(found.records[n], expected.records[n]) for n in expected.records)
    semantics = read_semantics(read_nir(tmp_path / "model.nir"))
    assert (semantics.timesteps, semantics.classes, semantics.assumed) == (6, ("a",), ())


def test_what_was_done_is_reported(tmp_path):
    written = NirWriter().write(hub("LIF"), tmp_path, NO_CALIBRATION)
    assert [entry["pass"] for entry in written.passes] == [
        "sum_pooling", "threshold_below", "portable_encoding",
    ]  # fmt: skip
    assert written.passes[0]["windows"] == {"block1.pool": 4}
    assert written.checks == (Check("model", "reference"), Check("model", "snntorch", exact=False))
    assert written.approximations == ()
    assert written.lowered is not None
    assert make_plan(written.lowered).shapes["readout.neuron"] == (10,)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("LIF, soft reset", "subtracts the threshold is in the metadata only"),
        ("LIF, v_reset -0.1", "start at v_reset, which is not zero"),
    ],
)
def test_what_nir_cannot_say_is_said_aside(name, says, tmp_path):
    written = NirWriter().write(hub(name), tmp_path, NO_CALIBRATION)
    assert any(says in note for note in written.approximations)
    assert written.checks == (Check("model", "reference"),)


def test_names_that_a_file_cannot_hold_are_refused(tmp_path):
    net = graph({"a/b": lif((2,))}, [("input", "a/b"), ("a/b", "output")], (2,), (2,))
    (problem,) = NirWriter().check(net)
    assert problem.where == "a/b"
    with pytest.raises(UnsupportedError, match="a/b"):
        NirWriter().write(net, tmp_path, NO_CALIBRATION)
    assert not list(tmp_path.iterdir())


def test_is_registered():
    assert isinstance(FORMATS.get("nir").factory(Options()), NirWriter)
