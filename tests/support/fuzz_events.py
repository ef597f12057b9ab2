"""Valid recordings in every event format, and their readers: targets of fuzzing."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from random import Random

import h5py
import numpy as np
from scipy.io import savemat

from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.chosen import read_any
from snn_deploy.data.sets.dvs_gesture import read_labels
from snn_deploy.data.sets.shd import FILES, ShdOptions, shd
from support import prophesee, recordings
from support.fuzz_target import Target
from support.mutation import blind, in_hdf5, in_text

SENSOR = Sensor(2, 128, 128)
SOME = recordings.some_events(1, 90, height=34, width=34)
TABLE = np.array(SOME)
X, Y, T, P = TABLE.T
FIELDS = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
STRUCTURED = np.array([(t, x, y, p) for x, y, t, p in SOME], FIELDS)


def run_events(path: Path) -> None:
    """What a data set does with a recording: every part is read and checked."""
    for _ in checked(read_any(path), SENSOR):
        pass


def saved(write: Callable[..., None], *args: object, **options: object) -> bytes:
    """What a function that takes a file or stream first writes."""
    stream = io.BytesIO()
    write(stream, *args, **options)
    return stream.getvalue()


def in_zip(content: bytes, rng: Random) -> bytes:
    """Damage within a member of an archive whose check sums stay right."""
    return _rewritten(content, rng, lambda data: rng.choice([blind, in_npy])(data, rng))


def _rewritten(content: bytes, rng: Random, change: Callable[[bytes], bytes]) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name == chosen else data)
    return stream.getvalue()


def in_npy(content: bytes, rng: Random) -> bytes:
    """Another header of an array, of the right length."""
    if content[:6] != b"\x93NUMPY":
        return blind(content, rng)
    (size,) = struct.unpack("<H", content[8:10])
    header = in_text(content[10 : 10 + size], rng)
    return content[:8] + struct.pack("<H", len(header) % 65536) + header + content[10 + size :]


def in_mat(content: bytes, rng: Random) -> bytes:
    """Damage within a packed element of a MATLAB file."""
    kind, size = struct.unpack("<II", content[128:136])
    if kind != 15:
        return blind(content, rng)
    inner = zlib.compress(blind(zlib.decompress(content[136 : 136 + size]), rng))
    return content[:128] + struct.pack("<II", 15, len(inner)) + inner + content[136 + size :]


@cache
def _hdf5() -> list[bytes]:
    files = []
    for options in ({}, {"chunks": (16,), "compression": "gzip"}):
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            file.create_dataset("data/0", data=STRUCTURED, **options)
            file["target/0"] = 3
        files.append(stream.getvalue())
    return files


@cache
def _shd() -> list[bytes]:
    stream = io.BytesIO()
    rng = np.random.default_rng(0)
    with h5py.File(stream, "w") as file:
        for name, kind, values in (
            ("times", np.float16, [np.sort(rng.random(20)) for _ in range(40)]),
            ("units", np.uint16, [rng.integers(0, 700, 20) for _ in range(40)]),
        ):
            data = file.create_dataset(f"spikes/{name}", (40,), h5py.vlen_dtype(kind))
            for row, value in enumerate(values):
                data[row] = value.astype(kind)
        file["labels"] = np.arange(40) % 20
        file["extra/keys"] = [f"digit {n}".encode() for n in range(20)]
    return [stream.getvalue()]


def run_shd(path: Path) -> None:
    """The data set whose training file is damaged."""
    folder = path.parent / "shd"
    folder.mkdir(exist_ok=True)
    (folder / FILES[0]).write_bytes(path.read_bytes())
    (folder / FILES[1]).write_bytes(_shd()[0])
    for file in (folder / "cache").glob("*"):
        file.unlink()
    shd(ShdOptions(root=folder, validation=0.5), timesteps=2, cache=folder / "cache")


@cache
def _mat() -> list[bytes]:
    matrix = {"out1": np.stack([T, X, Y, 2 * P - 1], 1).astype(float)}
    vectors = {"ts": T, "x": X, "y": Y, "pol": P}
    return [
        saved(savemat, matrix, do_compression=True),
        saved(savemat, matrix),
        saved(savemat, vectors, do_compression=True),
    ]


@cache
def _numpy(kind: str) -> list[bytes]:
    if kind == "npy":
        return [saved(np.save, STRUCTURED), saved(np.save, TABLE[:, [0, 1, 3, 2]].astype(np.float32))]
    return [saved(write, x=X, y=Y, t=T, p=P) for write in (np.savez, np.savez_compressed)]


@cache
def _aedat(kind: str) -> list[bytes]:
    if kind == "4":
        return [recordings.aedat4([SOME[:50], SOME[50:]], compression=c, table=bool(c)) for c in (0, 1)]
    return [recordings.aedat2(SOME)] if kind == "2" else [recordings.aedat3(SOME)]


DAVIS = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n" + b"".join(
    struct.pack(">II", (179 - y) << 22 | (239 - x) << 12 | p << 11, t) for x, y, t, p in SOME
)


@cache
def _text() -> list[bytes]:
    rows = "".join(f"{t},{x},{y},{p}\n" for x, y, t, p in SOME)
    seconds = "".join(f"{t / 1e6:.6f} {x} {y} {p}\n" for x, y, t, p in SOME)
    return [text.encode() for text in (rows, f"t,x,y,p\n{rows}", f"# timestamp[s] x y polarity\n{seconds}")]


@cache
def _layouts() -> list[bytes]:
    files = []
    arrays = {"CD/events": STRUCTURED, "events": np.stack([T, X, Y, P], 1)}
    for content in (
        {f"events/{name}": v for name, v in zip("xytp", TABLE.T, strict=True)},
        *({name: array} for name, array in arrays.items()),
    ):
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            for name, values in content.items():
                file.create_dataset(name, data=values, chunks=True, compression="gzip")
            file["t_offset"] = 0
        files.append(stream.getvalue())
    return files


LABELS = b"class,startTime_usec,endTime_usec\n1,100,200\n11,300,90000\n2,200,300\n"

EVENTS = {
    "bits40": Target(".bin", lambda: [recordings.bits40(SOME)], (blind,), run_events),
    "aedat2": Target(".aedat", partial(_aedat, "2"), (blind,), run_events),
    "aedat3": Target(".aedat", partial(_aedat, "3"), (blind,), run_events),
    "aedat4": Target(".aedat4", partial(_aedat, "4"), (blind,), run_events),
    "npy": Target(".npy", partial(_numpy, "npy"), (blind, in_npy), run_events),
    "npz": Target(".npz", partial(_numpy, "npz"), (blind, in_zip), run_events),
    "hdf5": Target(".hdf5", _hdf5, (blind, in_hdf5), run_events),
    "mat": Target(".mat", _mat, (blind, in_mat), run_events),
    "shd": Target(".h5", _shd, (blind, in_hdf5), run_shd),
    "evt2": Target(".raw", lambda: [prophesee.evt2(SOME)], (blind,), run_events, refused=0.3),
    "evt3": Target(".raw", lambda: [prophesee.evt3(SOME)], (blind,), run_events, refused=0.2),
    "dat": Target(".dat", lambda: [prophesee.dat(SOME)], (blind,), run_events),
    "davis": Target(".aedat", lambda: [DAVIS], (blind,), run_events, refused=0.3),
    "text": Target(".csv", _text, (blind, in_text), run_events),
    "layouts": Target(".h5", _layouts, (blind, in_hdf5), run_events),
    "gesture": Target(".csv", lambda: [LABELS], (blind, in_text), lambda path: void(read_labels(path))),
}


def void(_value: object) -> None:
    """Nothing: what is read is not looked at."""
