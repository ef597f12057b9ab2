"""A full disk and a damaged recording while two processes train: nothing but the latest steps is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.processes import finish, start

resource = pytest.importorskip("resource")

RECIPE = """
name: faults
timesteps: 2
data: {{name: event-folder, root: {root}, height: 8, width: 8, validation: 0.3}}
student:
  name: spiking-cnn
  blocks: [{{channels: 4}}]
  neuron: {{kind: lif, tau: 2.0}}
  readout: linear
method: {{name: none}}
train: {{epochs: {epochs}, batch_size: 8, lr: 1.0e-2, sync_batch_norm: true, checkpoint_seconds: 0.05}}
"""
EPOCHS = 25


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two classes of 16 recordings, with more events on the one or the other side."""
    root = tmp_path / "recordings"
    root.mkdir()
    lines = ["path,label,split"]
    rng = np.random.default_rng(0)
    for number in range(40):
        left = number % 2
        x = np.where(rng.random(60) < 0.8, rng.integers(0, 4, 60) + 4 * left, rng.integers(0, 8, 60))
        columns = {"x": x, "y": rng.integers(0, 8, 60), "t": np.sort(rng.integers(0, 1000, 60)), "p": x % 2}
        np.savez(root / f"{number}.npz", **columns)
        lines.append(f"{number}.npz,{'left' if left else 'right'},{'train' if number < 32 else 'test'}")
    (root / "recordings.csv").write_text("\n".join(lines) + "\n")
    return root


def train(folder: Path, recordings: Path, *, resume: bool = False) -> list[subprocess.Popen[str]]:
    """Two processes that share the recordings, and no disk else."""
    recipe = folder / "faults.yaml"
    folder.mkdir(exist_ok=True)
    recipe.write_text(RECIPE.format(root=recordings, epochs=EPOCHS))
    more = ["--resume"] if resume else []
    command = ["-m", "snn_deploy", "distill", str(recipe), "--run-dir", "run", "--device", "cpu", *more]
    return start(command, 2, folder)


def wait_for(metrics: Path, records: int) -> None:
    deadline = time.monotonic() + 100
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < records:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def whole(tmp_path: Path, recordings: Path) -> bytes:
    """The metrics of a training without faults."""
    assert [code for code, *_ in finish(train(tmp_path / "whole", recordings))] == [0, 0]
    return (tmp_path / "whole" / "0" / "run" / "metrics.jsonl").read_bytes()


def goes_on(folder: Path, recordings: Path, whole: bytes) -> None:
    ended = finish(train(folder, recordings, resume=True))
    assert [code for code, *_ in ended] == [0, 0], ended
    assert "continued after step" in ended[0][2]
    assert (folder / "0" / "run" / "metrics.jsonl").read_bytes() == whole


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set by Linux only")
def test_a_disk_that_is_full_and_a_recording_that_gets_damaged(
    tmp_path: Path, recordings: Path, whole: bytes
) -> None:
    folder = tmp_path / "faulty"
    run = folder / "0" / "run"
    processes = train(folder, recordings)
    wait_for(run / "metrics.jsonl", 30)
    # No file may grow any more: what a full disk or quota does, without one.
    resource.prlimit(processes[0].pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    (code, _, said), (other_code, _, other_said) = finish(processes)
    assert code == 75, said
    assert other_code == 75, other_said
    assert "File too large" in said
    assert "with --resume" in said
    assert "with --resume" in other_said
    assert (run / "checkpoint.pt").stat().st_size > 1024

    kept = {
        path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != "log.txt"
    }
    sound = (recordings / "7.npz").read_bytes()
    (recordings / "7.npz").write_bytes(sound[:200])
    for code, _, said in finish(train(folder, recordings, resume=True)):
        assert code == 7
        assert "7.npz" in said
    assert kept == {name: (run / name).read_bytes() for name in kept}

    (recordings / "7.npz").write_bytes(sound)
    goes_on(folder, recordings, whole)
    epochs = [json.loads(line) for line in whole.splitlines() if b'"validation_accuracy"' in line]
    assert len(epochs) == EPOCHS
