from __future__ import annotations

import contextlib
import struct
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.events import rows
from support.judges import judged
from support.recordings import aedat4, event_packet, io_header, some_events

from snn_deploy.core.errors import DataError, MissingOptionalError
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats import aedat4 as module
from snn_deploy.data.formats.aedat4 import read_aedat4
from snn_deploy.data.formats.base import checked

pytest.importorskip("flatbuffers")
pytest.importorskip("lz4.frame")

SENSOR = Sensor(2, 128, 128)
MAGIC = b"#!AER-DAT4.0\r\n"
EVENTS = some_events(1, 90)
PACKETS = [EVENTS[:30], [], EVENTS[30:31], EVENTS[31:]]


def read(path):
    return [event for part in checked(read_aedat4(path), SENSOR) for event in rows(part, SENSOR)]


def written(tmp_path, content):
    path = tmp_path / "a.aedat4"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("part", [1, 40, 1 << 18])
@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("compression", [0, 1, 2])
def test_what_flatbuffers_and_lz4_write_is_read(tmp_path, monkeypatch, compression, table, part):
    monkeypatch.setattr(module, "PART", part)
    path = written(tmp_path, aedat4(PACKETS, compression=compression, table=table))
    assert read(path) == EVENTS


def other_stream(kind: bytes) -> bytes:
    content = event_packet([(1, 1, 1, 1)]).replace(b"EVTS", kind)
    return struct.pack("<ii", 7, len(content)) + content


def test_other_streams_are_skipped(tmp_path):
    content = aedat4(PACKETS, compression=0, table=False) + other_stream(b"IMUS")
    assert read(written(tmp_path, content)) == EVENTS


AEDAT = """
import sys, aedat, numpy as np
packets = [packet["events"] for packet in aedat.Decoder(sys.argv[1])]
rows = [
    (int(e["x"]), int(e["y"]), int(e["t"]), int(e["on" if "on" in e.dtype.names else "p"]))
    for events in packets for e in events
]
np.save(sys.argv[2], np.array(rows))
"""


def test_an_independent_decoder_reads_the_same(tmp_path):
    path = written(tmp_path, aedat4(PACKETS))
    judged("aedat", AEDAT, path, tmp_path / "out.npy")
    assert read(path) == [tuple(row) for row in np.load(tmp_path / "out.npy").tolist()]


def uncompressed(body: bytes, position: int = -1) -> bytes:
    return MAGIC + io_header(0, position) + body


def packet(content: bytes) -> bytes:
    return struct.pack("<ii", 0, len(content)) + content


GOOD = event_packet(EVENTS[:3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#!AER-DAT3.1\r\n", "it is AEDAT 3.1, not 4.0"),
        (MAGIC + b"\x01", "it ends within its header: 1 of 4 bytes"),
        (MAGIC + struct.pack("<I", 2 << 20), "a header of 2097152 bytes"),
        (MAGIC + struct.pack("<I", 9) + bytes(4), "it ends within its header: 4 of 9 bytes"),
        (MAGIC + struct.pack("<II", 4, 99), "an offset of 99 in 4 bytes"),
        (MAGIC + io_header(3, -1), "compression Zstandard; known: none, LZ4"),
        (MAGIC + io_header(77, -1), "compression 77"),
        (uncompressed(b"", 9_999), "table of contents is said to be at byte 9999"),
        (uncompressed(b"12345"), "it ends within a packet's header: 5 of 8 bytes"),
        (uncompressed(struct.pack("<ii", 0, 100)), "a packet of 100 bytes; 0 are left"),
        (uncompressed(struct.pack("<ii", 0, -1)), "a packet of -1 bytes"),
        (uncompressed(b""), "there is no event in it"),
        (uncompressed(packet(GOOD) + other_stream(b"EVTS")), "events in 2 streams"),
        (uncompressed(packet(GOOD[:-20])), "announces 3 events"),
        (MAGIC + io_header(1, -1) + packet(b"no frame of LZ4"), "a packet cannot be unpacked"),
        (aedat4(PACKETS, table=False)[:-4], "a packet of"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, content))


def test_a_cut_frame_and_one_that_unpacks_to_too_much_are_refused(tmp_path, monkeypatch):
    import lz4.frame

    frame = lz4.frame.compress(event_packet(EVENTS))
    header = MAGIC + io_header(1, -1)
    with pytest.raises(DataError, match="a packet is cut"):
        read(written(tmp_path, header + packet(frame[:-8])))
    monkeypatch.setattr(module, "MAX_PACKET_BYTES", 1000)
    with pytest.raises(DataError, match="unpacks to more than 1000 bytes"):
        read(written(tmp_path, header + packet(lz4.frame.compress(bytes(100_000)))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(at=st.integers(0, 5000), value=st.integers(0, 255))
def test_no_damage_causes_anything_but_a_data_error(tmp_path, at, value):
    content = bytearray(aedat4(PACKETS, compression=0))
    content[at % len(content)] = value
    with contextlib.suppress(DataError):
        read(written(tmp_path, bytes(content)))


def test_missing_lz4_says_how_to_install_it(tmp_path, monkeypatch):
    path = written(tmp_path, aedat4(PACKETS))
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(MissingOptionalError) as caught:
        read(path)
    assert caught.value.exit_code == 6
    assert caught.value.hint == "pip install 'snn-deploy[events]'"
