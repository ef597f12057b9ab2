"""Recordings in their true on-disk formats, written independently of the readers, event by event."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np

Event = tuple[int, int, int, int]
"""x, y, t (microseconds), p."""


def some_events(
    seed: int, count: int = 60, *, height: int = 128, width: int = 128, duration: int = 50_000, start: int = 0
) -> list[Event]:
    """Random events in order of time."""
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, duration, count)) + start
    x, y, p = (random.integers(0, n, count) for n in (width, height, 2))
    return [tuple(int(v) for v in event) for event in zip(x, y, t, p, strict=True)]


def bits40(events: Iterable[Event]) -> bytes:
    """N-MNIST, N-Caltech101: x, y, then polarity in the top bit of the 23-bit time stamp, big end first."""
    return b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, t, p in events)


AEDAT2_HEADER = (
    b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
    b"# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event\r\n"
    b'#<?xml version="1.0" encoding="UTF-8" standalone="no"?>\r\n#End Of ASCII Header\r\n'
)


def aedat2(events: Iterable[Event], header: bytes = AEDAT2_HEADER) -> bytes:
    """jAER, DVS128: columns from the right, rows from below, polarity 0 is ON; time stamps wrap at 2^32."""
    words = (((127 - y) << 8 | (127 - x) << 1 | (1 - p), t % (1 << 32)) for x, y, t, p in events)
    return header + b"".join(struct.pack(">II", *word) for word in words)


AEDAT3_HEADER = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def packet3(events: Sequence[Event], *, kind: int = 1, overflow: int = 0, spare: int = 0) -> bytes:
    """A packet of AEDAT 3.1, with ``spare`` unused places."""
    head = struct.pack("<hhiiiiii", kind, 1, 8, 4, overflow, len(events) + spare, len(events), len(events))
    body = b"".join(
        struct.pack("<Ii", x << 17 | y << 2 | p << 1 | 1, t - (overflow << 31)) for x, y, t, p in events
    )
    return head + body + bytes(8 * spare)


def aedat3(events: Sequence[Event], per_packet: int = 25) -> bytes:
    """AEDAT 3.1 with a packet of another kind first."""
    packets = [packet3(events[i : i + per_packet]) for i in range(0, len(events), per_packet)]
    return AEDAT3_HEADER + packet3([(1, 1, 1, 1)], kind=0) + b"".join(packets)


def aedat4(packets: Sequence[Sequence[Event]], *, compression: int = 1, table: bool = True) -> bytes:
    """AEDAT 4.0 by the flatbuffers package, compressed by lz4."""
    import lz4.frame

    pack = lz4.frame.compress if compression in {1, 2} else bytes
    parts = []
    for events in packets:
        content = pack(event_packet(events))
        parts.append(struct.pack("<ii", 0, len(content)) + content)
    magic = b"#!AER-DAT4.0\r\n"
    header = io_header(compression, 0)
    position = len(magic) + len(header) + sum(map(len, parts)) if table else -1
    tail = b"the table of contents" if table else b""
    return magic + io_header(compression, position) + b"".join(parts) + tail


def event_packet(events: Sequence[Event]) -> bytes:
    """A FlatBuffer with its size before it: table EventPacket { elements: [Event] }."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.StartVector(16, len(events), 8)
    for x, y, t, p in reversed(events):
        builder.Prep(8, 16)
        builder.Pad(3)
        builder.PrependBool(bool(p))
        builder.PrependInt16(y)
        builder.PrependInt16(x)
        builder.PrependInt64(t)
    vector = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    builder.FinishSizePrefixed(builder.EndObject(), b"EVTS")
    return bytes(builder.Output())


DESCRIPTION = (
    '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
    '<node name="0" path="/mainloop/Recorder/outInfo/0/">'
    '<attr key="compression" type="string">LZ4</attr>'
    '<attr key="typeIdentifier" type="string">EVTS</attr>'
    '<node name="info" path="/mainloop/Recorder/outInfo/0/info/">'
    '<attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr></node></node></node></dv>'
)


def io_header(compression: int, position: int) -> bytes:
    """A FlatBuffer with its size: table Ioheader { compression, file_data_position, description }."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    text = builder.CreateString(DESCRIPTION)
    builder.StartObject(3)
    builder.PrependInt32Slot(0, compression, 0)
    builder.PrependInt64Slot(1, position, -2)  # so that every position is written, the default -1 too
    builder.PrependUOffsetTRelativeSlot(2, text, 0)
    builder.FinishSizePrefixed(builder.EndObject(), b"IOHE")
    return bytes(builder.Output())
