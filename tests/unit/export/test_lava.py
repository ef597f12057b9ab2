"""The lava format from a trained-like student to a file that our simulator, Lava and the kit run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.registry import FORMATS
from snn_deploy.export.base import Calibration, Written
from snn_deploy.export.lava import LavaWriter
from snn_deploy.export.options import LavaOptions
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import lava_environment
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference

LIVE = pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
SEMANTICS = Semantics(timesteps=6, classes=tuple("abcdefghij"))


def _graph(name: str = "LIF", *, spiking: bool = True) -> nir.NIRGraph:
    net = student(NEURONS[name], norm=True)
    if not spiking:
        del net.readout[1]
    return from_torch(net, IN_SHAPE, semantics=SEMANTICS)


def _write(folder: Path, net: nir.NIRGraph, x: torch.Tensor, bits: int = 8) -> Written:
    return LavaWriter(LavaOptions(bits=bits)).write(net, folder, Calibration(x))


@pytest.mark.parametrize("name", ["LIF", "LIF, no decay of the input", "LIF, v_reset -0.1", "IF", "PLIF"])
def test_eight_bits_keep_nearly_every_spike_given_the_same_input(name: str, tmp_path: Path) -> None:
    net = _graph(name)
    written = _write(tmp_path, net, spikes_in(batch=16))
    x = spikes_in(batch=32)
    reference = Reference(net).run(x, record=True)
    simulator = Loihi(tmp_path / written.files["net"])
    assert simulator.layers == ("block1.neuron", "block2.neuron", "hidden.neuron", "readout.neuron")
    given = {layer: reference.records[layer] for layer in simulator.layers}
    judged = simulator.run(x, record=True, forced=given)
    for layer_name, spikes in given.items():
        assert 0.01 < spikes.mean() < 0.99
        assert (judged.records[layer_name] != spikes).float().mean() < 0.01, layer_name


def test_fewer_bits_flip_more_spikes(tmp_path: Path) -> None:
    net, x = _graph(), spikes_in(batch=32)
    expected = Reference(net).run(x, record=True).records
    flips = []
    for bits in (8, 4):
        _write(tmp_path, net, x, bits)
        found = Loihi(tmp_path / "model.net").run(x, record=True, forced=expected_layers(expected))
        flips.append(sum(int((found.records[n] != expected[n]).sum()) for n in found.records))
    assert flips[1] > 5 * flips[0]


def expected_layers(records: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: spikes for name, spikes in records.items() if name.endswith("neuron")}


def test_linear_readout_gives_the_logits(tmp_path: Path) -> None:
    net, x = _graph("IF", spiking=False), spikes_in(batch=32)
    _write(tmp_path, net, x)
    expected = Reference(net).run(x, record=True)
    given = expected_layers(expected.records)
    found = Loihi(tmp_path / "model.net").run(x, record=True, forced=given)
    assert set(found.records) == set(given)
    scale = float(expected.output.abs().max())
    assert float((found.output - expected.output).abs().max()) < 0.02 * scale


def test_manifest_gets_every_error_and_pass(tmp_path: Path) -> None:
    net = _graph()
    written = _write(tmp_path, net, spikes_in(batch=8), bits=6)
    assert [(c.backend, c.reference, c.exact) for c in written.checks] == [
        ("loihi", "network", False),
        ("lava", "loihi", True),
    ]
    table = written.tables["quantisation"]
    assert [row["layer"] for row in table] == list(Loihi(tmp_path / "model.net").layers)
    assert all(0 < row["current error / threshold"] < 0.2 for row in table)
    (quantised,) = [entry for entry in written.passes if entry["pass"] == "quantise"]
    assert quantised["bits"] == 6
    assert set(quantised["scale"]) == {row["layer"] for row in table}
    assert any("6 bits" in note for note in written.approximations)
    assert any("rounded toward zero" in note for note in written.approximations)
    kit = {"lava_worker.py", "lava_shims.py", "install_lava.py"}
    assert {path.name for path in tmp_path.iterdir()} == {"model.net", *kit}


def test_lowered_graph_has_the_synapses_of_the_file(tmp_path: Path) -> None:
    x = spikes_in(batch=16)
    written = _write(tmp_path, _graph("IF"), x)
    assert written.lowered is not None
    found = Reference(written.lowered, dtype=torch.float64).run(x.double(), record=True)
    expected = Loihi(tmp_path / "model.net").run(x, record=True)
    for name, spikes in expected.records.items():
        assert torch.equal(found.records[name], spikes.double()), name
    assert "block1.conv" in written.lowered.nodes


def test_check_and_write_name_what_cannot_be_said(tmp_path: Path) -> None:
    net = from_torch(student(NEURONS["LIF, soft reset"]), IN_SHAPE, semantics=SEMANTICS)
    problems = LavaWriter(LavaOptions()).check(net)
    assert [problem.where for problem in problems] == list(Reference(net).layers)
    with pytest.raises(UnsupportedError) as caught:
        _write(tmp_path, net, spikes_in())
    assert list(caught.value.problems) == problems
    assert not list(tmp_path.iterdir())
    assert LavaWriter(LavaOptions()).check(_graph()) == []


def test_options_are_those_of_the_registry() -> None:
    entry = FORMATS.get("lava")
    assert isinstance(entry.factory(entry.options(bits=5)), LavaWriter)
    for bits in (1, 9):
        with pytest.raises(ValueError, match="bits"):
            entry.options(bits=bits)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    x = spikes_in(batch=3)
    _write(tmp_path, _graph(spiking=False), spikes_in(batch=16))
    output = Loihi(tmp_path / "model.net").run(x).output
    np.savez(tmp_path / "example.npz", x=x.numpy(), lava_out=output.numpy())
    np.save(tmp_path / "frames.npy", x.numpy())
    values = {"kind": "binary", "low": 0.0, "high": 1.0, "stated": True}
    contract = {"shape": list(x.shape[2:]), "timesteps": len(x), "values": values}
    (tmp_path / "manifest.json").write_text(json.dumps({"input": contract}))
    for name in ("run_lava.py", "own_frames.py"):
        shutil.copy(asset_dir("export") / name, tmp_path)
    return tmp_path


def _kit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(lava_environment()), "run_lava.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@LIVE
@pytest.mark.lava
def test_kit_passes_on_the_example_and_fails_on_another_output(bundle: Path) -> None:
    done = _kit(bundle)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PASS model.net: 0 of 180 outputs differ")
    with np.load(bundle / "example.npz") as content:
        arrays = dict(content)
    arrays["lava_out"][3, 1, 2] += 1
    np.savez(bundle / "example.npz", **arrays)
    done = _kit(bundle)
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL model.net: 1 of 180 outputs differ")


@LIVE
@pytest.mark.lava
def test_kit_gives_class_scores_for_own_frames(bundle: Path) -> None:
    done = _kit(bundle, "frames.npy")
    assert done.returncode == 0, done.stderr
    with np.load(bundle / "example.npz") as content:
        scores = content["lava_out"].mean(0)
    labels = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert labels == ["abcdefghij"[best] for best in scores.argmax(1)]


@LIVE
@pytest.mark.lava
@pytest.mark.parametrize("name", ["LIF, tau 3"])
def test_lava_computes_what_our_simulator_computes(name: str, tmp_path: Path) -> None:
    _write(tmp_path, _graph(name), spikes_in(batch=8))
    x = spikes_in(batch=8)
    expected = Loihi(tmp_path / "model.net").run(x, record=True)
    found = Lava(tmp_path / "model.net").run(x, record=True)
    assert all(torch.equal(found.records[n], expected.records[n]) for n in expected.records)
    assert torch.equal(found.output, expected.output)


def test_pooling_layers_are_merged_in_the_file(tmp_path: Path) -> None:
    net = student(NEURONS["IF"])
    assert any(isinstance(module, layer.AvgPool2d) for module in net.modules())
    written = _write(tmp_path, from_torch(net, IN_SHAPE, semantics=SEMANTICS), spikes_in())
    assert written.passes[0]["steps"] == ["merge 'block2.conv' with the weights beside it"]
