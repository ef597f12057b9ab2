"""Damaged and hostile files through the commands: one clear error each, with the exit code of its kind."""

from __future__ import annotations

import io
import json
import resource
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from support.damage import NET, NIR, ONNX, Damage
from support.fuzzing import network

from snn_deploy.cli.main import exit_code
from snn_deploy.core.files import sha256_file
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.net import Cuba, Dense, Input, LavaNet
from snn_deploy.graph.readers.io import write_nir

SECONDS, MEMORY = 20.0, 2**29


def in_hdf5(content: bytes, damage: Damage) -> bytes:
    stream = io.BytesIO(content)
    with h5py.File(stream, "a") as file:
        damage.change(file)
    return stream.getvalue()


def in_onnx(content: bytes, damage: Damage) -> bytes:
    model = onnx.load_model_from_string(content)
    damage.change(model)
    return bytes(model.SerializeToString())


def damaged(content: bytes, damage: Damage, change) -> bytes:
    return damage.change(content) if damage.raw else change(content, damage)


def assert_refused(arguments: list[str], damage: Damage, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends in time and memory, with the exit code and the text of the damage."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert exit_code([*arguments, "--json"]) == damage.code
    assert time.monotonic() - begun < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
    error = json.loads(capsys.readouterr().out)
    text = " ".join([error["error"], *(str(value) for p in error["problems"] for value in p.values())])
    assert damage.says, "every refusal says what is wrong"
    assert damage.says in text, text
    assert "Traceback" not in text


@pytest.mark.parametrize("name", NIR)
def test_nir(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.nir"
    write_nir(network(), path)
    path.write_bytes(damaged(path.read_bytes(), NIR[name], in_hdf5))
    assert_refused(["check", str(path), "--target", "onnx"], NIR[name], capsys)


@pytest.mark.parametrize("name", NET)
def test_net(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.net"
    weight = 2 * np.arange(-4, 8).reshape(4, 3)
    write_net(LavaNet((Input((3,)), Dense(weight, Cuba.of(4096, 128, 20))), ("dense",)), path)
    path.write_bytes(damaged(path.read_bytes(), NET[name], in_hdf5))
    assert_refused(["check", str(path), "--target", "lava"], NET[name], capsys)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    write_nir(network(), folder / "net.nir")
    np.savez(folder / "x.npz", x=np.ones((3, 2, 2, 4, 4), np.float32))
    export = ["export", str(folder / "net.nir"), "--to", "nir,onnx", "--data", str(folder / "x.npz")]
    assert exit_code([*export, "--out", str(folder / "bundle")]) == 0
    return folder


@pytest.mark.parametrize("name", ONNX)
def test_onnx(name: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever damages a file of a bundle can write its new hash into the manifest, too."""
    shutil.copytree(bundle / "bundle", tmp_path / "bundle")
    path, manifest = tmp_path / "bundle" / "model.scan.onnx", tmp_path / "bundle" / "manifest.json"
    path.write_bytes(damaged(path.read_bytes(), ONNX[name], in_onnx))
    content = json.loads(manifest.read_text())
    content["sha256"][path.name] = sha256_file(path)
    manifest.write_text(json.dumps(content))
    arguments = ["simulate", str(tmp_path / "bundle"), "--backend", "onnxruntime"]
    capsys.readouterr()
    assert_refused([*arguments, "--data", str(bundle / "x.npz")], ONNX[name], capsys)


def test_there_are_many() -> None:
    assert len(NIR) + len(ONNX) + len(NET) >= 70
