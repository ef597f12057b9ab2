"""A damaged event recording and two processes: both name it, and go on once it is put back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.processes import finish, start

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
train: {{epochs: 2, batch_size: 8, sync_batch_norm: true}}
"""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two classes of 10 recordings, with more events on the one or the other side."""
    root = tmp_path / "recordings"
    root.mkdir()
    lines = ["path,label,split"]
    rng = np.random.default_rng(0)
    for number in range(20):
        left = number % 2
        x = np.where(rng.random(60) < 0.8, rng.integers(0, 4, 60) + 4 * left, rng.integers(0, 8, 60))
        columns = {"x": x, "y": rng.integers(0, 8, 60), "t": np.sort(rng.integers(0, 1000, 60)), "p": x % 2}
        np.savez(root / f"{number}.npz", **columns)
        lines.append(f"{number}.npz,{'left' if left else 'right'},{'train' if number < 16 else 'test'}")
    (root / "recordings.csv").write_text("\n".join(lines) + "\n")
    return root


def train(folder: Path, recordings: Path) -> list[tuple[int, str, str]]:
    """Start or resume in two processes that share the recordings, and no disk else."""
    folder.mkdir(exist_ok=True)
    recipe = folder / "faults.yaml"
    recipe.write_text(RECIPE.format(root=recordings))
    command = ["-m", "snn_deploy", "distill", str(recipe), "--run-dir", "run", "--device", "cpu", "--resume"]
    return finish(start(command, 2, folder))


@pytest.mark.slow
def test_a_damaged_recording_is_named_by_both_and_training_starts_once_it_is_back(
    tmp_path: Path, recordings: Path
) -> None:
    sound = (recordings / "7.npz").read_bytes()
    (recordings / "7.npz").write_bytes(sound[:200])
    for code, _, said in train(tmp_path / "hurt", recordings):
        assert code == 7, said
        assert "7.npz" in said
    assert not list((tmp_path / "hurt").rglob("checkpoint.pt"))
    (recordings / "7.npz").write_bytes(sound)
    ended = train(tmp_path / "hurt", recordings)
    assert [code for code, *_ in ended] == [0, 0], ended
    assert (tmp_path / "hurt" / "0" / "run" / "STATUS").read_text() == "done\n"
