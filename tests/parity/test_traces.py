"""Traces of the source frameworks: a right reading is proven, a wrong one is caught in every row."""

from __future__ import annotations

import json

import h5py
import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from support.foreign_nets import frames, quiet, weights, written
from support.norse_nets import box, cell, counting
from support.norse_nets import dense as norse_dense
from support.norse_nets import exported as norse_exported
from support.snntorch_nets import dense, endless, exported, fading, leaky, recurrent, synaptic

import snn_deploy as sd
from snn_deploy.cli.main import exit_code
from snn_deploy.core.errors import DataError, ParityError
from snn_deploy.graph.readers.traces import read_trace
from snn_deploy.graph.timing import Reading
from snn_deploy.tasks.reading import read_proven

KINDS = ("subtract", "zero", "none")
NODES = {recurrent: {"1.lif", "3.lif"}}


@pytest.mark.parametrize("delayed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", [leaky, fading, endless, synaptic, recurrent])
def test_snntorch(made, kind, delayed, tmp_path):
    """Every other kind of reset than the network's own is caught; a reset to zero is the same late or not."""
    net, x = weights(dense(made, reset_mechanism=kind, reset_delay=delayed), 0.5), frames()
    path = exported(net, tmp_path / "n.nir", x)
    trace = sd.record_trace(net, x, tmp_path / "n.npz")
    right = Reading(writer="snntorch", reset=kind, reset_delay=delayed, trace=trace)
    plan, _, said, proof = read_proven(path, right)
    assert proof.verdict == "equal"
    assert said.startswith("The reading is proven: 0 of ")
    nodes = NODES.get(made, {"1", "3"})
    assert {layer.layer for layer in proof.layers} == nodes | {f"{name}.v" for name in nodes}
    for other in KINDS:
        if other != kind:
            with pytest.raises(ParityError, match="as its source means it") as caught:
                read_proven(path, Reading(writer="snntorch", reset=other, reset_delay=delayed, trace=trace))
            assert any("first at step" in problem.what for problem in caught.value.problems)
    if kind == "subtract":
        with pytest.raises(ParityError):
            read_proven(path, Reading(writer="snntorch", reset=kind, reset_delay=not delayed, trace=trace))
    assert plan.output


@pytest.mark.parametrize("made", [box, cell, counting])
def test_norse(made, tmp_path):
    net, x = norse_dense(made, 1e-3), frames()
    path = norse_exported(net, tmp_path / "n.nir", 1e-3)
    trace = sd.record_trace(net, x, tmp_path / "n.npz")
    assert read_proven(path, Reading(writer="norse", trace=trace))[3].verdict == "equal"
    for wrong in (Reading(dt=2e-6, trace=trace), Reading(writer="norse", dt=5e-4, trace=trace)):
        if made is counting and wrong.writer:
            continue  # an IAF has no time constant
        with pytest.raises(ParityError):
            read_proven(path, wrong)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly(mode, tmp_path):
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import layer

    net = torch.nn.Sequential(
        layer.Linear(12, 16), neuron.LIFNode(), layer.Linear(16, 8), neuron.LIFNode(tau=3.0)
    )
    weights(net, 1.0)
    functional.set_step_mode(net, mode)
    x = frames()
    with quiet():
        path = written(
            exchange.export_to_nir(net, x[:1] if mode == "m" else x[0], dt=1e-4), tmp_path / "n.nir"
        )
    functional.reset_net(net)
    trace = sd.record_trace(net, x, tmp_path / "n.npz")
    proof = read_proven(path, Reading(writer="spikingjelly", trace=trace))[3]
    assert proof.verdict == "equal"
    assert [layer.layer for layer in proof.layers] == ["_1", "_3"]
    with pytest.raises(ParityError):
        read_proven(path, Reading(writer="spikingjelly", dt=5e-5, trace=trace))


def small(tmp_path):
    net, x = weights(dense(leaky), 0.5), frames()
    path = exported(net, tmp_path / "n.nir", x)
    return path, x, sd.record_trace(net, x, tmp_path / "n.npz")


def test_a_bundle_begins_with_the_proof_of_its_reading(tmp_path, capsys):
    path, x, trace = small(tmp_path)
    np.savez(tmp_path / "x.npz", x=x.numpy())
    data = ["--data", str(tmp_path / "x.npz"), "--from", "snntorch"]
    export = ["export", str(path), *data, "--to", "onnx", "--out", str(tmp_path / "b")]
    assert exit_code([*export, "--trace", str(trace), "--reset", "zero"]) == 4
    assert "We do not read 'n.nir' as its source means it" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "b").exists()
    assert exit_code([*export, "--trace", str(trace)]) == 0
    first = json.loads((tmp_path / "b" / "manifest.json").read_text())["parity"][0]
    assert (first["format"], first["runtime"], first["reference"]) == ("reading", "reference", "source")
    assert first["verdict"] == "equal"
    assert first["compared"] > 0
    card = (tmp_path / "b" / "README.md").read_text()
    assert "The reading is proven: 0 of" in card
    assert exit_code(["simulate", str(path), *data]) == 0
    assert "The reading itself is not proven" in " ".join(capsys.readouterr().err.split())


