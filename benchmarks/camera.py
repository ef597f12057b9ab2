"""How fast the simulated event camera makes recordings and frames of images.

    python benchmarks/camera.py --root PATH/TO/FashionMNIST/raw

On the clock and in processor time, the least of several turns: under other load only the latter says
something.
"""

from __future__ import annotations

import argparse
import os
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench import Table, by_turns, conditions

from snn_deploy.data.options.sets import CameraOptions
from snn_deploy.data.sets import camera
from snn_deploy.data.sets.images import ImageSplit

SETTINGS: dict[str, dict[str, Any]] = {
    "34x34": {},
    "34x34, noise, mismatch and rest": {"noise_hz": 1.0, "mismatch": 0.03, "refractory_us": 500},
    "48x48": {"side": 48},
    "128x128": {"side": 128},
}


def film(split: ImageSplit, options: CameraOptions, shape: tuple[int, int, int]) -> int:
    """Make frames of all images of ``split``; how many events they have."""
    seen = camera.camera_for(options, shape)
    return sum(block.events for block in camera.blocks((split,), seen, options, 8))


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of Fashion-MNIST")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    threads = os.cpu_count() or 1
    plain: dict[str, Any] = {"of": "fashion-mnist", "images": {"root": given.root}}
    images = camera.images_of(CameraOptions(**plain))
    few = torch.arange(given.images)
    assert isinstance(images.test, ImageSplit)
    split = ImageSplit(images.test.pixels[few], images.test.labels[few], few, images.test.show)
    choices = {name: CameraOptions(**plain, **options) for name, options in SETTINGS.items()}
    times = by_turns(
        {name: partial(film, split, options, images.shape) for name, options in choices.items()}, given.turns
    )
    table = Table(
        "Simulated event camera",
        conditions("numpy", threads=threads)
        + f" {given.images} images of Fashion-MNIST, 96 steps, T = 8 frames; least of {given.turns} turns.",
        *("setting", "events per image", "images per second", "per second of one processor"),
    )
    for name, options in choices.items():
        events = film(split, options, images.shape) / given.images
        taken = times[name]
        table.add(
            name, f"{events:,.0f}", f"{given.images / taken.wall:.0f}", f"{given.images / taken.cpu:.0f}"
        )
    table.keep(given.results / f"{date.today()}-camera.md")


if __name__ == "__main__":
    main()
