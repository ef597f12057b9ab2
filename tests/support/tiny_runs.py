"""The smallest run that the commands make: 48 images of 8 x 8 pixels, two classes, two time steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import snn_deploy as sd

CONVERT_FEW = ("--sweep", "2", "--timesteps", "2", "--images", "32", "--samples", "8", "--rounds", "1")
"""Options with which such a run's teacher is converted in a moment."""

RECIPE = """
name: tiny
timesteps: 2
data: {{name: image-folder, root: {root}, size: 8, resize: 8, validation: 0.2, workers: 1, normalize: null}}
teacher:
  name: cnn
  blocks: [{{channels: 2, stride: 2}}]
  train: {{epochs: 2, batch_size: 8, lr: 0.01, checkpoint_seconds: 0}}
student: {{name: spiking-cnn, blocks: [{{channels: 4, stride: 2}}], readout: linear,
          neuron: {{kind: lif, v_threshold: 0.05}}}}
method: {{name: kd}}
train: {{epochs: 3, batch_size: 8, lr: 0.01, checkpoint_seconds: 0}}
"""


def write_recipe(folder: Path) -> Path:
    """Images and a recipe for them in ``folder``; the recipe's file."""
    random = np.random.default_rng(0)
    root = folder / "images"
    for part, count in (("train", 20), ("val", 4)):
        for number, name in enumerate(("dark", "light")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(100 * number, 100 * number + 120, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.format(root=root))
    return recipe


def trained_run(folder: Path) -> tuple[Path, Path]:
    """The recipe's file and a run of it, in ``folder``."""
    recipe = write_recipe(folder)
    return recipe, sd.distill_student(str(recipe), folder / "run").path
