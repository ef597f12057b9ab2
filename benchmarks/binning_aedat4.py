"""AEDAT 4.0 files to frames: this package against dv_processing (C++), aedat and faery (Rust), in one run.

    EVENT_JUDGES=FOLDER python benchmarks/binning_aedat4.py [--rounds 30] [--markdown FILE]

``EVENT_JUDGES`` is a virtual environment with dv_processing, aedat, faery and numpy. dv_processing writes the
files: made-up events of a bar that moves over 128x128 pixels, one in 7 microseconds on average, in packets of
10 ms as cameras' drivers give them; 200,000 events, about those of a recording of CIFAR10-DVS, and ten times
as many. Each side makes T = 8 frames of equal time, ``[8 2 128 128]``; all must make the same.

    ours            one pass: read, unpacked, checked (place, polarity, order of time, gaps), counted
    ours, in parts  the reader that takes over where a recording is unusual
    dv_processing   each batch as a numpy array, joined; then numpy's bincount, which checks nothing
    aedat, faery    all events as a numpy array; then the same
    lz4 alone       the packets' bytes, in memory already, unpacked and dropped: the floor

One thread each, each side in a process of its own, rounds by turns.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench import Table, conditions, versions
from cells import COLUMNS, add_rows, reach, serve, take_turns

STEPS, SIDE = 8, 128
FILES = {"LZ4": (200_000, "LZ4"), "none": (200_000, "NONE"), "LZ4, long": (2_000_000, "LZ4")}
PEERS = ("dv_processing", "aedat", "faery")


def write(path: Path, events: int, compression: str) -> None:
    """A recording of ``events`` made-up events, by dv_processing."""
    import dv_processing as dv

    random = np.random.default_rng(events)
    t = np.cumsum(random.exponential(7.0, events)).astype(np.int64) + 1_000_000
    x = (t // 400 + random.integers(-6, 7, events)) % SIDE
    y, p = random.integers(0, SIDE, events), random.integers(0, 2, events)
    config = dv.io.MonoCameraWriter.EventOnlyConfig(
        "DVS128", (SIDE, SIDE), dv.CompressionType.__members__[compression]
    )
    writer = dv.io.MonoCameraWriter(str(path), config)
    for packet in np.split(np.arange(events), np.flatnonzero(np.diff(t // 10_000)) + 1):
        store = dv.EventStore()
        for event in packet:
            store.push_back(int(t[event]), int(x[event]), int(y[event]), bool(p[event]))
        writer.writeEvents(store)


def bincount(events: Any) -> Any:
    """Frames of a structured array of events by numpy, unchecked."""
    names = ("timestamp", "polarity") if "timestamp" in events.dtype.names else ("t", "on")
    t, p = (events[name].astype(np.int64) for name in names)
    x, y = (events[name].astype(np.int64) for name in ("x", "y"))
    frame = np.minimum((t - t[0]) // max(1, (t[-1] - t[0]) // STEPS), STEPS - 1)
    address = ((frame * 2 + p) * SIDE + y) * SIDE + x
    counts = np.bincount(address, minlength=STEPS * 2 * SIDE * SIDE)
    return np.minimum(counts, 255).astype(np.uint8)


def dv_processing(path: Path) -> Any:
    """Frames by dv_processing and numpy."""
    import dv_processing as dv

    recording, batches = dv.io.MonoCameraRecording(str(path)), []
    while (batch := recording.getNextEventBatch()) is not None:
        batches.append(batch.numpy())
    return bincount(np.concatenate(batches))


def aedat(path: Path) -> Any:
    """Frames by aedat and numpy."""
    from aedat import Decoder

    return bincount(np.concatenate([packet["events"] for packet in Decoder(path)]))


def faery(path: Path) -> Any:
    """Frames by faery and numpy."""
    from faery import events_stream_from_file

    return bincount(events_stream_from_file(path).to_array())


def ours(path: Path, *, in_parts: bool = False) -> Any:
    """Frames by this package."""
    from snn_deploy.data.events.pipeline import Binner, Cut
    from snn_deploy.data.events.recording import Sensor
    from snn_deploy.data.formats.aedat4 import aedat4_frames, read_aedat4
    from snn_deploy.data.formats.base import checked
    from snn_deploy.data.options.frames import FrameOptions

    sensor, whole = Sensor(2, SIDE, SIDE), (Cut(0),)
    binner = Binner(sensor, STEPS, FrameOptions(binning="time", binary=False))
    if not in_parts:
        made = aedat4_frames(path, binner)
        if made is None:
            raise SystemExit(f"{path}: not made in one pass")
        return made.frames
    parts = list(checked(read_aedat4(path), sensor))
    (counts,) = binner.count(parts, whole, binner.measure(parts, whole))
    return binner.entries(counts)[0]


SIDES: dict[str, Callable[[Path], Any]] = {
    "ours": ours,
    "ours, in parts": partial(ours, in_parts=True),
    "dv_processing": dv_processing,
    "aedat": aedat,
    "faery": faery,
}


def packets(path: Path) -> list[bytes]:
    """The compressed packets of a file."""
    from snn_deploy.data.formats.aedat4 import _header

    with path.open("rb") as file:
        file.readline()
        (size,) = struct.unpack("<I", file.read(4))
        _, end = _header(file.read(size))
        found = []
        while file.tell() < end:
            found.append(file.read(struct.unpack("<ii", file.read(8))[1]))
    return found


def cell(side: str, path: Path) -> None:
    """Serve the work of one side."""
    if side in SIDES:
        work = partial(SIDES[side], path)
        serve(work, hashlib.sha256(np.ascontiguousarray(work()).tobytes()).hexdigest())
        return
    from lz4.frame import decompress

    contents = packets(path)

    def unpack() -> None:
        for content in contents:
            decompress(content)

    serve(unpack, "")


def measure(kind: str, path: Path, judges: Path, rounds: int, table: Table) -> None:
    """Add the rows of a file."""
    sides = [*SIDES, *(["lz4 alone"] if kind.startswith("LZ4") else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = take_turns(
        Path(__file__),
        {side: ("--cell", side, str(path)) for side in sides},
        rounds,
        environment,
        dict.fromkeys(PEERS, judges),
    )
    what = f"{kind}, {FILES[kind][0]:,} events"
    add_rows(table, [what], found, floors=["lz4 alone"])
    for peer in PEERS:
        reach(table, f"AEDAT 4.0 to frames against {peer}, {what}", found[peer], found["ours"], 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if "EVENT_JUDGES" not in os.environ:
        raise SystemExit(f"EVENT_JUDGES names no environment with {', '.join(PEERS)}.")
    judges = Path(os.environ["EVENT_JUDGES"]) / "bin" / "python"
    table = Table(
        "AEDAT 4.0 files to frames",
        f"{conditions('numba', 'numpy', 'lz4', threads=1)}\nPeers: {versions(judges, *PEERS)}. "
        f"Load average at the start: {os.getloadavg()[0]:.1f}; under load, CPU time says more than wall.\n"
        f"Milliseconds, {options.rounds} rounds by turns, each side in a process of its own (the peak of "
        "ours is mostly torch and numba); the frames of all sides are the same.",
        *("file", "side", *COLUMNS),
    )
    with tempfile.TemporaryDirectory() as folder:
        for kind, (events, compression) in FILES.items():
            path = Path(folder) / f"{compression}-{events}.aedat4"
            command = [judges, __file__, "--write", str(path), str(events), compression]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            measure(kind, path, judges, options.rounds, table)
    table.close(options.markdown)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cell"]:
        cell(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        main()
