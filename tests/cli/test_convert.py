"""An ANN, from two commands to a proven bundle: a torch CNN, an ONNX CNN, and a run's teacher."""

from __future__ import annotations

import inspect
import io
import json
import re
import warnings
from pathlib import Path

import html5lib
import numpy as np
import pytest
import torch
from support.anns import PlainNet, images, trained
from support.tiny_runs import write_recipe

import snn_deploy as sd
from snn_deploy.cli.main import exit_code

CODE = f"""
from torch import nn
from torch.nn import functional


{inspect.getsource(PlainNet).replace("PlainNet", "Net")}

class Smooth(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(400, 4))
"""
FEW = ("--sweep", "4", "--timesteps", "4", "--images", "128", "--samples", "120")


@pytest.fixture(scope="module")
def network():
    return trained(PlainNet)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", str(tmp_path / "nowhere"))
    (tmp_path / "my_net.py").write_text(CODE)
    torch.save(network.state_dict(), "net.pt")
    for name, count, seed in (("train", 200, 11), ("test", 120, 12)):
        x, y = images(count, seed=seed)
        np.savez(f"{name}.npz", x=x[None].numpy(), y=y.numpy())
    return tmp_path


DATA = ("--data", "test.npz", "--calibration", "train.npz")


def proven(out: str) -> dict:
    """The manifest after ``snn-deploy export out``, proven in ONNX Runtime and the reference simulator."""
    command = ["export", out, "--to", "nir,onnx", "--data", "test.npz", "--allow", "reset-in-metadata"]
    assert exit_code([*command, "--samples", "24"]) == 0
    manifest = json.loads(Path(out, "bundle", "manifest.json").read_text())
    assert manifest["verdict"] == "verified"
    assert {p["runtime"] for p in manifest["parity"]} >= {"reference", "onnxruntime"}
    for parity in manifest["parity"]:
        assert parity["verdict"] == "equal"
        assert sum(layer["differing"] for layer in parity["layers"]) == 0
    assert manifest["semantics"]["start"] == "zero"
    assert manifest["timesteps"] == 4
    assert any("start at 0" in text for text in manifest["formats"]["nir"]["approximations"])
    return manifest


def test_a_torch_network_in_two_commands(folder, capsys):
    assert exit_code(["convert", "my_net.py:Net", "--weights", "net.pt", *DATA, *FEW]) == 0
    said = capsys.readouterr().out
    assert re.search(r"next: +snn-deploy export Net-snn --to nir,onnx --allow reset-in-metadata", said)
    content = json.loads(Path("Net-snn", "certificate.json").read_text())
    assert content["accuracy"] >= 0.97
    (row,) = content["sweep"]
    assert row["spiking"] >= content["accuracy"] - 0.05
    assert row["sops"] > 0 < content["macs"]
    assert content["ann"]["code"]["name"] == "Net"
    assert any("max-pool-or" in text for text in content["lost"])
    manifest = proven("Net-snn")
    right = [p["accuracy"] for p in manifest["parity"]]
    assert min(right) >= 0.9


def test_an_onnx_network_in_two_commands(folder, network):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(2, 1, 12, 12),), stream, opset_version=17, dynamo=False)
    (folder / "net.onnx").write_bytes(stream.getvalue())
    assert exit_code(["convert", "net.onnx", "--out", "snn", *DATA, *FEW, "--max-pool", "average"]) == 0
    proven("snn")
    assert exit_code(["report", "snn", "--data", "test.npz", "--samples", "8", "--out", "page"]) == 0
    report = json.loads(Path("page", "report.json").read_text())
    assert report["header"]["kind"] == "conversion"
    assert [row["role"] for row in report["accuracies"]] == ["teacher", "student"]
    assert report["conversion"]["timesteps"] == 4
    html = Path("snn", "bundle", "report", "report.html").read_text()
    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    (section,) = [part for part in page.iter("section") if part.get("id") == "conversion"]
    words = " ".join(section.itertext())
    assert "spiking network" in words and "Kept exactly" in words
    assert "max-pool-average" in " ".join(page.itertext())
    assert [len(list(table.iter("tr"))) for table in section.iter("table")] == [2, 4]
    assert exit_code(["simulate", "snn/bundle", "--backend", "onnxruntime", "--data", "test.npz"]) == 0


