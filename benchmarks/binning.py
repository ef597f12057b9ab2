"""Event files to frames: this package against tonic's ToFrame and numpy, on the same files, in one run.

    python benchmarks/binning.py [--data FOLDER] [--rounds 5] [--markdown FILE]

FOLDER holds ``NMNIST`` (the public layout) and ``DVSGesture-one-recording/0_0.hdf5`` (tonic's disk cache).
One thread. Both sides go through all files of a kind by turns; the best time of each file over the rounds
counts (20 times as many where there is one file), so that other load on the machine hardly enters.

Rows for each kind of file:

    binning         decoded events in memory to counts; tonic gets the structured array that its reader gives,
                    we what ours gives
    reading         file to events; tonic reads by read_mnist_file, and its cache by load_from_disk_cache
    both            file to frames

numpy is eight lines for the files of N-MNIST, which check nothing: ``fromfile``, columns by their bits,
``bincount`` of frame and address.

What all make is compared before anything is timed: all frames but the last are identical, and tonic's last
one lacks exactly the events of the rest of the division (count), or at and after ``t_0 + T w`` (time). Of the
HDF5 recording the time that the library itself takes to read the data set, which nobody can save, is printed
too.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from bench import Table, by_turns, conditions
from tonic.cached_dataset import load_from_disk_cache
from tonic.io import read_mnist_file
from tonic.transforms import ToFrame

from snn_deploy.data.events.pipeline import Binner, Cut, Made
from snn_deploy.data.events.recording import Events, Sensor
from snn_deploy.data.formats.base import Reader, checked
from snn_deploy.data.formats.bits40 import bits40_frames, read_bits40
from snn_deploy.data.formats.hdf5_events import read_hdf5
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.data.sets.nmnist import SENSOR

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
    at_once: Callable[[Path, Binner], Made | None] | None = None
    numpys: Callable[[Path, str, int], Any] | None = None

    def parts(self, path: Path) -> Iterator[Events]:
        return checked(self.ours(path), self.sensor)


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
        FileSet(
            "N-MNIST",
            digits,
            SENSOR,
            8,
            read_bits40,
            lambda p: read_mnist_file(p, TONIC_TYPE),
            bits40_frames,
            numpy_frames,
        ),
        FileSet("DVS-Gesture", [gesture], large, 16, read_hdf5, lambda p: load_from_disk_cache(p)[0]),
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


def numpy_frames(path: Path, binning: str, timesteps: int) -> Any:
    """Counts ``[T, 2, 34, 34]`` of a file of N-MNIST, unchecked."""
    data = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    t = (data[:, 2] & 127) << 16 | data[:, 3] << 8 | data[:, 4]
    along = t - t[0] if binning == "time" else np.arange(len(t))
    share = max(1, (along[-1] if binning == "time" else len(t)) // timesteps)
    frame = np.minimum(along // share, timesteps - 1)
    address = ((frame * 2 + (data[:, 2] >> 7)) * 34 + data[:, 1]) * 34 + data[:, 0]
    return np.bincount(address, minlength=timesteps * 2 * 34 * 34).reshape(timesteps, 2, 34, 34)


Work = Callable[[Any], object]


def best(sides: dict[str, tuple[Work, list[Any]]], rounds: int) -> dict[str, float]:
    """Microseconds per file of every side's work on its items, the best of each item."""
    works = {
        (side, number): partial(work, item)
        for side, (work, items) in sides.items()
        for number, item in enumerate(items)
    }
    total = dict.fromkeys(sides, 0.0)
    for (side, _), time in by_turns(works, rounds).items():
        total[side] += 1e6 * time.wall / len(sides[side][1])
    return total


def measure(files: FileSet, rounds: int, table: Table) -> None:
    """Add the rows of a kind of file."""

    def add(
        what: str, ours: Work, tonics: Work, items: tuple[list[Any], list[Any]], numpys: Work | None = None
    ) -> None:
        sides = {"ours": (ours, items[0]), "tonic": (tonics, items[1])}
        if numpys is not None:
            sides["numpy"] = (numpys, items[0])
        found = best(sides, rounds)
        times = [f"{found[side]:.0f}" if side in found else "" for side in ("ours", "tonic", "numpy")]
        ratios = [f"{found[s] / found['ours']:.1f}" if s in found else "" for s in ("tonic", "numpy")]
        table.add(files.name, what, *times, *ratios)

    if len(files.files) == 1:
        rounds *= 20
    decoded = [list(files.parts(path)) for path in files.files], [files.tonics(path) for path in files.files]
    paths = files.files, files.files
    add("reading", lambda path: list(files.parts(path)), files.tonics, paths)
    for binning, option in OPTION.items():
        binner = Binner(files.sensor, files.timesteps, FrameOptions(binning=binning, binary=False))
        size = (files.sensor.width, files.sensor.height, 2)
        to_frame = ToFrame(size, **{option: files.timesteps})

        def frames(parts: Iterable[Events], binner: Binner = binner) -> Any:
            held = list(parts)
            (counts,) = binner.count(held, WHOLE, binner.measure(held, WHOLE))
            return binner.entries(counts)[0]

        def both(path: Path, to_frame: ToFrame = to_frame) -> Any:
            return to_frame(files.tonics(path))

        def ours(path: Path, binner: Binner = binner, frames: Callable[..., Any] = frames) -> Any:
            made = files.at_once(path, binner) if files.at_once is not None else None
            return frames(files.parts(path)) if made is None else made.frames

        def numpys(path: Path, binning: str = binning) -> Any:
            return files.numpys(path, binning, files.timesteps)  # type: ignore[misc]

        compare(files, binning, frames, to_frame)
        for path in files.files[:50] if files.numpys is not None else ():
            if not np.array_equal(ours(path), numpys(path)):
                raise SystemExit(f"{path}: the frames differ from numpy's")
        add(f"binning by {binning}", frames, to_frame, decoded)
        add(f"both, by {binning}", ours, both, paths, numpys if files.numpys is not None else None)


def library_microseconds(path: Path, rounds: int) -> float:
    """Time that HDF5 takes to open the file and to read the data set."""

    def read() -> None:
        with h5py.File(path) as file:
            file["data/0"][()]

    return 1e6 * by_turns({"h5py": read}, 20 * rounds)["h5py"].wall


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = os.environ.get("SNN_DEPLOY_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = file_sets(options.data)
    counted = ", ".join(
        f"{s.name}: {len(s.files):,} file{'s' * (len(s.files) > 1)}, T = {s.timesteps}" for s in sets
    )
    library = library_microseconds(sets[1].files[0], options.rounds)
    table = Table(
        "Event files to frames",
        f"{conditions('tonic', 'numpy', 'torch', 'h5py', threads=1)}\n{counted}.\n"
        f"Microseconds per file, best of {options.rounds} rounds. Of these HDF5 needs {library:.0f} to "
        "open the DVS-Gesture file and read the data set.",
        *("files", "what", "ours", "tonic", "numpy", "tonic / ours", "numpy / ours"),
    )
    for files in sets:
        measure(files, options.rounds, table)
    table.keep(options.markdown)


if __name__ == "__main__":
    main()
