"""Arrays of bytes in idx files, the form of MNIST and of the sets that took its place.

An idx file is a header of big-endian 32-bit words and then the values. The first word has ``0x08`` (bytes)
and the number of dimensions in its two low bytes; the dimensions follow.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError

MAX_VALUES = 256 << 20
"""Five times the largest public file; bounds what one header can ask for."""

_BYTES = 0x08


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The bytes of an idx file, unpacked when its name ends in ``.gz``, in an array of its dimensions.

    No more is unpacked than the header announces.

    Raises:
        DataError: it cannot be read, is not such a file, is too large, too short or too long.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _parse_idx(cast(BinaryIO, file), dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}") from None


def idx_sha256(values: NDArray[np.uint8]) -> str:
    """SHA-256 of the unpacked idx file that holds ``values``; packing does not change it."""
    digest = hashlib.sha256(struct.pack(f">{1 + values.ndim}I", _BYTES << 8 | values.ndim, *values.shape))
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _parse_idx(file: BinaryIO, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 * (1 + dimensions))
    expected = _BYTES << 8 | dimensions
    if len(header) < 4 * (1 + dimensions):
        raise DataError(f"{len(header)} bytes are shorter than its header")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if magic != expected:
        raise DataError(
            f"begins with {magic:#010x}, not with {expected:#010x}: bytes in {dimensions} dimensions"
        )
    size = math.prod(shape)
    if size > MAX_VALUES:
        raise DataError(f"announces {size} values; the limit is {MAX_VALUES}")
    values = file.read(size + 1)
    if len(values) != size:
        amount = "more" if len(values) > size else f"{len(values)}"
        raise DataError(f"announces {size} values and has {amount}")
    return np.frombuffer(values, np.uint8).reshape(shape)
