"""Pooled and residual students by name, down to a ``.net`` file that our simulator and Lava run alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from support.residuals import Builder, residual
from support.students import lively

from snn_deploy.cli.main import exit_code
from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.registry import STUDENTS
from snn_deploy.export.base import Calibration, Written
from snn_deploy.export.lava import LavaWriter
from snn_deploy.export.options import LavaOptions
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.rules import chip_problems
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import lava_environment
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference

SHAPE, CLASSES, STEPS = (2, 10, 10), 5, 5
POOLED: dict[str, Any] = {
    "blocks": [{"channels": 4, "pool": 2}, {"channels": 5, "stride": 2}],
    "readout": "linear",
}
DEPLOYED: dict[str, tuple[str, dict[str, Any]]] = {
    "average pooling": ("spiking-cnn", POOLED),
    "maximum over spikes": ("vggsnn", {"stages": [[4], [5]], "pooling": "max"}),
    "sum of spikes": ("sew-resnet18", {"widths": [4, 5], "blocks": [1, 2]}),
    "sum of currents": ("resnet18", {"widths": [4, 5], "blocks": [1, 1]}),
    "membrane shortcuts": ("ms-resnet18", {"widths": [4, 5], "blocks": [1, 1]}),
}


def _graph(name: str) -> nir.NIRGraph:
    torch.manual_seed(2)
    student, options = DEPLOYED[name]
    entry = STUDENTS.get(student)
    chosen = entry.options.model_validate(options)
    network = lively(entry.factory(chosen, in_shape=SHAPE, classes=CLASSES, timesteps=STEPS))
    return from_torch(network, SHAPE, semantics=Semantics(timesteps=STEPS))


def _spikes(batch: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(STEPS, batch, *SHAPE, generator=generator) < 0.4).float()


def _write(folder: Path, graph: nir.NIRGraph, **options: Any) -> Written:
    return LavaWriter(LavaOptions(**options)).write(graph, folder, Calibration(_spikes(8)))


@pytest.mark.parametrize("name", DEPLOYED)
def test_the_file_fires_like_the_student_given_the_same_input(name: str, tmp_path: Path) -> None:
    graph, x = _graph(name), _spikes(6, seed=1)
    _write(tmp_path, graph)
    assert chip_problems(read_net(tmp_path / "model.net")) == []
    expected = Reference(graph).run(x, record=True)
    simulator = Loihi(tmp_path / "model.net")
    layers = Reference(graph).layers
    assert set(layers) <= set(simulator.layers)
    given = {layer: expected.records[layer] for layer in layers}
    found = simulator.run(x, record=True, forced=given).records
    for layer, spikes in given.items():
        assert 0.001 < spikes.mean() < 0.999, layer
        assert (found[layer] != spikes).float().mean() < 0.01, layer
    for relay in (layer for layer in simulator.layers if "@" in layer):
        source = expected.records[relay.split("@")[0]]
        if found[relay].shape == source.shape:
            assert torch.equal(found[relay], source), relay


@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if i == 0 else pytest.mark.slow) for i, n in enumerate(list(DEPLOYED)[:3])],
)
def test_lava_fires_like_our_simulator(name: str, tmp_path: Path) -> None:
    _write(tmp_path, _graph(name))
    x = _spikes(3, seed=2)
    expected = Loihi(tmp_path / "model.net").run(x, record=True)
    found = Lava(tmp_path / "model.net").run(x, record=True)
    assert found.records.keys() == expected.records.keys()
    assert {n: int((found.records[n] != s).sum()) for n, s in expected.records.items()} == dict.fromkeys(
        expected.records, 0
    )
    assert torch.equal(found.output, expected.output)


@pytest.mark.parametrize("name", ["sum of spikes", "sum of currents"])
def test_the_lowered_graph_has_the_relays_and_fires_like_the_file(name: str, tmp_path: Path) -> None:
    x = _spikes(4, seed=3)
    graph = _graph(name)
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF):
            node.tau *= 1e9  # no leak, so that rounding toward zero plays no part
            node.r *= 1e9
    written = _write(tmp_path, graph)
    assert written.lowered is not None
    (lowering,) = [entry for entry in written.passes if entry["pass"].startswith("lower")]
    assert any(step.startswith("relay ") for step in lowering["steps"])
    net = read_net(tmp_path / "model.net")
    expected = Loihi(net).probe(x)
    found = Reference(written.lowered, dtype=torch.float64).run(x.double(), record=True).records
    for layer in net.names[:-1]:
        assert torch.equal(found[layer], expected[layer].spikes.double()), layer


def test_scales_per_channel_err_less_and_run_in_simulation_only(tmp_path: Path) -> None:
    graph = _graph("sum of spikes")
    errors = {}
    for scales in ("layer", "channel"):
        written = _write(tmp_path, graph, bits=4, scales=scales)
        table = written.tables["quantisation"]
        errors[scales] = [row["current error / threshold"] for row in table]
        only = any("Simulation only" in note for note in written.approximations)
        assert only is (scales == "channel")
        limits = [str(problem) for problem in chip_problems(read_net(tmp_path / "model.net"))]
        assert bool(limits) is (scales == "channel")
        assert all("decays or thresholds that differ inside the layer" in limit for limit in limits)
    assert all(one <= many for one, many in zip(errors["channel"], errors["layer"], strict=True))
    assert np.mean(errors["channel"]) < 0.8 * np.mean(errors["layer"])


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
def test_lava_runs_thresholds_per_channel(tmp_path: Path) -> None:
    _write(tmp_path, _graph("sum of spikes"), bits=4, scales="channel")
    x = _spikes(2, seed=4)
    expected = Loihi(tmp_path / "model.net").run(x, record=True).records
    found = Lava(tmp_path / "model.net").run(x, record=True).records
    assert all(torch.equal(found[name], spikes) for name, spikes in expected.items())


def test_a_skip_path_cannot_carry_counts(tmp_path: Path) -> None:
    graph = residual("ms", 1)
    shape = tuple(int(n) for n in graph.nodes["input"].input_type["input"])
    counts = torch.randint(0, 4, (6, 3, *shape)).float()
    writer = LavaWriter(LavaOptions())
    with pytest.raises(UnsupportedError) as caught:
        writer.write(graph, tmp_path, Calibration(counts))
    (problem,) = caught.value.problems
    assert "holds values 0..3, and a skip path carries it through" in problem.what
    writer.write(graph, tmp_path, Calibration(counts.clamp(max=1)))


def test_a_graded_input_is_exact_in_the_first_layer(tmp_path: Path) -> None:
    build = Builder(np.random.default_rng(0), {"input": (2, 6, 6)})
    build.nodes["scale"] = nir.Scale(np.full((2, 6, 6), 0.25))
    build.shapes["scale"], build.edges = (2, 6, 6), [("input", "scale")]
    graph = build.finish(build.neuron("n1", build.conv("c1", ("scale",), 4, 3, 1)))
    counts = torch.randint(0, 8, (6, 4, 2, 6, 6)).float()
    written = LavaWriter(LavaOptions()).write(graph, tmp_path, Calibration(counts))
    assert any("graded spikes of whole numbers" in note for note in written.approximations)
    net = read_net(tmp_path / "model.net")
    assert net.input_bits == 3
    expected = Reference(graph).run(counts, record=True).records["n1"]
    found = Loihi(net).run(counts, record=True).records["n1"]
    assert expected.any()
    assert (found != expected).float().mean() < 0.01


@pytest.mark.parametrize(
    ("name", "scales", "code"),
    [("maximum over spikes", "layer", 0), ("sum of spikes", "layer", 0), ("sum of spikes", "channel", 5)],
)
def test_the_command_takes_it_to_lava_and_the_chips(
    name: str, scales: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", "/nowhere")
    write_nir(_graph(name), tmp_path / "student.nir")
    np.savez(tmp_path / "x.npz", x=_spikes(8).numpy())
    bundle = str(tmp_path / "bundle")
    export = ["export", str(tmp_path / "student.nir"), "--data", str(tmp_path / "x.npz"), "--out", bundle]
    assert exit_code([*export, "--to", "nir,lava", "--scales", scales]) == 0
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    verdicts = {(p["format"], p["runtime"]): p["verdict"] for p in manifest["parity"]}
    assert verdicts[("lava", "loihi")] == "approximate"
    assert verdicts[("lava", "lava")] == "not run"
    assert exit_code(["check", bundle, "--target", "loihi1,loihi2,lava"]) == code
    assert exit_code(["check", bundle, "--target", "lava"]) == 0
