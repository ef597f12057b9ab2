"""A student trained under the rules of a chip: every file says so, and the chip's file is the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.toy import toy_data, toy_recipe

from snn_deploy.api import Bundle, export_bundle
from snn_deploy.core.errors import UnsupportedError
from snn_deploy.distill.run import distill
from snn_deploy.export.base import Calibration
from snn_deploy.export.lava import LavaWriter
from snn_deploy.export.options import LavaOptions
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import Conv, Dense
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.models.chip_modules import ChipSynapses
from snn_deploy.models.load import load_student
from snn_deploy.recipes.run_folder import Run
from snn_deploy.tasks.open import open_source


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = toy_recipe(
        "target.bits=4",
        "target.epochs=2",
        "teacher=null",
        "method.name=none",
        "student.neuron.v_threshold=0.1",
    )
    made = Run.create(tmp_path_factory.mktemp("trained") / "run", recipe)
    distill(recipe, toy_data(), made, device="cpu")
    return made


@pytest.fixture(scope="module")
def samples(run: Run) -> Path:
    test = toy_data().test
    path = run.path.parent / "samples.npz"
    np.savez(path, x=test.batch(torch.arange(12)).numpy(), y=test.labels.numpy())
    return path


@pytest.fixture(scope="module")
def bundle(run: Run, samples: Path) -> Bundle:
    return export_bundle(run.path, run.path / "bundle", data=str(samples))


def parity(bundle: Bundle, runtime: str, reference: str) -> list[dict[str, Any]]:
    found = bundle.manifest["parity"]
    return [p for p in found if (p["runtime"], p["reference"]) == (runtime, reference)]


def test_the_chips_file_repeats_the_student_spike_for_spike(bundle: Bundle) -> None:
    (check,) = parity(bundle, "loihi", "student")
    assert check["exact"] and check["verdict"] == "equal"
    assert check["compared"] == 3 * 12 * (4 * 9 + 3) and check["differing"] == 0
    assert {layer["layer"] for layer in check["layers"]} == {"block1.neuron", "readout.neuron"}
    assert bundle.verified


def test_its_integers_are_those_of_the_student(run: Run, bundle: Bundle) -> None:
    student = load_student(run.student_file, run.recipe(), (2, 6, 6), 3)
    trained = [module.integers() for module in student.modules() if isinstance(module, ChipSynapses)]
    written = [
        layer for layer in read_net(bundle.path / "model.net").layers if isinstance(layer, Conv | Dense)
    ]
    for (weight, bias), layer in zip(trained, written, strict=True):
        np.testing.assert_array_equal(weight.detach().numpy(), layer.weight)
        assert (bias is None) == (layer.bias is None)
        if bias is not None:
            np.testing.assert_array_equal(bias.detach().numpy(), layer.bias)


def test_manifest_and_report_say_how_it_was_trained(bundle: Bundle) -> None:
    lava = bundle.manifest["formats"]["lava"]
    (quantised,) = [p for p in lava["passes"] if p["pass"] == "quantise"]
    assert (quantised["bits"], quantised["trained under the rules of"]) == (4, "loihi2")
    sentence = "4-bit integers that the network was trained with under the rules of loihi2"
    assert sentence in lava["approximations"][0]
    assert all(row["chosen by"] == "trained" for row in lava["tables"]["quantisation"])
    assert sentence in bundle.report.read_text() and sentence in (bundle.path / "README.md").read_text()
    for name in ("nir", "onnx"):
        assert any("does not truncate" in s for s in bundle.manifest["formats"][name]["approximations"])


def test_formats_of_real_numbers_hold_the_same_network_in_real_numbers(bundle: Bundle) -> None:
    exact = parity(bundle, "reference", "network") + parity(bundle, "onnxruntime", "network")
    assert len(exact) == 3 and all(p["exact"] and p["verdict"] in {"equal", "ties only"} for p in exact)
    drift = parity(bundle, "reference", "student") + parity(bundle, "onnxruntime", "student")
    assert len(drift) == 2
    for check in drift:
        assert not check["exact"] and check["verdict"] in {"equal", "approximate"}
        assert check["accuracy"] == check["accuracy_reference"]


def test_other_bits_are_refused(run: Run, samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        export_bundle(run.path, tmp_path / "out", formats=("lava",), bits=6, data=str(samples))
    (problem,) = caught.value.problems
    assert "trained as 4-bit integers for loihi2; 6 bits" in problem.what
    assert "target.bits=6" in problem.try_instead
    assert LavaWriter(LavaOptions(bits=4)).check(open_source(run.path).plan.graph) == []


def test_its_nir_file_gives_the_same_integers(bundle: Bundle, tmp_path: Path) -> None:
    LavaWriter(LavaOptions()).write(
        read_nir(bundle.path / "model.nir"), tmp_path, Calibration(torch.rand(3, 8, 2, 6, 6).round())
    )
    ours, again = (read_net(folder / "model.net").layers for folder in (bundle.path, tmp_path))
    for one, other in zip(ours, again, strict=True):
        if isinstance(one, Conv | Dense):
            np.testing.assert_array_equal(one.weight, other.weight)
            np.testing.assert_array_equal(one.neuron.threshold, other.neuron.threshold)


def test_weights_that_were_changed_since_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    graph = read_nir(bundle.path / "model.nir")
    graph.nodes["block1.conv"].weight[0, 0, 0, 0] += 0.01
    with pytest.raises(UnsupportedError) as caught:
        LavaWriter(LavaOptions()).write(graph, tmp_path, Calibration(torch.rand(3, 8, 2, 6, 6).round()))
    (problem,) = caught.value.problems
    assert problem.where == "block1.neuron" and "no 4-bit integers" in problem.what
