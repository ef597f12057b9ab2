"""Event files to frames: this package against tonic's ToFrame, on the same files, in one run.

    python benchmarks/binning.py [--data FOLDER] [--repeats 7] [--markdown FILE]

FOLDER holds ``NMNIST`` (the public layout) and ``DVSGesture-one-recording/0_0.hdf5`` (x, y, p, t in
``data/0``). One thread. Every recording is binned several times by both in turn (20 times as often where
there is one recording), and the best time of each counts, so that other load on the machine hardly enters; a
row gives the mean of these times over the recordings.

Two rows for each kind of file and of binning:

    frames          decoded events in memory to counts; tonic gets the structured array that its reader gives,
                    we what ours gives
    file to frames  the same from the file; N-MNIST is read by tonic's read_mnist_file and by our reader; for
                    the HDF5 recording tonic has no reader, it gets h5py's array

What both make is compared before anything is timed: all frames but the last are identical, and tonic's last
one lacks exactly the events of the rest of the division (count), or at and after ``t_0 + T w`` (time).
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from tonic.io import read_mnist_file
from tonic.transforms import ToFrame

from snn_deploy.data.events import Events, Sensor
from snn_deploy.data.formats.base import Reader, checked
from snn_deploy.data.formats.bits40 import read_bits40
from snn_deploy.data.formats.hdf5 import read_hdf5
from snn_deploy.data.nmnist import SENSOR
from snn_deploy.data.pipeline import Binner, Cut, FrameOptions

WHOLE = (Cut(0),)
TONIC_TYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
OPTION = {"time": "n_time_bins", "count": "n_event_bins"}


@dataclass(frozen=True)
class FileSet:
    """Files of one kind and how both sides read one of them."""

    name: str
    files: list[Path]
    sensor: Sensor
    timesteps: int
    ours: Reader
    tonics: Callable[[Path], Any]

    def parts(self, path: Path) -> Iterator[Events]:
        return checked(self.ours(path), self.sensor)


@dataclass(frozen=True)
class Row:
    """Microseconds per recording."""

    files: str
    what: str
    binning: str
    ours: float
    tonic: float

    def __str__(self) -> str:
        ratio = self.tonic / self.ours
        times = f"{self.ours:.0f} | {self.tonic:.0f} | {ratio:.1f}"
        return f"| {self.files} | {self.what} | {self.binning} | {times} |"


HEADER = "| files | what | binning | ours, us | tonic, us | ratio |\n| --- | --- | --- | --- | --- | --- |"


def read_h5_for_tonic(path: Path) -> Any:
    """The recording as tonic takes it."""
    with h5py.File(path) as file:
        data = file["data/0"][()]
    events = np.empty(len(data), TONIC_TYPE)
    for name in TONIC_TYPE.names or ():
        events[name] = data[name]
    return events


def file_sets(root: Path) -> list[FileSet]:
    """What is measured."""
    digits = sorted((root / "NMNIST").glob("T*/*/*.bin"))
    gesture = root / "DVSGesture-one-recording" / "0_0.hdf5"
    if not digits or not gesture.is_file():
        raise SystemExit(
            f"There is no NMNIST and DVSGesture-one-recording in '{root}'; give it: --data FOLDER"
        )
    large = Sensor(2, 128, 128)
    return [
        FileSet("N-MNIST", digits, SENSOR, 8, read_bits40, lambda p: read_mnist_file(p, TONIC_TYPE)),
        FileSet("DVS-Gesture recording", [gesture], large, 16, read_hdf5, read_h5_for_tonic),
    ]


def compare(files: FileSet, binning: str, frames: Callable[[list[Events]], Any], to_frame: ToFrame) -> None:
    """Stop unless both make the frames that the definitions say."""
    for path in files.files[:: max(1, len(files.files) // 50)]:
        parts = list(files.parts(path))
        ours, theirs = frames(parts).astype(int), to_frame(files.tonics(path)).astype(int)
        t = np.concatenate([part.t for part in parts])
        window = (int(t[-1]) - int(t[0])) // files.timesteps
        beyond = {
            "time": int((t >= t[0] + files.timesteps * window).sum()),
            "count": len(t) % files.timesteps,
        }
        same = np.array_equal(ours[:-1], theirs[:-1]) and (ours[-1] >= theirs[-1]).all()
        if not same or (ours[-1] - theirs[-1]).sum() != beyond[binning] or ours.sum() != len(t):
            raise SystemExit(f"{path}: the frames differ")


def seconds(work: Callable[[], object]) -> float:
    """Time that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(files: FileSet, binning: str, repeats: int) -> list[Row]:
    """The rows of a kind of file and of binning."""
    binner = Binner(files.sensor, files.timesteps, FrameOptions(binning=binning, binary=False))
    width, height = files.sensor.width, files.sensor.height
    to_frame = ToFrame((width, height, 2), **{OPTION[binning]: files.timesteps})

    def frames(parts: list[Events]) -> Any:
        (counts,) = binner.count(parts, WHOLE, binner.measure(parts, WHOLE))
        return binner.entries(counts)[0]

    compare(files, binning, frames, to_frame)
    often = repeats if len(files.files) > 1 else 20 * repeats
    total = dict.fromkeys(("frames", "file to frames"), (0.0, 0.0))
    for path in files.files:
        mine, theirs = list(files.parts(path)), files.tonics(path)
        works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "frames": (partial(frames, mine), partial(to_frame, theirs)),
            "file to frames": (
                lambda path=path: frames(list(files.parts(path))),  # type: ignore[misc]
                lambda path=path: to_frame(files.tonics(path)),  # type: ignore[misc]
            ),
        }
        for what, (ours, tonics) in works.items():
            times = [(seconds(ours), seconds(tonics)) for _ in range(often)]
            best = [min(column) for column in zip(*times, strict=True)]
            total[what] = (total[what][0] + best[0], total[what][1] + best[1])
    scale = 1e6 / len(files.files)
    return [Row(files.name, what, binning, a * scale, b * scale) for what, (a, b) in total.items()]


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def conditions(sets: list[FileSet], repeats: int) -> str:
    """When, where and with what."""
    counted = ", ".join(
        f"{s.name}: {len(s.files)} file{'s' * (len(s.files) > 1)}, T = {s.timesteps}" for s in sets
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("tonic", "numpy", "torch", "h5py"))
    return (
        f"{datetime.now(UTC).date()}; {processor()}, {os.cpu_count()} cores, one thread; Python "
        f"{platform.python_version()}, {packages}; best of {repeats}.\n{counted}."
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = os.environ.get("SNN_DEPLOY_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = file_sets(options.data)
    lines = [conditions(sets, options.repeats), "", HEADER]
    print("\n".join(lines), flush=True)
    for files in sets:
        for binning in OPTION:
            for row in measure(files, binning, options.repeats):
                lines.append(str(row))
                print(row, flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(["# Event files to frames", "", *lines, ""]))


if __name__ == "__main__":
    main()
