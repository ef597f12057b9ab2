"""AEDAT 4.0 recordings (iniVation DV), as tonic has CIFAR10-DVS: ``.aedat4``.

::

    "#!AER-DAT4.0\\r\\n"   size (uint32)   IOHeader
    packets:  stream (int32)   size (int32)   content
    IOHeader     table { compression: int32 = 0; file_data_position: int64 = -1; description: string }
    EventPacket  table { elements: [struct { t: int64; x: int16; y: int16; on: bool }] }   identifier "EVTS"

A packet's content, compressed or not, is a FlatBuffer with its size before it. From ``file_data_position``
on, if it is not -1, there is a table of contents. FlatBuffers are little end first; what is needed of them is
read here, every offset checked. LZ4 frames are unpacked by the optional package ``lz4``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError, MissingOptionalError
from snn_deploy.data.events.frames import Extent
from snn_deploy.data.events.pipeline import Binner, Made
from snn_deploy.data.events.timeline import GAP
from snn_deploy.data.formats.aedat import require_version
from snn_deploy.data.formats.base import PART, Columns, read_exactly
from snn_deploy.data.options.frames import MAX_TIME

VERSION = "4.0"
MAX_HEADER_BYTES = 1 << 20
MAX_PACKET_BYTES = 64 << 20
MAX_HELD = 1 << 22
"""Events that are unpacked at once to make frames in one pass, 64 MiB; our choice."""
MAX_SIDE = 1 << 15
"""Columns and rows that coordinates of 16 bits with a sign tell apart."""

EVENT_DTYPE = np.dtype(
    {
        "names": ["t", "x", "y", "on"],
        "formats": ["<i8", "<i2", "<i2", "u1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)

_COMPRESSIONS = ("none", "LZ4", "LZ4 high", "Zstandard", "Zstandard high")
_EVENTS = b"EVTS"
_ROOM = 1 << 16  # bytes to unpack into at first; the decompressor claims all that it is allowed


def aedat4_frames(path: Path, binner: Binner) -> Made | None:
    """Frames of a whole file in one pass; None where the file or the frames need more than that, and where
    the file cannot be read: the reader says why."""
    if not binner.divides_whole or binner.sensor.channels != 2 or max(binner.sensor) > MAX_SIDE:
        return None
    held: list[NDArray[Any]] = []
    total = 0
    try:
        for elements in _packets(path):
            if (total := total + len(elements)) > MAX_HELD:
                return None
            if len(elements):
                held.append(elements)
    except Exception:  # noqa: BLE001 - whatever it is, the reader meets it again
        return None
    return _counted(held, total, binner) if held else None


def _counted(held: list[NDArray[Any]], total: int, binner: Binner) -> Made | None:
    """Frames of the packets of a recording, where nothing in them needs a second look."""
    from snn_deploy.data.events.compiled import count_aedat4

    first, last = int(held[0]["t"][0]), int(held[-1]["t"][-1])
    if not 0 <= first <= last <= MAX_TIME:
        return None
    bounds = binner.bounds(Extent(total, first, last))
    share = int(bounds[1] - bounds[0])
    state = np.array([first, bounds[1], 0, 0], np.int64)
    frames = np.zeros(binner.shape, np.uint8)
    flat = frames.reshape(-1)
    for elements in held:
        data = elements.view(np.uint8)
        if not count_aedat4(data, binner.shape, share, binner.by_time, binner.binary, GAP, state, flat):
            return None
    return Made(frames, total)


def read_aedat4(path: Path) -> Iterator[Columns]:
    """The events of a file's only event stream, in parts."""
    parts: list[NDArray[Any]] = []
    held = 0
    for elements in _packets(path):
        parts.append(elements)
        held += len(elements)
        if held >= PART:
            yield _columns(parts)
            parts, held = [], 0
    if held:
        yield _columns(parts)


