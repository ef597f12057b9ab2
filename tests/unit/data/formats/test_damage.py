"""Whatever a parser of a stranger's file raises is one of our errors, and says what is wrong."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.parsing import named_damage
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats.base import Columns, checked
from snn_deploy.data.formats.chosen import read_any

SENSOR = Sensor(2, 16, 16)
HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }"


def npy(header: str) -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(96)


def archive(change) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name in "xypt":
            content = io.BytesIO()
            np.save(content, np.arange(300) % 2)
            file.writestr(f"{name}.npy", content.getvalue())
    return change(bytearray(stream.getvalue()))


def overwritten(data: bytearray) -> bytes:
    """Noise in packed bytes."""
    data[45:60] = b"\xff" * 15
    return bytes(data)


def encrypted(data: bytearray) -> bytes:
    data[6] |= 1
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", npy(HEADER.replace("}", ""))),  # the tokenizer's error
        ("a.npy", npy(HEADER.replace("3", "9" * 30))),  # beyond a C long
        ("a.npy", npy(HEADER.replace("3", "1.5"))),  # no integer
        ("a.npy", npy(HEADER.replace("3", "-3"))),
        ("a.npy", npy(HEADER.replace("(3, 4)", "(" * 300))),
        ("a.npy", npy(HEADER.replace("<f8", "|O"))),
        ("a.npy", npy(HEADER.replace("'<f8'", "[('x','<i8'),('y','<i8'),('t','<i8'),('p','<i8',(99,))]"))),
        ("a.npy", npy(HEADER.replace("(3, 4)", f"({2**62}, 0)"))),
        ("a.npy", b"PK\x03\x04" + bytes(60)),
        ("a.npz", archive(overwritten)),
        ("a.npz", archive(encrypted)),
        ("a.npz", archive(lambda data: bytes(data[:-30]))),
        ("a.bin", b""),
        ("a.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(90)),
        ("a.mat", bytes(124) + b"\x00\x01IM" + struct.pack("<II", 15, 9) + zlib.compress(b"")[:9] + b"x" * 9),
        ("a.mat", bytes(124) + b"\x00\x01IM" + struct.pack("<II", 14, 8) + struct.pack("<II", 6, 4)),
        ("a.mat", bytes(124) + b"\x00\x01IM" + struct.pack("<II", 14, 2**31)),
    ],
)
def test_damage_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(checked(read_any(tmp_path / name), SENSOR))
    assert " " in str(caught.value)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("x"), "odd: KeyError x"),
        (UnboundLocalError("local variable 'a' referenced"), "odd: local variable 'a' referenced"),
        (MemoryError(), "odd: MemoryError"),
        (RecursionError("maximum depth\nof it."), "odd: maximum depth"),
        (OSError("no fields"), "odd: no fields"),
        (FileNotFoundError(2, "No such file"), "cannot be read: No such file"),
        (ValueError("long " * 99), "odd: " + ("long " * 99)[:200]),
    ],
)
def test_what_a_parser_raises_becomes_its_reason(error, text):
    with pytest.raises(DataError) as caught, named_damage("odd"):
        raise error
    assert caught.value.message == text


def test_our_own_errors_and_interrupts_pass():
    for error in (ConfigError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)), named_damage("odd"):
            raise error


def test_a_reader_that_fails_between_its_parts_is_named():
    def parts():
        one = np.zeros(1, int)
        yield Columns(one, one, one, one)
        raise IndexError("out of range")

    with pytest.raises(DataError, match="cannot be read: out of range"):
        list(checked(parts(), SENSOR))
