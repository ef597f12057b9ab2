"""A network of the user's own, from one command to a proven bundle; and what is said where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import snn_deploy as sd
from snn_deploy.cli.main import exit_code
from snn_deploy.core.errors import DataError

CODE = """
from spikingjelly.activation_based import layer, neuron
from torch import nn


class Net(nn.Sequential):
    def __init__(self, width: int = 4, classes: int = 10):
        super().__init__(
            layer.Conv2d(2, width, 3, padding=1, bias=False, step_mode="m"),
            layer.BatchNorm2d(width, step_mode="m"),
            neuron.LIFNode(step_mode="m"),
            layer.AvgPool2d(2, step_mode="m"),
            layer.Flatten(step_mode="m"),
            layer.Linear(width * 9, classes, step_mode="m"),
            neuron.IFNode(step_mode="m"),
        )


def broken():
    raise ValueError("no such luck")


number = 3
"""
STEPS, SAMPLES, SHAPE = 4, 6, (2, 6, 6)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNN_DEPLOY_LAVA_PYTHON", str(tmp_path / "nowhere"))
    (tmp_path / "my_net.py").write_text(CODE)
    x = np.random.default_rng(0).random((STEPS, SAMPLES, *SHAPE)) < 0.5
    np.savez("test.npz", x=x.astype(np.float32), y=np.arange(SAMPLES))
    net = made(6)
    torch.save(net.state_dict(), "net.pt")
    return tmp_path


def made(width: int) -> nn.Module:
    space: dict = {}
    exec(CODE, space)
    torch.manual_seed(1)
    net = space["Net"](width)
    for parameter in net.parameters():
        parameter.data *= 4
    return net.eval()


def test_one_command_from_code_to_a_proven_bundle(folder, capsys):
    options = ["--weights", "net.pt", "--arg", "width=6", "--data", "test.npz", "--to", "nir,onnx"]
    assert exit_code(["export", "my_net.py:Net", *options]) == 0
    manifest = json.loads((folder / "my_net-bundle" / "manifest.json").read_text())
    assert manifest["verdict"] == "verified"
    first = manifest["parity"][0]
    assert (first["format"], first["runtime"], first["reference"]) == ("nir", "reference", "network")
    assert [layer["layer"] for layer in first["layers"]] == ["2", "6"]
    assert sum(layer["compared"] for layer in first["layers"]) == STEPS * SAMPLES * (6 * 36 + 10)
    origin = manifest["provenance"]
    assert origin["code"]["file"] == "my_net.py"
    assert origin["code"]["arguments"] == {"width": "6"}
    assert len(origin["code"]["sha256"]) == len(origin["weights"]["sha256"]) == 64
    assert "the whole sequence" in capsys.readouterr().err


def test_the_module_itself_is_the_judge(folder):
    bundle = sd.export_bundle(made(6), "b", formats=["nir"], data="test.npz")
    assert bundle.verified
    found = sd.simulate_network(made(6), data="test.npz")
    assert (found.against, found.spikes_differing) == ("module", 0)
    assert found.spikes_compared == STEPS * SAMPLES * (6 * 36 + 10)


class Held(torch.utils.data.Dataset):
    classes = tuple("abcdefghij")

    def __init__(self) -> None:
        with np.load("test.npz") as file:
            self.x, self.y = torch.from_numpy(file["x"]), file["y"]

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.x[:, i], int(self.y[i])


def test_data_that_a_program_holds(folder):
    """Arrays, a torch Dataset and a path are the samples of the file; images need their number of steps."""
    wanted = sd.simulate_network(made(6), data="test.npz")
    held = Held()
    for data in (Path("test.npz"), held, (held.x.transpose(0, 1), held.y), {"test": held}):
        found = sd.simulate_network(made(6), data=data)
        assert (found.rates, found.spikes_differing) == (wanted.rates, 0)
    bundle = sd.export_bundle(made(6), "b", formats=["nir"], data=held)
    assert bundle.verified and bundle.manifest["classes"] == list(Held.classes)
    images = held.x[0], held.y
    with pytest.raises(DataError, match="in how many steps"):
        sd.simulate_network(made(6), data=images)
    assert sd.simulate_network(made(6), data=images, own=sd.Own(timesteps=5)).timesteps == 5


def test_the_other_commands(folder, capsys):
    own = ["--weights", "net.pt", "--arg", "width=6"]
    assert exit_code(["check", "my_net.py:Net", *own, "--shape", "2x6x6", "--target", "nir"]) == 0
    assert exit_code(["simulate", "my_net.py:Net", *own, "--data", "test.npz"]) == 0
    assert "as in module" in capsys.readouterr().out
    assert exit_code(["report", "my_net.py:Net", *own, "--data", "test.npz", "--format", "md"]) == 0
    assert "whole sequence" in (folder / "my_net-report" / "report.md").read_text()
    assert exit_code(["show", "my_net.py:Net", "--arg", "width=6"]) == 0
    shown = capsys.readouterr().out
    assert "surrogate" not in shown and "2  LIFNode" in shown and "--shape" in shown
    assert exit_code(["show", "my_net.py:Net", "--shape", "2x6x6"]) == 0
    assert "2: LIF (4, 6, 6)" in capsys.readouterr().out
    np.save("e.npy", np.array([(1000, 1, 2, 1), (250000, 3, 3, 0)], [(c, "i8") for c in "txyp"]))
    own += ["--shape", "2x6x6", "--timesteps", "2"]
    assert exit_code(["stream", "my_net.py:Net", *own, "--events", "e.npy", "--window", "100000"]) == 0


DATA = """
import numpy as np