def test_nirdata_is_a_trace(tmp_path):
    path, x, trace = small(tmp_path)
    with np.load(trace) as content:
        grids = {name: np.swapaxes(content[name], 0, 1) for name in ("x", "1", "3")}
    nodes = {
        name: nir.NIRNodeData({"spikes": nir.TimeGriddedData(grid, 1e-4)})
        for name, grid in {"input": grids["x"], "1": grids["1"], "3": grids["3"]}.items()
    }
    nir.write_data(str(tmp_path / "t.h5"), nir.NIRGraphData(nodes))
    proof = read_proven(path, Reading(writer="snntorch", trace=tmp_path / "t.h5"))[3]
    assert proof.verdict == "equal"
    assert proof.compared == grids["1"].size + grids["3"].size
    assert x.shape[0] == 40


def events(grid: np.ndarray, dt: float, phase: float) -> nir.EventData:
    """Every spike of ``grid [B, T, N]`` as an event at ``phase`` of its step."""
    most = int(grid.sum((1, 2)).max())
    idx, time = np.full((len(grid), most), -1), np.full((len(grid), most), np.inf)
    for sample, spikes in enumerate(grid):
        step, neuron = np.nonzero(spikes)
        idx[sample, : len(step)], time[sample, : len(step)] = neuron, (step + phase) * dt
    return nir.EventData(idx, time, grid.shape[2], grid.shape[1] * dt)


@pytest.mark.parametrize("phase", [0.0, 0.5])
def test_events_of_nirdata_are_a_trace(phase, tmp_path):
    path, _, trace = small(tmp_path)
    with np.load(trace) as content:
        grids = {name: np.swapaxes(content[name], 0, 1) for name in ("x", "1", "3")}
    named = {"input": grids["x"], "1": grids["1"], "3": grids["3"]}
    nodes = {name: nir.NIRNodeData({"spikes": events(grid, 1e-4, phase)}) for name, grid in named.items()}
    nir.write_data(str(tmp_path / "t.h5"), nir.NIRGraphData(nodes))
    reading = Reading(writer="snntorch", trace=tmp_path / "t.h5")
    proof = read_proven(path, reading)[3]
    assert proof.verdict == "equal"
    assert proof.compared == grids["1"].size + grids["3"].size
    with pytest.raises(ParityError):
        read_proven(path, Reading(writer="snntorch", reset="zero", trace=tmp_path / "t.h5"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_neurons": 2}, "outside of 2 neurons"),
        ({"t_max": 1e9}, "span"),
        ({"t_max": 1e-3}, "outside of"),
        ({"n_neurons": "many"}, "damaged"),
    ],
)
def test_damaged_events_are_refused(change, said, tmp_path):
    path, _, trace = small(tmp_path)
    with np.load(trace) as content:
        grid = np.swapaxes(content["x"], 0, 1)
    data = nir.NIRGraphData({"input": nir.NIRNodeData({"spikes": events(grid, 1e-4, 0.5)})})
    nir.write_data(str(tmp_path / "t.h5"), data)
    with h5py.File(tmp_path / "t.h5", "r+") as file:
        file["nodes/input/observables/spikes"].attrs.update(change)
    plan, *_ = read_proven(path, Reading(writer="snntorch"))
    with pytest.raises(DataError, match=said):
        read_trace(tmp_path / "t.h5", plan)


def test_traces_that_do_not_fit_are_refused(tmp_path):
    path, _, trace = small(tmp_path)
    plan, *_ = read_proven(path, Reading(writer="snntorch"))
    with np.load(trace) as content:
        values = dict(content)
    for change, text in (
        ({"one": values["1"]}, "there is no such node"),
        ({"1": values["1"][:, :2]}, "values of shape"),
        ({"0.v": values["1"]}, "a node without a membrane"),
        ({"1": values["1"] * np.nan}, "not finite"),
        ({"x": np.array([["a", "b"]])}, "holds no numbers"),
    ):
        np.savez(tmp_path / "bad.npz", **{**values, **change})
        with pytest.raises(DataError, match=text):
            read_trace(tmp_path / "bad.npz", plan)
    np.savez(tmp_path / "bad.npz", x=values["x"])
    with pytest.raises(DataError, match="is no trace"):
        read_trace(tmp_path / "bad.npz", plan)
    with pytest.raises(DataError, match="There is no file"):
        read_trace(tmp_path / "none.npz", plan)