def test_the_api_takes_a_module(folder, network):
    found = sd.convert_network(
        network, "api", data="test.npz", calibration="train.npz", timesteps=4, sweep=(2,), samples=50
    )
    assert [row.timesteps for row in found.certificate.sweep] == [2, 4]
    assert found.certificate.chosen.timesteps == 4
    assert found.certificate.samples == 50
    picture = (found.path / "certificate.svg").read_text()
    assert picture.startswith("<svg") and picture.count("<circle") == 4
    page = (found.path / "certificate.md").read_text()
    assert "| 4 * |" in page


def test_what_is_refused(folder, capsys):
    def said(*arguments: str) -> tuple[int, str]:
        code = exit_code(["convert", *arguments])
        return code, " ".join(capsys.readouterr().err.split())

    code, text = said("my_net.py:Smooth", *DATA)
    assert code == 3 and "silu" in text and "fine-tune" in text
    code, text = said("my_net.py:Net", "--data", "test.npz")
    assert code == 2 and "--calibration train.npz" in text
    code, text = said("my_net.py:Net")
    assert code == 2 and "--data" in text
    code, text = said("my_net.py:Net", *DATA, "--sweep", "2,x")
    assert code == 2 and "--sweep" in text
    (folder / "Net-snn").mkdir()
    (folder / "Net-snn" / "mine").touch()
    code, text = said("my_net.py:Net", *DATA)
    assert code == 2 and "not overwritten" in text
    x, y = images(4)
    np.savez("moving.npz", x=torch.stack([x, x.flip(3)]).numpy(), y=y.numpy())
    code, text = said("my_net.py:Net", "--data", "moving.npz", "--calibration", "train.npz", "--out", "b")
    assert code == 2 and "sees one image" in text


def test_a_changed_network_is_refused(folder, network, capsys):
    arguments = {"data": "test.npz", "calibration": "train.npz", "timesteps": 2, "sweep": (), "samples": 20}
    sd.convert_network(network, "c", **arguments)
    certificate = Path("c", "certificate.json")
    certificate.write_text(certificate.read_text().replace('"spiking": ', '"spiking": 0.9e0 * 0 +', 1))
    assert exit_code(["report", "c", "--data", "test.npz"]) == 7
    assert "damaged" in capsys.readouterr().err


def test_the_teacher_of_a_run(run_dir, capsys):
    """The quickstart's teacher sees frames of a camera: no still image to convert."""
    assert exit_code(["convert", str(run_dir), "--out", str(run_dir / "snn")]) == 2
    assert "sees one image" in " ".join(capsys.readouterr().err.split())


def test_the_teacher_of_a_run_of_images_knows_its_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code(["distill", str(write_recipe(tmp_path)), "--run-dir", "run"]) == 0
    command = ["convert", "run", "--out", "snn", "--timesteps", "4", "--sweep", "4", "--images", "24"]
    assert exit_code([*command, "--json"]) == 0
    said = capsys.readouterr().out
    certificate = json.loads(said[said.index("{\n") :])
    assert certificate["data"]["name"] == "image-folder"
    assert certificate["calibration"]["images"] == 24
    assert certificate["ann"]["run"] == "tiny"
    assert exit_code(["export", "snn", "--to", "onnx", "--samples", "4"]) == 0
    manifest = json.loads(Path("snn", "bundle", "manifest.json").read_text())
    assert manifest["verdict"] in {"verified", "not verified"}
    assert all(p["verdict"] == "equal" for p in manifest["parity"] if p["verdict"] != "not run")
    assert manifest["provenance"]["data"]["name"] == "image-folder"
    assert exit_code(["simulate", "snn/bundle", "--backend", "onnxruntime", "--samples", "2"]) == 0
    assert exit_code(["convert", "snn", "--out", "again"]) == 2
