"""AEDAT 2.0 recordings (jAER) of a DVS128, such as CIFAR10-DVS (Li, Liu, Ji, Li and Shi 2017), or of a DAVIS:
``.aedat``.

After the text header, an event is a 32-bit address and a 32-bit time stamp in microseconds, big end first.
Columns count from the right, rows from below (jAER, classes DVS128 and DavisBaseCamera)::

    DVS128   bit 0 polarity (0 is ON)   bits 1-7 column    bits 8-14 row    bit 15 a pulse at the input
    DAVIS    bit 11 polarity (1 is ON)  bits 12-21 column  bits 22-30 row   bit 10 a pulse, bit 31 no event

The header names the chip (``# AEChip: ...DAVIS240C``); without a name it is a DVS128. What is no event is
left out. Time stamps wrap around at 2^32 microseconds, 71.6 minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.aedat import require_version, skip_header
from snn_deploy.data.formats.base import Columns, record_parts
from snn_deploy.data.formats.wrap import Wrapping

VERSION = "2.0"
EVENT_BYTES = 8

_PULSE = 1 << 15
_CHIP = re.compile(r"AEChip:\s*(\S+)")


class Chip(NamedTuple):
    """A camera: width and height in pixels, and whether its addresses are those of a DAVIS."""

    width: int
    height: int
    davis: bool


CHIPS = {
    "DVS128": Chip(128, 128, davis=False),
    "DAVIS128": Chip(128, 128, davis=True),
    "DAVIS208": Chip(208, 192, davis=True),
    "DAVIS240": Chip(240, 180, davis=True),
    "DAVIS346": Chip(346, 260, davis=True),
    "DAVIS640": Chip(640, 480, davis=True),
}


def read_aedat2(path: Path) -> Iterator[Columns]:
    """The events of a file, in parts; ``y`` counts from above."""
    wrapping = Wrapping(32)
    with path.open("rb") as file:
        require_version(file, VERSION)
        begin = file.tell()
        skip_header(file)
        size = file.tell() - begin
        file.seek(begin)
        chip = _chip(file.read(size).decode("latin1"))
        columns = _davis if chip.davis else _dvs128
        for data in record_parts(file, EVENT_BYTES):
            words = np.frombuffer(data, ">u4").reshape(-1, 2).astype(np.uint32)
            yield columns(words[:, 0], wrapping.unwrap(words[:, 1]), chip)


def _chip(header: str) -> Chip:
    if (match := _CHIP.search(header)) is None:
        return CHIPS["DVS128"]
    name = match[1].rpartition(".")[2]
    known = next((chip for start, chip in CHIPS.items() if name.upper().startswith(start)), None)
    if known is None:
        if "DVS128" in name.upper():
            return CHIPS["DVS128"]
        raise DataError(f"it is of the chip '{name[:60]}'; known: {', '.join(CHIPS)}")
    return known


def _dvs128(address: NDArray[np.uint32], t: NDArray[np.int64], chip: Chip) -> Columns:
    if (address >= 2 * _PULSE).any():
        raise DataError(f"an address of {int(address.max()):#x}: no DVS128, or damaged")
    pulse = address >= _PULSE
    if pulse.any():
        address, t = address[~pulse], t[~pulse]
    narrow = address.astype(np.int16)
    last = chip.width - 1
    return Columns(last - (narrow >> 1 & last), last - (narrow >> 8), t, 1 - (narrow & 1))


def _davis(address: NDArray[np.uint32], t: NDArray[np.int64], chip: Chip) -> Columns:
    event = address & np.uint32(1 << 31 | 1 << 10) == 0
    wide, t = address[event].astype(np.int64), t[event]
    x, y = chip.width - 1 - (wide >> 12 & 0x3FF), chip.height - 1 - (wide >> 22 & 0x1FF)
    return Columns(x, y, t, wide >> 11 & 1)
