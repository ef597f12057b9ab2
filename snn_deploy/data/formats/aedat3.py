"""AEDAT 3.1 recordings (cAER), such as DVS-Gesture (Amir et al. 2017): ``.aedat``.

After the text header come packets, little end first: a header of 28 bytes (type, source, size of an event,
offset of its time stamp, overflow of time stamps, capacity, number, number of valid events) and as many
events as its capacity. A polarity event (type 1) is a word ``valid (1 bit), polarity (1), y (15), x (15)``
and a time stamp in microseconds of 31 bits; the overflow counts 2^31 microseconds. Other packets are
skipped.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.aedat import require_version, skip_header
from snn_deploy.data.formats.base import PART, Columns, read_exactly

VERSION = "3.1"
EVENT_BYTES = 8
MAX_PACKET_BYTES = 64 << 20

_HEADER = struct.Struct("<hhiiiiii")
_POLARITY = 1
_COORDINATE = 0x7FFF


class _Packet(NamedTuple):
    kind: int
    overflow: int
    number: int
    size: int


def read_aedat3(path: Path) -> Iterator[Columns]:
    """The polarity events of a file, in parts."""
    words: list[NDArray[np.uint32]] = []
    times: list[NDArray[np.int64]] = []
    held = 0
    with path.open("rb") as file:
        require_version(file, VERSION)
        skip_header(file)
        end = os.fstat(file.fileno()).st_size
        while header := file.read(_HEADER.size):
            packet = _packet(header, end - file.tell())
            if packet.kind != _POLARITY:
                file.seek(packet.size, os.SEEK_CUR)
                continue
            word, stamp = _events(file, packet)
            words.append(word)
            times.append(stamp)
            held += len(word)
            if held >= PART:
                yield _columns(words, times)
                words, times, held = [], [], 0
    if held:
        yield _columns(words, times)


def _packet(header: bytes, left: int) -> _Packet:
    if len(header) != _HEADER.size:
        raise DataError(f"it ends within a packet's header: {len(header)} of {_HEADER.size} bytes")
    kind, _, size, offset, overflow, capacity, number, _ = _HEADER.unpack(header)
    if size < 0 or capacity < 0 or not 0 <= number <= capacity or overflow < 0:
        raise DataError(f"a packet of {number} in {capacity} events of {size} bytes, overflow {overflow}")
    if size * capacity > left:
        raise DataError(f"it ends within a packet: {left} of {size * capacity} bytes")
    if kind == _POLARITY:
        if size != EVENT_BYTES or offset != EVENT_BYTES // 2:
            raise DataError(f"polarity events of {size} bytes, time stamp at {offset}; known: 8 and 4")
        if size * capacity > MAX_PACKET_BYTES:
            raise DataError(f"a packet of {size * capacity} bytes; the limit is {MAX_PACKET_BYTES}")
    return _Packet(kind, overflow, number, size * capacity)


def _events(file: BinaryIO, packet: _Packet) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    data = np.frombuffer(read_exactly(file, packet.size, "a packet"), "<u4").reshape(-1, 2)
    data = data[: packet.number]
    data = data[(data[:, 0] & 1).astype(bool)]
    if (data[:, 1] >> 31).any():
        raise DataError("a time stamp is negative")
    return data[:, 0], data[:, 1] + (np.int64(packet.overflow) << 31)


def _columns(words: list[NDArray[np.uint32]], times: list[NDArray[np.int64]]) -> Columns:
    word = np.concatenate(words)
    x, y = (word >> 17).astype(np.int32), (word >> 2 & _COORDINATE).astype(np.int32)
    return Columns(x, y, np.concatenate(times), (word >> 1 & 1).astype(np.int8))
