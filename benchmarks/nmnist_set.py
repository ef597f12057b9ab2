"""A set as large as N-MNIST, 70,000 recordings, from files to the cache: time, processor time and memory.

    python benchmarks/nmnist_set.py [--per-class 7000] [--markdown FILE]

The files are made up in the public layout, 3,000 to 5,500 events each, and lie in a temporary folder; with
2 GB of memory to spare they are read from the page cache. One process, with one thread, makes the frames,
``[8 2 34 34]`` of equal time, and writes the cache file; another loads that file and checks its SHA-256, as
every later run does. The peak of memory counts the pages of the file, which is mapped.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench import Table, conditions
from cells import serve, take_turns

STEPS = 8
TEST_SHARE = 7
STAGES = ("files to frames in the cache", "a later run: the cache loaded")


def write(root: Path, per_class: int) -> int:
    """Made-up recordings; the bytes of all of them."""
    random = np.random.default_rng(0)
    total = 0
    for digit in range(10):
        for part in ("Train", "Test"):
            (root / part / str(digit)).mkdir(parents=True)
        for number in range(per_class):
            events = int(random.integers(3000, 5500))
            t = np.sort(random.integers(0, 310_000, events))
            rows = np.empty((events, 5), np.uint8)
            rows[:, 0], rows[:, 1] = random.integers(0, 34, (2, events))
            rows[:, 2] = random.integers(0, 2, events) << 7 | t >> 16
            rows[:, 3], rows[:, 4] = t >> 8 & 255, t & 255
            part = "Train" if number % TEST_SHARE else "Test"
            (root / part / str(digit) / f"{number:05d}.bin").write_bytes(rows.tobytes())
            total += rows.nbytes
    return total


def cell(root: Path, cache: Path) -> None:
    """Serve the data set."""
    from snn_deploy.data.events import compiled  # noqa: F401 - what is compiled is loaded before
    from snn_deploy.data.options.sets import NmnistOptions
    from snn_deploy.data.sets.nmnist import nmnist

    serve(lambda: nmnist(NmnistOptions(root=root), timesteps=STEPS, cache=cache), "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--per-class", type=int, default=7000)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "set", Path(folder) / "cache"
        files = 10 * options.per_class
        size = write(root, options.per_class)
        table = Table(
            "A set as large as N-MNIST",
            f"{conditions('numpy', 'numba', 'torch', threads=1)}\n{files:,} made-up files, "
            f"{size / 1e9:.2f} GB; frames [{STEPS} 2 34 34]. "
            f"Load average at the start: {os.getloadavg()[0]:.1f}.",
            *("what", "wall, s", "CPU, s", "CPU, microseconds a file", "peak MiB"),
        )
        for stage in STAGES:
            arguments = ("--cell", str(root), str(cache))
            made = take_turns(Path(__file__), {stage: arguments}, 1, {**os.environ, "OMP_NUM_THREADS": "1"})[
                stage
            ]
            each = f"{1e6 * made.cpu / files:.0f}"
            table.add(stage, f"{made.wall:.1f}", f"{made.cpu:.1f}", each, f"{made.peak:.0f}")
        (kept,) = cache.glob("*.safetensors")
        table.say(f"The cache file has {kept.stat().st_size / 1e9:.2f} GB.")
    table.close(options.markdown)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cell"]:
        cell(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
