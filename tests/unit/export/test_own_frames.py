"""What the kits say of frames that are not what the input contract wants: one line, and no traceback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.contract import EventFrames, ImageSteps, make_contract, seen_values
from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics

T = 6
GOOD = (np.random.default_rng(0).random((T, 3, *IN_SHAPE)) < 0.5).astype(np.float32)
BINARY = EventFrames((*IN_SHAPE,), None, False, None, 1, None, "on-off", "time", None, binary=True)


def contract(made: object, seen: tuple[float, float, bool] = (0, 1, True)) -> dict:
    low, high, whole = seen
    values = seen_values(low, high, whole=whole)
    return {"input": make_contract(IN_SHAPE, T, made, values, trained=True).to_dict()}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    net = from_torch(student(NEURONS["LIF, v_reset -0.1"]), IN_SHAPE, semantics=Semantics(timesteps=T))
    for writer in (NirWriter(), OnnxWriter()):
        writer.write(net, folder, Calibration(spikes_in()))
    for kit in ("run_nir", "run_onnx", "own_frames", "float32_rounding"):
        shutil.copy(asset_dir("export") / f"{kit}.py", folder)
    (folder / "manifest.json").write_text(json.dumps(contract(BINARY)))
    return folder


def given(folder: Path, frames: np.ndarray, kit: str = "run_onnx") -> tuple[int, str, str]:
    np.save(folder / "frames.npy", frames)
    return started(folder, kit, "frames.npy")


def started(folder: Path, kit: str, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-W", "error", f"{kit}.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


WRONG: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "one sample": (lambda: GOOD[:, 0], "add the axis of samples: frames[:, None]"),
    "channels last": (lambda: np.moveaxis(GOOD, 2, -1), "numpy.moveaxis(frames, -1, 2)"),
    "samples first": (lambda: GOOD.swapaxes(0, 1), "T = 6: frames.swapaxes(0, 1)"),
    "flat": (lambda: GOOD.reshape(T, 3, -1), "due is [T, samples, "),
    "empty": (lambda: GOOD[:, :0], "holds 0 samples of 6 frames"),
    "text": (lambda: np.array(["a"]), "numbers are due"),
    "not finite": (lambda: np.where(GOOD > 0, np.nan, GOOD), "entries are not finite"),
    "counts": (lambda: GOOD * 7, "has entries from 0 to 7; due are 0 or 1 (see Input in README.md)"),
    "pixels": (lambda: GOOD / 2, "has entries from 0 to 0.5, not all whole; due are 0 or 1"),
}


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("kit", ["run_nir", "run_onnx"])
def test_frames_that_are_refused(bundle, kit, fault):
    make, said = WRONG[fault]
    code, out, err = given(bundle, make(), kit)
    assert code == 1 and not out
    assert err.startswith("FAIL frames.npy: ") and said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("kit", ["run_nir", "run_onnx"])
def test_files_that_are_no_frames(bundle, kit, tmp_path):
    for name, content, said in (
        ("nowhere.npy", None, "there is no such file"),
        ("noise.npy", b"noise", "cannot be read as an array of numbers"),
        ("short.npy", b"\x93NUMPY\x01\x00", "cannot be read"),
        ("bad.npz", b"PK\x03\x04", "cannot be read"),
    ):
        if content is not None:
            (bundle / name).write_bytes(content)
        code, out, err = started(bundle, kit, name)
        assert code == 1 and not out and said in err and len(err.splitlines()) == 1, err
    np.savez(bundle / "y.npz", y=GOOD)
    assert "holds no array 'x'" in started(bundle, kit, "y.npz")[2]
    np.savez(bundle / "x.npz", x=GOOD)
    code, out, _ = started(bundle, kit, "x.npz")
    assert code == 0 and len(out.splitlines()) == 3
    code, _, err = started(bundle, kit)
    assert code == 1 and "FAIL example.npz: there is no such file" in err
    shutil.copytree(bundle, tmp_path / "b")
    for model in (tmp_path / "b").glob("model.*"):
        model.unlink()
    code, out, err = started(tmp_path / "b", kit, "x.npz")
    assert code == 1 and "FAIL" in out + err


def test_what_is_said_and_done_all_the_same(bundle, tmp_path):
    """Another T, and values beyond those only seen, are a note; stated bounds are kept."""
    code, out, err = given(bundle, GOOD[:4])
    assert code == 0 and len(out.splitlines()) == 3
    assert err == "note: 4 frames a sample; the network is made for 6\n"
    shutil.copytree(bundle, tmp_path / "b")
    manifest = tmp_path / "b" / "manifest.json"
    manifest.write_text(json.dumps(contract(None, (0, 0.5, False))))
    code, out, err = given(tmp_path / "b", GOOD * 0.75)
    assert code == 0 and err == "note: entries from 0 to 0.75; the samples of the proof had 0 to 0.5\n"
    manifest.write_text(json.dumps(contract(ImageSteps("direct", (0.5, 0.5), (0.25, 0.25)))))
    assert given(tmp_path / "b", GOOD * 4 - 2)[0] == 0
    code, _, err = given(tmp_path / "b", GOOD * 255)
    assert code == 1 and "has entries from 0 to 255; due are -2 to 2" in err
    manifest.unlink()
    assert given(tmp_path / "b", GOOD * 255)[0] == 0, "without a manifest only the shape is known"
