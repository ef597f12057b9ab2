"""The format nir: what is written, what is proven, what is said aside."""

from __future__ import annotations

import h5py
import nir
import numpy as np
import pytest
import torch
from support.graphs import graph, lif
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.errors import ConfigError, UnsupportedError
from snn_deploy.core.registry import BACKENDS, FORMATS
from snn_deploy.export.base import Calibration, Check
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.options import NirOptions
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.simulate.reference import Reference

NO_CALIBRATION = Calibration(torch.zeros(1, 1, 1))
ALLOWING = NirWriter(NirOptions(allow=("reset-in-metadata",)))


def hub(name: str) -> nir.NIRGraph:
    return from_torch(student(NEURONS[name]), IN_SHAPE, semantics=Semantics(timesteps=6, classes=("a",)))


@pytest.mark.parametrize("name", NEURONS)
def test_the_file_run_by_the_backend_spikes_like_the_network(name, tmp_path):
    net, x = hub(name), spikes_in()
    written = ALLOWING.write(net, tmp_path, NO_CALIBRATION)
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
    written = ALLOWING.write(hub(name), tmp_path, NO_CALIBRATION)
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
    entry = FORMATS.get("nir")
    assert isinstance(entry.factory(entry.options()), NirWriter)


def soft() -> nir.NIRGraph:
    return hub("LIF, soft reset")


def test_a_reset_that_nir_cannot_say_is_refused_with_the_way_out(tmp_path):
    (problem,) = NirWriter().check(soft())
    assert "subtract the threshold" in problem.what
    assert "resets to v_reset" in problem.rule
    assert "--allow reset-in-metadata" in problem.try_instead
    with pytest.raises(UnsupportedError, match="subtract the threshold"):
        NirWriter().write(soft(), tmp_path, NO_CALIBRATION)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("reader", "name", "refused"),
    [
        ("norse", "LIF, soft reset", True),
        ("sinabs", "LIF, soft reset", False),
        ("sinabs", "LIF", False),
        ("spyx", "IF", True),
    ],
)
def test_what_a_reader_resets_decides_what_is_refused(reader, name, refused):
    problems = NirWriter(NirOptions(reader=reader, allow=("early-bias",))).check(hub(name))
    assert bool(problems) == refused
    assert all("reset" in f"{problem.what} {problem.rule}" for problem in problems)


def test_what_the_readers_user_must_do_is_in_the_manifest(tmp_path):
    written = NirWriter(NirOptions(reader="sinabs")).write(hub("IF"), tmp_path, NO_CALIBRATION)
    notes = " ".join(written.approximations)
    assert "SingleSpike" in notes
    assert "min_v_mem" in notes
    assert "Set the reset of sinabs 3.1 to 'zero'." in notes


def test_late_readers_are_given_the_steps_they_are_late(tmp_path):
    allow = ("early-bias", "reset-in-metadata")
    written = NirWriter(NirOptions(reader="spyx", allow=allow)).write(hub("IF"), tmp_path, NO_CALIBRATION)
    notes = " ".join(written.approximations)
    assert "a step late in each of 4 layers: run 4 steps more" in notes
    assert "adds the biases of block2.conv, hidden.linear before" in notes
    assert "resets to v_reset is in the metadata only" in notes


def test_the_proof_runs_in_the_reader_that_the_file_is_for(tmp_path):
    for reader, checks in (("norse", ["reference", "norse"]), ("spinnaker2", ["reference"])):
        net = hub("IF")
        net.nodes["block2.conv"].bias[:] = 0
        written = NirWriter(NirOptions(reader=reader)).write(net, tmp_path, NO_CALIBRATION)
        assert [check.backend for check in written.checks] == checks


def test_files_for_nir_1_0_4_hold_no_v_reset(tmp_path):
    old = NirWriter(NirOptions(nir_version="1.0.4"))
    old.write(hub("LIF"), tmp_path, NO_CALIBRATION)
    with h5py.File(tmp_path / "model.nir") as file:
        fields = {name: set(node) for name, node in file["node/nodes"].items()}
    assert "v_threshold" in fields["readout.neuron"]
    assert not any("v_reset" in found for found in fields.values())
    x = spikes_in()
    read = read_nir(tmp_path / "model.nir")
    assert torch.equal(Reference(read).run(x).output, Reference(hub("LIF")).run(x).output)
    assert nir.read(tmp_path / "model.nir").nodes["readout.neuron"].v_reset.tolist() == [0.0] * 10
    (first, *_) = old.check(hub("LIF, v_reset -0.1"))
    assert (first.where, first.what) == ("block1.neuron", "resets to -0.1")
    assert "1.0.4 knows no v_reset" in first.rule


@pytest.mark.parametrize(
    ("options", "says"),
    [({"reader": "nors"}, "Did you mean 'norse'"), ({"nir_version": "1.0.5"}, "version '1.0.5'")],
)
def test_readers_and_versions_we_do_not_write_for(options, says):
    with pytest.raises(ConfigError, match=says):
        NirWriter(NirOptions(**options))


def test_where_nirs_own_type_check_is_wrong_it_is_said(tmp_path):
    wide = nir.Conv2d((6, 6), np.ones((2, 2, 3, 5), np.float32), 1, (1, 2), 1, 1, np.zeros(2, np.float32))
    net = graph(
        {"c": wide, "n": lif((2, 6, 6))}, [("input", "c"), ("c", "n"), ("n", "output")], (2, 6, 6), (2, 6, 6)
    )
    (note,) = NirWriter().write(net, tmp_path, NO_CALIBRATION).approximations
    assert "type check is wrong" in note
    assert "refuses c:" in note
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "model.nir")
    NirWriter(NirOptions(reader="norse")).write(net, tmp_path, NO_CALIBRATION)
    assert nir.read(tmp_path / "model.nir").nodes["c"].weight.shape == (2, 2, 5, 5)
