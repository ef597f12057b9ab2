"""What befalls one process of two, besides being killed (see ``test_processes``)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.processes import finish, start

TRAIN = """
import json, resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from snn_deploy.tasks import distill as task
from snn_deploy.cli import main
from snn_deploy.recipes.recipe import load_recipe

full_after = int(sys.argv[1])
distill = task.distill

def filling(*given, report, world, **named):
    def tell(event):
        if world.first and str(event).startswith(f"student epoch {full_after}/"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the kernel refuses longer files
        report(event)
    return distill(*given, report=tell, world=world, **named)

task.distill = filling
main.run(["distill", "recipe.yaml", "--run-dir", "run", "--resume", "--device", "cpu"])
"""

RECIPE = """
name: faulty
timesteps: 2
data: {{name: image-folder, root: {root}, size: 8, resize: 8, validation: 0.2, workers: 1, normalize: null}}
student: {{name: spiking-cnn, blocks: [{{channels: 4, stride: 2}}], readout: linear,
          neuron: {{kind: lif, v_threshold: 0.05}}}}
method: {{name: none}}
train: {{epochs: 5, batch_size: 8, lr: 0.01, sync_batch_norm: true, checkpoint_seconds: 0}}
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("val", 4)):
        for number, name in enumerate(("dark", "light")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(100 * number, 100 * number + 120, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return root


def go(folder: Path, images: Path, count: int, full_after: int = 0) -> list[tuple[int, str, str]]:
    for rank in range(count):
        (folder / str(rank)).mkdir(parents=True, exist_ok=True)
        (folder / str(rank) / "recipe.yaml").write_text(RECIPE.format(root=images))
    return finish(start(["-c", TRAIN, str(full_after)], count, folder))


def losses(folder: Path) -> list[float]:
    lines = (folder / "0" / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_a_damaged_recording_and_a_full_disk_lose_nothing_beyond_the_last_checkpoint(
    tmp_path: Path, images: Path
) -> None:
    ((code, _, text),) = go(tmp_path / "whole", images, 1)
    assert code == 0, text
    whole, folder = losses(tmp_path / "whole"), tmp_path / "hurt"
    run = folder / "0" / "run"

    file = images / "train" / "light" / "11.png"
    before = file.read_bytes()
    file.write_bytes(before[:40] + bytes(len(before) - 40))  # its bytes are lost, its size is not
    ended = go(folder, images, 2)
    file.write_bytes(before)
    said = [text for _, _, text in ended]
    assert sum("light/11.png" in text for text in said) == 1
    assert sum("another process of this run has ended" in text for text in said) == 1
    assert sorted(code for code, _, _ in ended) == [7, 75]
    done = losses(folder)
    assert done == pytest.approx(whole[: len(done)], abs=1e-5)

    first, second = go(folder, images, 2, full_after=3)
    assert (first[0], second[0]) == (75, 75)
    assert "'run' cannot be written: File too large. Nothing is lost beyond the last checkpoint." in first[2]
    assert "Make room there, then continue with --resume." in first[2]
    assert "another process of this run has ended" in second[2]
    assert (run / "STATUS").read_text() == "interrupted\n"
    assert not [left for left in run.iterdir() if left.name.startswith(".")]
    assert len(done) < len(losses(folder)) < len(whole)

    ((code, _, text),) = go(folder, images, 1)
    assert code == 0, text
    assert "continued after step" in (run / "log.txt").read_text()
    assert losses(folder) == pytest.approx(whole, abs=1e-5)
