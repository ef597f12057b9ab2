"""A network of whole numbers to a bundle in micro-steps, which runs on the samples of the network itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer
from support.integer_nets import integer_graph
from torch import nn

from snn_deploy import api
from snn_deploy.core.errors import ConfigError, UnsupportedError
from snn_deploy.graph.passes.micro_steps.schedule import read_schedule
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.models.integer_neurons import IntegerNode
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.samples import load_samples


@pytest.fixture
def network(tmp_path: Path) -> tuple[Path, Path]:
    """A NIR file, and samples of spikes for it."""
    graph, x = integer_graph(5)
    write_nir(graph, tmp_path / "net.nir")
    labels = np.arange(x.shape[1]) % 4
    np.savez(tmp_path / "x.npz", x=x.numpy(), y=labels)
    return tmp_path / "net.nir", tmp_path / "x.npz"


def test_a_bundle_in_micro_steps_is_proven_and_takes_the_same_samples(network, tmp_path: Path) -> None:
    file, data = network
    bundle = api.export_bundle(
        file, tmp_path / "bundle", formats=("onnx", "lava"), micro_steps=True, data=str(data), lava_budget=60
    )
    rows = {(p["format"], p["runtime"]): p for p in bundle.manifest["parity"]}
    assert all(p["differing"] == 0 for p in rows.values() if p["verdict"] != "not run")
    facts = bundle.manifest["provenance"]["micro_steps"]
    assert facts["differing"] == 0
    assert facts["sops_numbers"] <= facts["sops_units"] <= facts["sops"]
    assert bundle.manifest["timesteps"] == facts["frames"]
    assert any("micro-steps" in line for line in bundle.manifest["provenance"]["assumed"])
    json.dumps(bundle.manifest)
    opened = open_source(bundle.path)
    schedule = read_schedule(opened.plan.graph)
    loaded = load_samples(opened, str(data), None)
    assert torch.equal(loaded.test.x, schedule.frames(torch.from_numpy(np.load(data)["x"])))
    assert read_semantics(opened.plan.graph).spikes == "one"


def test_a_data_set_is_read_in_the_steps_of_the_network(tmp_path: Path) -> None:
    """A file says T itself; in micro-steps its T is another."""
    net = nn.Sequential(
        layer.Flatten(step_mode="m"),
        layer.Linear(2 * 16 * 16, 10, step_mode="m"),
        IntegerNode(2, None, step_mode="m"),
    )
    write_nir(from_torch(net.eval(), (2, 16, 16), semantics=Semantics(timesteps=3)), tmp_path / "net.nir")
    how = {"formats": ("onnx",), "micro_steps": True, "data": "digits-dvs", "samples": 4}
    bundle = api.export_bundle(tmp_path / "net.nir", tmp_path / "bundle", **how)
    assert bundle.manifest["verdict"] == "verified"
    opened = open_source(bundle.path)
    schedule = read_schedule(opened.plan.graph)
    assert schedule.steps == 3
    assert load_samples(opened, "digits-dvs", 4).test.x.shape[0] == schedule.micro_steps


def test_inputs_between_whole_numbers_are_refused(network, tmp_path: Path) -> None:
    file, data = network
    content = np.load(data)
    np.savez(tmp_path / "real.npz", x=content["x"] * 0.37 + 0.1, y=content["y"])
    with pytest.raises(UnsupportedError, match="whole numbers, such as spikes"):
        api.export_bundle(
            file, tmp_path / "b", formats=("onnx",), micro_steps=True, data=str(tmp_path / "real.npz")
        )
    assert not (tmp_path / "b").exists()


def test_an_early_exit_of_micro_steps_is_refused(network, tmp_path: Path) -> None:
    file, data = network
    with pytest.raises(ConfigError, match="leave --exit-at or --micro-steps out"):
        api.export_bundle(
            file, tmp_path / "b", formats=("onnx",), micro_steps=True, data=str(data), exit_at=0.9
        )