def _packets(path: Path) -> Iterator[NDArray[Any]]:
    streams: set[int] = set()
    with path.open("rb") as file:
        require_version(file, VERSION)
        end = os.fstat(file.fileno()).st_size
        (size,) = struct.unpack("<I", read_exactly(file, 4, "its header"))
        if size > MAX_HEADER_BYTES:
            raise DataError(f"a header of {size} bytes; the limit is {MAX_HEADER_BYTES}")
        unpack, table = _header(read_exactly(file, size, "its header"))
        if table != -1:
            if not file.tell() <= table <= end:
                raise DataError(f"its table of contents is said to be at byte {table} of {end}")
            end = table
        while file.tell() < end:
            stream, size = struct.unpack("<ii", read_exactly(file, 8, "a packet's header"))
            if not 0 <= size <= min(MAX_PACKET_BYTES, end - file.tell()):
                raise DataError(f"a packet of {size} bytes; {end - file.tell()} are left")
            content = unpack(read_exactly(file, size, "a packet"))
            if content[8:12] != _EVENTS:
                continue
            streams.add(stream)
            if len(streams) > 1:
                raise DataError(f"events in {len(streams)} streams; one is known")
            yield _elements(memoryview(content)[4:])


def _columns(parts: list[NDArray[Any]]) -> Columns:
    events = np.concatenate(parts)
    return Columns(events["x"], events["y"], events["t"], events["on"])


def _header(data: bytes) -> tuple[Callable[[bytes], bytes], int]:
    """How to unpack a packet, and where the table of contents begins."""
    buffer = _FlatBuffer(data)
    table = buffer.root()
    compression = buffer.number(at, "<i") if (at := buffer.field(table, 0)) else 0
    position = buffer.number(at, "<q") if (at := buffer.field(table, 1)) else -1
    if compression == 0:
        return bytes, position
    if compression in {1, 2}:
        return _lz4(), position
    known = _COMPRESSIONS[compression] if 0 < compression < len(_COMPRESSIONS) else str(compression)
    raise DataError(f"compression {known}; known: none, LZ4")


def _lz4() -> Callable[[bytes], bytes]:
    try:
        from lz4.frame import LZ4FrameDecompressor
    except ImportError as error:
        raise MissingOptionalError(
            f"The recording is compressed by LZ4, and the package 'lz4' cannot be imported ({error}).",
            hint="pip install 'snn-deploy[events]'",
        ) from None

    def unpack(data: bytes) -> bytes:
        frame = LZ4FrameDecompressor()
        content = b""
        try:
            while not frame.eof and (room := min(MAX_PACKET_BYTES - len(content), len(content) or _ROOM)):
                content += (piece := frame.decompress(data, max_length=room))
                if not piece:
                    break
                data = b""
        except RuntimeError as error:
            raise DataError(f"a packet cannot be unpacked: {error}") from None
        if not frame.eof:
            raise DataError(f"a packet is cut, or unpacks to more than {MAX_PACKET_BYTES} bytes")
        return content

    return unpack


def _elements(data: memoryview) -> NDArray[Any]:
    buffer = _FlatBuffer(data)
    at = buffer.field(buffer.root(), 0)
    if not at:
        return np.empty(0, EVENT_DTYPE)
    vector = at + buffer.number(at, "<I")
    count = buffer.number(vector, "<I")
    if count * EVENT_DTYPE.itemsize > len(data) - vector - 4:
        raise DataError(f"a packet announces {count} events in {len(data)} bytes")
    return np.frombuffer(data, EVENT_DTYPE, count, vector + 4)


class _FlatBuffer:
    """Bounds-checked access to the tables of a FlatBuffer."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data

    def number(self, at: int, code: str) -> int:
        if not 0 <= at <= len(self._data) - struct.calcsize(code):
            raise DataError(f"an offset of {at} in {len(self._data)} bytes")
        value: int = struct.unpack_from(code, self._data, at)[0]
        return value

    def root(self) -> int:
        return self.number(0, "<I")

    def field(self, table: int, index: int) -> int:
        """Where field ``index`` of the table at ``table`` is, 0 if it is absent."""
        layout = table - self.number(table, "<i")
        entry = 4 + 2 * index
        if entry + 2 > self.number(layout, "<H"):
            return 0
        offset = self.number(layout + entry, "<H")
        return table + offset if offset else 0
