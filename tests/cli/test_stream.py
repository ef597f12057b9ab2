"""``stream`` on a file, on standard input, and going on after a kill."""

from __future__ import annotations

import io
import json
import re
import sys

import numpy as np
import pytest
import torch
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.cli.main import exit_code
from snn_deploy.data.formats import cameras
from snn_deploy.data.formats.base import Columns
from snn_deploy.data.formats.cameras import Camera
from snn_deploy.data.formats.pipes import RECORD
from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import NirWriter
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.tasks.stream import Session

STEPS = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    semantics = Semantics(timesteps=STEPS, classes=tuple("abcdefghij"))
    NirWriter().write(
        from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=semantics), folder, Calibration(spikes_in())
    )
    return folder / "model.nir"


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(0)
    count = 3000
    t = np.sort(rng.integers(0, 100 * STEPS * 4, count))
    t[0] = 0
    x, y, p = (rng.integers(0, limit, count) for limit in (*reversed(IN_SHAPE[1:]), 2))
    return {"x": x, "y": y, "t": t, "p": p}


@pytest.fixture
def recording(columns, tmp_path):
    np.savez(tmp_path / "recording.npz", **columns)
    return tmp_path / "recording.npz"


def feed(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def decisions(text: str) -> list[str]:
    return re.findall(r"^sample \d+  decision  \w", text, re.MULTILINE)


def test_a_file_and_standard_input_give_the_same_lines(model, columns, recording, capsys, monkeypatch):
    assert exit_code(["stream", str(model), "--events", str(recording), "--window", "100"]) == 0
    from_file = capsys.readouterr().out
    assert len(decisions(from_file)) == 4
    assert re.search(r"24 steps; network per step: p50 [\d,]+ us, p99 [\d,]+ us, worst [\d,]+ us", from_file)
    table = np.stack([columns[name] for name in "txyp"], 1)
    text = "# t,x,y,p\n" + "\n".join(",".join(map(str, row)) for row in table)
    feed(monkeypatch, text.encode())
    assert exit_code(["stream", str(model), "--events", "-", "--window", "100"]) == 0
    assert decisions(capsys.readouterr().out) == decisions(from_file)
    records = np.zeros(len(table), RECORD)
    for name in "txyp":
        records[name] = columns[name]
    feed(monkeypatch, records.tobytes())
    assert exit_code(["stream", str(model), "--events", "-", "--format", "bin", "--window", "100"]) == 0
    assert decisions(capsys.readouterr().out) == decisions(from_file)


def test_json_has_a_line_per_step(model, recording, capsys):
    assert exit_code(["stream", str(model), "--events", str(recording), "--window", "100", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["sample"], line["step"]) for line in lines] == [divmod(i, STEPS) for i in range(4 * STEPS)]
    assert all(line["final"] == (line["step"] == STEPS - 1) for line in lines)
    assert len(lines[0]["scores"]) == 10


def test_samples_end_early_when_asked_to(model, recording, capsys):
    command = ["stream", str(model), "--events", str(recording), "--window", "100", "--exit-at"]
    assert exit_code([*command, "0.05"]) == 0
    text = capsys.readouterr().out
    assert len(decisions(text)) == 4 * STEPS
    assert re.search(r"^sample 0  decision  \w  \(score .*, 1 steps\)$", text, re.MULTILINE)
    assert "samples ended after 1.0 of 6 steps on average (confidence 0.05)" in text
    assert exit_code([*command, "off"]) == 0
    text = capsys.readouterr().out
    assert len(decisions(text)) == 4 and "on average" not in text


def test_a_stream_goes_on_from_its_state(model, columns, recording, tmp_path, capsys, monkeypatch):
    command = ["stream", str(model), "--window", "100", "--every-step", "--events"]
    assert exit_code([*command, str(recording)]) == 0
    whole = capsys.readouterr().out.splitlines()
    np.savez(tmp_path / "half.npz", **{name: column[:1000] for name, column in columns.items()})
    state = ["--state", str(tmp_path / "state")]
    with monkeypatch.context() as killed:
        killed.setattr(Session, "finish", lambda self: [])  # the open frame was never complete
        assert exit_code([*command, str(tmp_path / "half.npz"), *state]) == 0
    first = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sample")]
    assert exit_code([*command, str(recording), *state]) == 0
    second = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sample")]
    assert first + second == [line for line in whole if line.startswith("sample")]


@pytest.mark.parametrize(
    ("arguments", "data", "code", "said"),
    [
        (["--events", "nowhere.npz", "--window", "9"], b"", 7, "no recording 'nowhere.npz'"),
        (["--events", "-"], b"", 2, "length of their own"),
        (["--events", "-", "--window", "9", "--sensor", "big"], b"", 2, "no size of a camera"),
        (["--events", "-", "--window", "9", "--format", "xml"], b"", 2, "csv or bin"),
        (["--events", "-", "--window", "9"], b"1,2,3\n", 7, "line 1 is no event"),
        (["--events", "-", "--window", "9"], b"1,2,3,99999999999999999999999\n", 7, "64 bits"),
        (["--events", "-", "--window", "9"], b"1,500,3,1\n", 7, "damaged"),
        (["--events", "-", "--window", "9", "--format", "bin"], b"12345", 7, "ends within an event"),
        (["--events", "-", "--window", "9", "--backend", "lava"], b"", 2, "cannot take one frame"),
        (["--events", "-", "--window", "9", "--exit-at", "2"], b"", 2, "cannot be reached"),
        (["--events", "-", "--window", "9", "--exit-at", "early"], b"", 2, "0.9, or off, not 'early'"),
    ],
)
def test_what_is_wrong_is_said(model, arguments, data, code, said, monkeypatch, capsys):
    feed(monkeypatch, data)
    assert exit_code(["stream", str(model), *arguments]) == code
    assert said in " ".join(capsys.readouterr().err.split())


def test_an_empty_stream_says_so(model, monkeypatch, capsys):
    feed(monkeypatch, b"")
    assert exit_code(["stream", str(model), "--events", "-", "--window", "9"]) == 0
    assert "less than one frame" in capsys.readouterr().out


@pytest.mark.parametrize("stopped", [False, True])
def test_a_camera(model, recording, columns, stopped, monkeypatch, capsys):
    """A camera gives the decisions of its recording; Ctrl-C ends it in good order."""
    arguments = [
        "stream",
        str(model),
        "--window",
        "100",
        "--sensor",
        f"{IN_SHAPE[1]}x{IN_SHAPE[2]}",
        "--json",
    ]
    assert exit_code([*arguments, "--events", str(recording)]) == 0
    due = [json.loads(line)["scores"] for line in capsys.readouterr().out.splitlines()]

    def parts():
        for first in range(0, len(columns["t"]), 250):
            yield Columns(*(columns[name][first : first + 250] for name in "xytp"))
        if stopped:
            raise KeyboardInterrupt

    camera = Camera(*IN_SHAPE[1:], parts())
    monkeypatch.setattr(cameras, "open_camera", lambda name: camera)
    assert exit_code([*arguments, "--events", "camera:dv"]) == 0
    assert [json.loads(line)["scores"] for line in capsys.readouterr().out.splitlines()] == due


def test_columns_of_a_recording_are_named(model, columns, recording, tmp_path, capsys):
    command = ["stream", str(model), "--window", "100", "--events"]
    assert exit_code([*command, str(recording)]) == 0
    wanted = decisions(capsys.readouterr().out)
    table = np.stack([columns["p"], columns["x"], columns["y"], columns["t"]], 1)
    np.save(tmp_path / "table.npy", table)
    named = ["-o", "data.columns=[p, x, y, t]"]
    assert exit_code([*command, str(tmp_path / "table.npy"), *named]) == 0
    assert decisions(capsys.readouterr().out) == wanted
    others = {"column": columns["x"], "row": columns["y"], "sign": columns["p"], "when": columns["t"] * 1000}
    np.savez(tmp_path / "named.npz", **others)
    named = ["-o", "data.columns={x: column, y: row, p: sign, t: when}", "-o", "data.time_unit=ns"]
    assert exit_code([*command, str(tmp_path / "named.npz"), *named]) == 0
    assert decisions(capsys.readouterr().out) == wanted


def test_the_options_of_frames_can_be_stated(model, recording, capsys):
    stated = ["stream", str(model), "--events", str(recording), "-o", "data.window=100"]
    assert exit_code(stated) == 0
    assert len(decisions(capsys.readouterr().out)) == 4
    assert exit_code([*stated, "-o", "data.binning=count"]) == 0
    assert len(decisions(capsys.readouterr().out)) == 5
    columns = ("data.colums=[x]", "data.columns=3", "data.columns=[x, y]", "data.columns={x: column}")
    for wrong in (*columns, "timesteps=3", "data.binning=often"):
        assert exit_code([*stated, "-o", wrong]) == 2
        assert "cannot be read so" in " ".join(capsys.readouterr().err.split())


def test_a_clock_set_back_is_refused_or_goes_on(model, columns, tmp_path, capsys):
    """As everywhere else: up to 500 us late is sorted, more is a restart."""
    command = ["stream", str(model), "--window", "100", "--events"]
    order = np.arange(3000).reshape(-1, 2)[:, ::-1].ravel()
    np.savez(tmp_path / "jitter.npz", **{name: column[order] for name, column in columns.items()})
    np.savez(tmp_path / "sorted.npz", **columns)
    assert exit_code([*command, str(tmp_path / "sorted.npz")]) == 0
    wanted = decisions(capsys.readouterr().out)
    assert exit_code([*command, str(tmp_path / "jitter.npz")]) == 0
    text = capsys.readouterr().out
    assert decisions(text) == wanted
    assert "left out" not in text
    twice = {name: np.concatenate([column, column]) for name, column in columns.items()}
    np.savez(tmp_path / "twice.npz", **twice)
    assert exit_code([*command, str(tmp_path / "twice.npz")]) == 7
    assert "data.clock=continue" in " ".join(capsys.readouterr().err.split())
    assert exit_code([*command, str(tmp_path / "twice.npz"), "-o", "data.clock=continue"]) == 0
    assert len(decisions(capsys.readouterr().out)) == 8