def load(samples=6):
    with np.load("test.npz") as file:
        return file["x"].swapaxes(0, 1)[:samples], file["y"][:samples]


def frames():
    x, y = load()
    return x[:, 0], y


def broken():
    return {}["x"]


class Lazy(list):
    pass
"""


def test_data_of_ones_own(folder, capsys):
    """Code that gives the samples of a file shows what the file shows, in every command that takes data."""
    (folder / "my_data.py").write_text(DATA)
    own = ["my_net.py:Net", "--weights", "net.pt", "--arg", "width=6"]
    said = []
    for data in ("test.npz", "my_data.py:load"):
        assert exit_code(["simulate", *own, "--data", data, "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0]["rates"] == said[1]["rates"] and said[1]["samples"] == SAMPLES
    assert "load of my_data.py, 6 samples of 4 frames" in " ".join(said[1]["notes"])
    assert exit_code(["export", *own, "--data", "my_data.py:load", "--to", "nir", "--out", "b"]) == 0
    assert exit_code(["report", *own, "--data", "my_data.py:load", "--format", "md", "--out", "r"]) == 0
    capsys.readouterr()
    assert exit_code(["simulate", "b", "--data", "my_data.py:load", "-o", "data.samples=3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 3
    images = ["simulate", *own, "--data", "my_data.py:frames"]
    assert exit_code([*images, "--timesteps", "5"]) == 0
    assert "6 x 5" in capsys.readouterr().out
    code, text = refused(images, capsys)
    assert code == 7 and "--timesteps 8" in text
    code, text = refused(["simulate", *own, "--data", "my_data.py:broken"], capsys)
    assert code == 2 and "(line 16): KeyError" in text
    code, text = refused(["simulate", *own, "--data", "my_data.py:Lazy"], capsys)
    assert code == 7 and "gives a Lazy, which is no data" in text


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "module.", "safetensors"])
def test_forms_of_weights(folder, wrapper):
    state, name = made(6).state_dict(), "w.pt"
    if wrapper == "safetensors":
        name = "w.safetensors"
        safetensors.torch.save_file(state, name)
    elif wrapper == "module.":
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, name)
    else:
        torch.save({wrapper: state, "epoch": 3} if wrapper else state, name)
    found = sd.simulate_network(
        "my_net.py:Net", data="test.npz", own=sd.Own(weights=name, arguments={"width": 6})
    )
    wanted = sd.simulate_network(made(6), data="test.npz")
    assert found.rates == wanted.rates


def refused(arguments: list[str], capsys) -> tuple[int, str]:
    code = exit_code(arguments)
    return code, " ".join(capsys.readouterr().err.split())


def test_arguments_that_do_not_fit(folder, capsys):
    code, said = refused(["show", "my_net.py:Net", "--arg", "widht=6"], capsys)
    assert code == 2 and "Did you mean 'width'?" in said
    code, said = refused(["show", "my_net.py:Nett"], capsys)
    assert code == 2 and "Did you mean 'Net'?" in said and "Net, broken" in said
    code, said = refused(["show", "my_net.py:broken"], capsys)
    assert code == 2 and "(line 20): ValueError: no such luck" in said
    code, said = refused(["show", "my_net.py:number"], capsys)
    assert code == 2 and "gives a int, not a torch module" in said
    code, said = refused(["show", "nowhere.py:Net"], capsys)
    assert code == 7 and "There is no file 'nowhere.py'" in said


def test_weights_that_do_not_fit(folder, capsys):
    own = ["simulate", "my_net.py:Net", "--data", "test.npz", "--weights"]
    code, said = refused([*own, "net.pt"], capsys)
    assert code == 7 and "has shape (6, 2, 3, 3)" in said and "--arg KEY=VALUE" in said
    state = made(4).state_dict()
    state["0.weigth"] = state.pop("0.weight")
    torch.save(state, "misspelt.pt")
    code, said = refused([*own, "misspelt.pt"], capsys)
    assert code == 7 and "Did you mean '0.weigth'?" in said and "Did you mean '0.weight'?" in said
    torch.save(nn.Linear(2, 2), "whole.pt")
    code, said = refused([*own, "whole.pt"], capsys)
    assert code == 7 and "torch.save(net.state_dict(), 'net.pt')" in said
    torch.save([1, 2], "list.pt")
    code, said = refused([*own, "list.pt"], capsys)
    assert code == 7 and "holds no state dict, but a list" in said
    Path("noise.pt").write_bytes(b"noise")
    code, said = refused([*own, "noise.pt"], capsys)
    assert code == 7 and "noise.pt" in said


def test_what_must_be_known(folder, capsys):
    code, said = refused(["check", "my_net.py:Net", "--target", "nir"], capsys)
    assert code == 2 and "--shape 2x34x34" in said
    code, said = refused(["simulate", "my_net.py:Net", "--data", "digits-dvs"], capsys)
    assert code == 2 and "--timesteps 8" in said
    code, said = refused(["check", "my_net.py:Net", "--target", "nir", "--shape", "2,6,6"], capsys)
    assert code == 2 and "whole numbers with x between" in said
    code, said = refused(["check", "my_net.py:Net", "--target", "nir", "--dt", "0.1"], capsys)
    assert code == 2 and "states its dt itself" in said
    sd.export_bundle(made(6), "b", formats=["nir"], data="test.npz")
    code, said = refused(["check", "b", "--target", "nir", "--weights", "net.pt"], capsys)
    assert code == 2 and "says its weights itself" in said
