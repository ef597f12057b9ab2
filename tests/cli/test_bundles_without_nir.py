"""Bundles in which no NIR file is the network itself are opened all the same; ONNX of old sets and halves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.cli.main import exit_code
from snn_deploy.export.nir import write_hub
from snn_deploy.export.onnx_models import scan_model, step_model
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.open import open_source


def plan_of(name="LIF"):
    return make_plan(from_torch(student(NEURONS[name]), IN_SHAPE, semantics=Semantics(timesteps=6)))


@pytest.mark.parametrize(
    "extra", [["--to", "onnx"], ["--to", "onnx", "--opset", "20"], ["--to", "nir", "--for", "snntorch"]]
)
def test_the_network_travels_with_every_bundle(extra, tmp_path, capsys):
    plan, x = plan_of(), spikes_in(6, 5)
    assert write_hub(plan, tmp_path / "n.nir")
    np.savez(tmp_path / "x.npz", x=x.numpy())
    data = ["--data", str(tmp_path / "x.npz")]
    bundle = tmp_path / "b"
    assert exit_code(["export", str(tmp_path / "n.nir"), *extra, *data, "--out", str(bundle)]) == 0
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["hub"] == "hub.nir"
    assert "hub.nir" in manifest["sha256"]
    opened = open_source(bundle)
    assert read_semantics(opened.plan.graph) == read_semantics(plan.graph)
    assert torch.equal(Reference(opened.plan).run(x).output, Reference(plan).run(x).output)
    capsys.readouterr()
    assert exit_code(["simulate", str(bundle), *data, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["backend"] == ("onnxruntime" if "onnx" in extra else "reference")
    assert shown["spikes_differing"] == 0
    if "onnx" in extra:
        model = onnx.load(bundle / "model.step.onnx")
        assert model.opset_import[0].version == (20 if "20" in extra else 18)
    (bundle / "hub.nir").write_bytes(Path(tmp_path / "n.nir").read_bytes() + b"x")
    assert exit_code(["simulate", str(bundle), *data]) == 7


def test_operator_sets_that_are_not_known_are_refused(tmp_path):
    plan = plan_of()
    write_hub(plan, tmp_path / "n.nir")
    np.savez(tmp_path / "x.npz", x=spikes_in(6, 2).numpy())
    command = ["export", str(tmp_path / "n.nir"), "--to", "onnx", "--data", str(tmp_path / "x.npz")]
    assert exit_code([*command, "--opset", "12", "--out", str(tmp_path / "b")]) == 2


@pytest.mark.parametrize("make", [step_model, scan_model])
def test_public_converters_make_halves_of_our_models(make):
    convert = pytest.importorskip("onnxruntime.transformers.float16").convert_float_to_float16
    session = onnxruntime.InferenceSession(convert(make(plan_of())).SerializeToString())
    x = spikes_in(6, 2).numpy().astype(np.float16)
    if make is scan_model:
        found = session.run(None, {session.get_inputs()[0].name: x})[0]
        wanted = Reference(plan_of()).run(torch.from_numpy(x).float()).output.numpy()
        assert np.mean(found != wanted) < 0.05
        return
    fed = {v.name: np.zeros([2, *v.shape[1:]], np.float16) for v in session.get_inputs()}
    assert all(np.isfinite(y).all() for y in session.run(None, {**fed, "x": x[0]}))
