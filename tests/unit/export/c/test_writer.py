"""The format ``c`` from a hub graph to a folder that a C compiler alone can run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from embedded.boards import BOARDS, missing_tools, run
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.early_exit import confidence, exit_steps
from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.files import write_json
from snn_deploy.export.base import Calibration
from snn_deploy.export.c.runtime import CProgram
from snn_deploy.export.c.writer import CWriter
from snn_deploy.export.options import COptions
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.loihi import Loihi

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
KIT = ("run_c.sh", "main.c", "early_exit.h", "Makefile")
CLASSES = tuple("abcdefghij")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    graph = from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics(timesteps=6, classes=CLASSES))
    CWriter(COptions()).write(graph, folder, Calibration(spikes_in()))
    for name in KIT:
        shutil.copy(asset_dir("export") / "c" / name, folder)
    return folder


def shell(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in an environment that knows a compiler and nothing else."""
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_program_is_the_integer_network(bundle):
    x = spikes_in()
    expected = Loihi(bundle / "model.net").run(x, record=True)
    found = CProgram(bundle / "model.net").run(x, record=True)
    for name, spikes in expected.records.items():
        assert torch.equal(found.records[name], spikes), name
    assert torch.equal(found.output, expected.output)
    assert all(bool(spikes.any()) for spikes in expected.records.values())


def test_the_kit_needs_a_compiler_and_nothing_else(bundle):
    done = shell(bundle, "sh", "run_c.sh")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PASS model.c: 0 of 120 outputs differ")
    made = shell(bundle, "make", "check", "clean")
    assert made.returncode == 0, made.stderr
    assert "PASS" in made.stdout


def test_the_kit_notices_another_output(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "b")
    content = bytearray((bundle / "example.bin").read_bytes())
    content[-4] ^= 1
    (tmp_path / "b" / "example.bin").write_bytes(content)
    done = shell(tmp_path / "b", "sh", "run_c.sh")
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL model.c: 1 of 120 outputs differ")


def test_the_kit_classifies_frames_and_says_when_they_end_early(bundle, tmp_path):
    x = spikes_in()
    frames = x.flatten(2).swapaxes(0, 1).numpy().astype(np.uint8)
    (tmp_path / "frames").write_bytes(frames.tobytes())
    done = shell(bundle, "sh", "run_c.sh", str(tmp_path / "frames"), str(len(x)))
    assert done.returncode == 0, done.stderr
    scores = Loihi(bundle / "model.net").run(x).output.sum(0).flatten(1)
    named = [CLASSES[int(best)] for best in scores.argmax(1)]
    assert [line.split(": ")[1].split(" ")[0] for line in done.stdout.splitlines()] == named
    (tmp_path / "frames").write_bytes(frames.tobytes()[:-3])
    done = shell(bundle, "sh", "run_c.sh", str(tmp_path / "frames"), str(len(x)))
    assert done.returncode == 2
    assert "ends in the middle of a sample" in done.stderr


@pytest.mark.parametrize(("at", "scale"), [(0.13, 1.0), (0.5, 8.0), (1e-3, 2.0)])
def test_the_kit_ends_samples_by_the_rule_of_the_manifest(bundle, at, scale, tmp_path):
    """Against the rule in float64 on our simulator's outputs; frames after the end are passed over."""
    x = spikes_in()
    frames = x.flatten(2).swapaxes(0, 1).numpy().astype(np.uint8)
    shutil.copytree(bundle, tmp_path / "b")
    (tmp_path / "frames").write_bytes(frames.tobytes())
    write_json(
        tmp_path / "b" / "manifest.json", {"name": "n", "exit": {"at": at, "scale": scale, "samples": 0}}
    )
    done = shell(tmp_path / "b", "sh", "run_c.sh", str(tmp_path / "frames"))
    assert done.returncode == 0, done.stderr
    outputs = Loihi(bundle / "model.net").run(x).output.flatten(2).double()
    sums = outputs.cumsum(0)
    ends = exit_steps(confidence(sums.numpy(), scale / len(x)), at)
    expected = [(CLASSES[int(sums[end, n].argmax())], int(end) + 1) for n, end in enumerate(ends)]
    found = [
        re.fullmatch(r"sample \d+: (\w) \(.*\) after (\d) steps", line) for line in done.stdout.splitlines()
    ]
    assert [(match[1], int(match[2])) for match in found] == expected
    assert shell(tmp_path / "b", "sh", "run_c.sh").stdout.startswith("PASS")


def test_the_kit_refuses_what_the_network_does_not_take(bundle, tmp_path):
    """By number, before a decision is made of it; the number of steps is the network's own by default."""
    frames = spikes_in().flatten(2).swapaxes(0, 1).numpy().astype(np.uint8)
    (tmp_path / "frames").write_bytes(frames.tobytes())
    own, stated = (shell(bundle, "sh", "run_c.sh", str(tmp_path / "frames"), *steps) for steps in ([], ["6"]))
    assert own.returncode == 0 and own.stdout == stated.stdout
    frames[1, 2, 5] = 7
    (tmp_path / "frames").write_bytes(frames.tobytes())
    done = shell(bundle, "sh", "run_c.sh", str(tmp_path / "frames"))
    assert done.returncode == 2 and done.stdout.count("sample") == 1
    assert done.stderr == "entry 5 of frame 8 is 7; due are 0 to 1\n"


def test_what_the_chip_cannot_say_c_refuses_too(tmp_path):
    graph = from_torch(student(NEURONS["IF, soft reset"]), IN_SHAPE, semantics=Semantics(timesteps=6))
    with pytest.raises(UnsupportedError):
        CWriter(COptions()).write(graph, tmp_path, Calibration(spikes_in()))


@pytest.mark.skipif(bool(missing_tools()), reason=f"needs {', '.join(missing_tools())}")
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.processor)
def test_a_microcontroller_gives_the_same_outputs(board, bundle):
    result = run(bundle, board)
    assert (result.differing, result.outputs) == (0, 120)
    assert 0 < result.mean <= result.worst
    words = (bundle / "model.h").read_text().partition(" bytes of RAM")[0].split()
    assert abs(int(words[-1].replace(",", "")) - result.ram) < 16  # but for padding
