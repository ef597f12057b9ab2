"""The stand-alone kits on a bundle's files, in a process of their own that cannot import snn_deploy."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from support.graphs import chain
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.assets import asset_dir
from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import NirOptions, OnnxOptions
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

KITS = ("run_nir", "run_onnx")
WITHOUT_US = (
    "import sys; sys.modules['snn_deploy'] = sys.modules['torch'] = None; import runpy; "
    "sys.argv = sys.argv[1:]; sys.path[0] = sys.argv[0].rpartition('/')[0]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    net = from_torch(
        student(NEURONS["LIF, v_reset -0.1"]),
        IN_SHAPE,
        semantics=Semantics(timesteps=6, classes=tuple("abcdefghij")),
    )
    x = spikes_in()
    expected = Reference(net).run(x).output
    every = OnnxOptions(models=("step", "scan", "unrolled", "step-int8"))
    for writer in (NirWriter(), OnnxWriter(every)):
        writer.write(net, folder, Calibration(x))
    outputs = {"nir_out": expected, "onnx_out": expected}
    outputs["onnx_step-int8_out"] = OnnxRuntime(folder / "model.step-int8.onnx").run(x).output
    np.savez(folder / "example.npz", x=x.numpy(), **{name: y.numpy() for name, y in outputs.items()})
    np.save(folder / "frames.npy", x.numpy())
    for kit in (*KITS, "own_frames", "float32_rounding"):
        shutil.copy(asset_dir("export") / f"{kit}.py", folder)
    return folder


def start(folder: Path, kit: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_US, str(folder / f"{kit}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("kit", KITS)
def test_passes_on_what_the_bundle_promises(kit, bundle):
    done = start(bundle, kit)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("PASS") and "0 of 180 outputs differ" in line for line in lines)
    assert len(lines) == (1 if kit == "run_nir" else 4)


@pytest.mark.parametrize("kit", KITS)
def test_fails_on_another_output(kit, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "b")
    with np.load(bundle / "example.npz") as example:
        content = dict(example)
    for name in content.keys() - {"x"}:
        content[name] = 1.0 - content[name]
    np.savez(tmp_path / "b" / "example.npz", **content)
    done = start(tmp_path / "b", kit)
    assert done.returncode == 1
    assert "FAIL" in done.stdout
    assert "180 of 180 outputs differ" in done.stdout


@pytest.mark.parametrize("kit", KITS)
def test_classifies_frames(kit, bundle):
    done = start(bundle, kit, str(bundle / "frames.npy"))
    assert done.returncode == 0, done.stderr
    with np.load(bundle / "example.npz") as example:
        best = example["nir_out"].mean(0).argmax(1)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["abcdefghij"[b] for b in best]


@pytest.mark.parametrize("kit", KITS)
def test_ends_samples_by_the_rule_of_the_manifest(kit, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "b")
    (tmp_path / "b" / "manifest.json").write_text(json.dumps({"exit": {"at": 0.5, "scale": 8.0}}))
    done = start(tmp_path / "b", kit, str(bundle / "frames.npy"))
    assert done.returncode == 0, done.stderr
    with np.load(bundle / "example.npz") as example:
        outputs = torch.from_numpy(example["nir_out"]).double()
    expected = []
    for sample in outputs.unbind(1):
        for step in range(len(sample)):
            scores = sample[: step + 1].sum(0) / len(sample)
            if float((8 * scores).softmax(0).max()) >= 0.5 or step == len(sample) - 1:
                expected.append((step + 1, "abcdefghij"[int(scores.argmax())]))
                break
    found = [re.fullmatch(r"(\w): .* \(after (\d+) of 6 steps\)", line) for line in done.stdout.splitlines()]
    assert [(int(match[2]), match[1]) for match in found] == expected
    assert len({step for step, _ in expected}) > 1


def test_requirements_are_what_the_kits_import():
    for kit, names in (("nir", {"h5py", "numpy"}), ("onnx", {"numpy", "onnxruntime"})):
        lines = (asset_dir("export") / f"requirements-{kit}.txt").read_text().split()
        assert {line.partition(">=")[0] for line in lines} == names


@pytest.mark.parametrize(("reader", "neuron"), [("sinabs", "LIF, soft reset"), ("spyx", "IF, soft reset")])
def test_files_for_one_reader_run_too(reader, neuron, tmp_path):
    """One value for a whole layer (sinabs), and dense weights for channels that come last (Spyx)."""
    net = from_torch(student(NEURONS[neuron]), IN_SHAPE, semantics=Semantics(timesteps=6))
    x = spikes_in()
    expected = Reference(net).run(x).output
    NirWriter(NirOptions(reader=reader, allow=("early-bias",))).write(net, tmp_path, Calibration(x))
    np.savez(tmp_path / "example.npz", x=x.numpy(), nir_out=expected.numpy())
    for kit in ("run_nir", "own_frames", "float32_rounding"):
        shutil.copy(asset_dir("export") / f"{kit}.py", tmp_path)
    done = start(tmp_path, "run_nir")
    assert done.returncode == 0, done.stderr
    assert "0 of 180 outputs differ" in done.stdout


@pytest.mark.parametrize("scale", [2.0**-20, 1.0, 2.0**10])
def test_a_tie_is_what_rounding_can_do_at_any_scale(scale, tmp_path):
    """Spikes exactly on the threshold of integer weights are no ties, however small."""
    weight, one = np.array([[1, 1, 0], [0, 1, 1]], np.float32) * np.float32(scale), np.ones(2, np.float32)
    fires = nir.IF(1e4 * one, 2 * np.float32(scale) * one, v_reset=0 * one)
    net = chain(nir.Linear(weight), fires, nir.Linear(np.eye(2, dtype=np.float32)), source=(3,), target=(2,))
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (6, 5, 3)).astype(np.float32))
    NirWriter().write(net, tmp_path, Calibration(x))
    expected = Reference(net).run(x).output.numpy()
    for factor, code in ((1.0, 0), (-1.0, 1)):
        np.savez(tmp_path / "example.npz", x=x.numpy(), nir_out=factor * expected)
        for kit in ("run_nir", "own_frames", "float32_rounding"):
            shutil.copy(asset_dir("export") / f"{kit}.py", tmp_path)
        assert start(tmp_path, "run_nir").returncode == code
