"""``.net`` files as they are, from any source: simulate, check, count, report, and other formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.lava_nets import random_input, random_net

from snn_deploy.cli.main import exit_code
from snn_deploy.core.registry import BACKENDS
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.net import Conv, Cuba, Dense, LavaNet
from snn_deploy.simulate.lava.environment import lava_environment
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.tasks import simulate as simulating

STEPS, SAMPLES = 8, 6


@pytest.fixture
def net() -> LavaNet:
    return random_net(2)


@pytest.fixture
def file(net: LavaNet, tmp_path: Path) -> Path:
    write_net(net, tmp_path / "foreign.net")
    return tmp_path / "foreign.net"


@pytest.fixture
def data(net: LavaNet, tmp_path: Path) -> str:
    x = random_input(net, 2, STEPS, SAMPLES).astype(np.float32)
    output = Loihi(net).run(torch.from_numpy(x)).output
    labels = output.mean(0).flatten(1).argmax(1).numpy()
    labels[0] += 1
    np.savez(tmp_path / "data.npz", x=x, y=labels)
    return str(tmp_path / "data.npz")


def _json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict:
    capsys.readouterr()
    assert exit_code([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_it_runs_in_our_simulator_unless_told_otherwise(
    net: LavaNet, file: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _json(capsys, "simulate", str(file), "--data", data)
    assert (found["backend"], found["against"], found["same_decision"]) == ("loihi", None, None)
    assert found["accuracy"] == pytest.approx((SAMPLES - 1) / SAMPLES)
    records = Loihi(net).run(torch.from_numpy(np.load(data)["x"]), record=True).records
    assert {row["layer"]: row["spikes"] for row in found["layers"]} == {
        name: int(spikes.sum()) for name, spikes in records.items()
    }


def test_its_graph_in_real_numbers_is_compared_with_our_simulator(
    file: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _json(capsys, "simulate", str(file), "--data", data, "--backend", "reference")
    assert found["against"] == "loihi"
    assert found["spikes_compared"] > 0
    assert found["spikes_differing"] < 0.05 * found["spikes_compared"]


def test_the_table_names_the_first_spike_that_differs(
    net: LavaNet, file: Path, data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(Loihi):
        def run(self, x, **options):
            trace = super().run(x, **options)
            spikes = trace.records[net.names[0]].clone()
            spikes[4, 2].view(-1)[1] = 1 - spikes[4, 2].view(-1)[1]
            return replace(trace, records=trace.records | {net.names[0]: spikes})

    entry = BACKENDS.get("loihi")
    fakes = {"lava": replace(entry, factory=Wrong), "loihi": entry}
    monkeypatch.setattr(simulating, "BACKENDS", SimpleNamespace(get=fakes.__getitem__))
    arguments = ["simulate", str(file), "--data", data, "--backend", "lava", "--per-layer"]
    assert exit_code(arguments) == 4
    shown = capsys.readouterr()
    (row,) = [line for line in shown.out.splitlines() if line.startswith(net.names[0])]
    assert row.split()[-4:] == ["1", "2,", "4,", "1"]
    assert f"1 spikes differ between Lava and our simulator, first in '{net.names[0]}'" in shown.err
    assert "at step 4 of sample 2, neuron 1" in shown.err.replace("\n", " ")


@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
def test_every_layer_is_probed_in_lava(
    net: LavaNet, file: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _json(capsys, "simulate", str(file), "--data", data, "--backend", "lava", "--samples", "2")
    assert found["against"] == "loihi"
    assert [row["layer"] for row in found["layers"]] == list(net.names)
    assert all(row["differing"] == 0 and row["first"] is None for row in found["layers"])
    assert sum(row["spikes"] for row in found["layers"]) > 0


def test_check_judges_the_stored_integers(
    file: Path, net: LavaNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = _json(capsys, "check", str(file), "--target", "loihi1,lava,nir", code=0)
    assert [(a["target"], a["verdict"]) for a in answers] == [
        ("loihi1", "yes"),
        ("loihi1", answers[1]["verdict"]),
        ("lava", "yes"),
        ("nir", "yes"),
    ]
    first = next(layer for layer in net.layers if isinstance(layer, Conv | Dense))
    odd = replace(first, weight=first.weight * 2, neuron=Cuba.of(4096, 0, 140_000))
    layers = tuple(odd if layer is first else layer for layer in net.layers)
    write_net(replace(net, layers=layers), tmp_path / "wide.net")
    answers = _json(capsys, "check", str(tmp_path / "wide.net"), "--target", "loihi1", code=5)
    assert [a["verdict"] for a in answers] == ["yes", "does not fit"]
    assert any("vThMant 140000" in finding["found"] for finding in answers[1]["findings"])


def test_what_no_graph_can_say_is_still_simulated_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = random_net(1, "delays")
    endless = tuple(
        replace(layer, neuron=Cuba.of(1000, 0, 90)) if isinstance(layer, Conv | Dense) else layer
        for layer in net.layers
    )
    write_net(replace(net, layers=endless), tmp_path / "late.net")
    np.savez(tmp_path / "x.npz", x=random_input(net, 1, STEPS, SAMPLES).astype(np.float32))
    file, data = str(tmp_path / "late.net"), ["--data", str(tmp_path / "x.npz")]
    assert _json(capsys, "simulate", file, *data)["accuracy"] is None
    for command in (["simulate", file, "--backend", "reference"], ["report", file, "--out", str(tmp_path)]):
        assert exit_code([*command, *data]) == 3
        assert "currents or voltages without leak" in capsys.readouterr().err
    answers = _json(capsys, "check", file, "--target", "loihi2,nir", code=3)
    assert [a["verdict"] for a in answers] == ["yes", "cannot tell", "no"]


def test_delays_of_synapses_have_a_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = random_net(1, "delays")
    write_net(net, tmp_path / "late.net")
    np.savez(tmp_path / "x.npz", x=random_input(net, 1, STEPS, SAMPLES).astype(np.float32))
    command = ["simulate", str(tmp_path / "late.net"), "--backend", "reference"]
    assert exit_code([*command, "--data", str(tmp_path / "x.npz")]) == 0
    assert "100.000 % of" in capsys.readouterr().out


def test_report_and_other_formats(
    file: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert (
        exit_code(["report", str(file), "--data", data, "--out", str(out), "--profile", "loihi1-davies"]) == 0
    )
    assert "no rounding toward zero" in (out / "report.html").read_text()
    bundle = tmp_path / "bundle"
    arguments = ["export", str(file), "--data", data, "--out", str(bundle), "--samples", "4"]
    assert exit_code(arguments) == 2
    assert "is a file for Lava already" in capsys.readouterr().err
    assert exit_code([*arguments, "--to", "nir,onnx"]) == 0
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert {p["verdict"] for p in manifest["parity"] if p["exact"]} == {"equal"}
