"""Event files to frames: this package against tonic's ToFrame and numpy, on the same files, in one run.

    python benchmarks/binning.py [--data FOLDER] [--rounds 5] [--markdown FILE]

FOLDER holds ``NMNIST`` (the public layout) and ``DVSGesture-one-recording/0_0.hdf5`` (tonic's disk cache).
One thread. Each cell is a process of its own and goes through all files of a kind; all take turns.

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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from bench import Table, by_turns, conditions
from cells import COLUMNS, OURS, Measured, add_rows, reach, serve, take_turns
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
AIMS = {"numpy": 2, "tonic": 5}
"""How many times as fast as whom, with reading."""


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


def works(files: FileSet, what: str) -> dict[str, Callable[[], object]]:
    """What each side does, all files once."""
    part, _, binning = what.partition(" by ")
    if part == "reading":
        return {
            OURS: lambda: [list(files.parts(path)) for path in files.files],
            "tonic": lambda: [files.tonics(path) for path in files.files],
        }
    binner = Binner(files.sensor, files.timesteps, FrameOptions(binning=binning, binary=False))
    to_frame = ToFrame((files.sensor.width, files.sensor.height, 2), **{OPTION[binning]: files.timesteps})

    def frames(parts: Iterable[Events]) -> Any:
        held = list(parts)
        (counts,) = binner.count(held, WHOLE, binner.measure(held, WHOLE))
        return binner.entries(counts)[0]

    def ours(path: Path) -> Any:
        made = files.at_once(path, binner) if files.at_once is not None else None
        return frames(files.parts(path)) if made is None else made.frames

    compare(files, binning, frames, to_frame)
    if part == "binning":
        decoded = [list(files.parts(path)) for path in files.files]
        arrays = [files.tonics(path) for path in files.files]
        return {OURS: lambda: list(map(frames, decoded)), "tonic": lambda: list(map(to_frame, arrays))}
    found: dict[str, Callable[[], object]] = {
        OURS: lambda: list(map(ours, files.files)),
        "tonic": lambda: [to_frame(files.tonics(path)) for path in files.files],
    }
    if (numpys := files.numpys) is not None:
        for path in files.files[:50]:
            if not np.array_equal(ours(path), numpys(path, binning, files.timesteps)):
                raise SystemExit(f"{path}: the frames differ from numpy's")
        found["numpy"] = lambda: [numpys(path, binning, files.timesteps) for path in files.files]
    return found


WHATS = ("reading", *(f"{part} by {binning}" for binning in OPTION for part in ("binning", "both")))


def measure(files: FileSet, options: argparse.Namespace, table: Table) -> None:
    """Add the rows of a kind of file."""
    rounds = options.rounds if len(files.files) > 1 else 20 * options.rounds
    for what in WHATS:
        sides = [OURS, "tonic", *(["numpy"] if files.numpys and what.startswith("both") else [])]
        cells = {s: ("--cell", files.name, what, s, "--data", str(options.data)) for s in sides}
        found = take_turns(Path(__file__), cells, rounds, {**os.environ, "OMP_NUM_THREADS": "1"})
        each: dict[str, Measured] = {side: cell.per(len(files.files)) for side, cell in found.items()}
        add_rows(table, [files.name, what], each, 1e6)
        if what.startswith("both") and files.numpys:
            for peer, aim in AIMS.items():
                reach(
                    table,
                    f"{files.name} files to frames {what[5:]} against {peer}",
                    each[peer],
                    each[OURS],
                    aim,
                )


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
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = file_sets(options.data)
    if options.cell:
        name, what, side = options.cell
        serve(works(next(files for files in sets if files.name == name), what)[side], "")
        return
    counted = ", ".join(
        f"{s.name}: {len(s.files):,} file{'s' * (len(s.files) > 1)}, T = {s.timesteps}" for s in sets
    )
    library = library_microseconds(sets[1].files[0], options.rounds)
    table = Table(
        "Event files to frames",
        f"{conditions('tonic', 'numpy', 'torch', 'h5py', threads=1)}\n{counted}.\n"
        f"Microseconds per file, {options.rounds} rounds by turns. Of these HDF5 needs {library:.0f} to "
        "open the DVS-Gesture file and read the data set.",
        *("files", "what", "side", *COLUMNS),
    )
    for files in sets:
        measure(files, options, table)
    table.close(options.markdown)


if __name__ == "__main__":
    main()
