"""Readers of binary formats: what is written is read, in one part or many; what is damaged is said."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.data import real_data
from support.events import rows
from support.recordings import AEDAT2_HEADER, AEDAT3_HEADER, aedat2, aedat3, bits40, packet3, some_events

from snn_deploy.core.errors import DataError
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.formats import aedat3 as aedat3_module
from snn_deploy.data.formats import base
from snn_deploy.data.formats.aedat2 import read_aedat2
from snn_deploy.data.formats.aedat3 import read_aedat3
from snn_deploy.data.formats.base import checked
from snn_deploy.data.formats.bits40 import read_bits40
from snn_deploy.data.formats.chosen import READERS, read_any

LARGE = Sensor(2, 128, 128)
SMALL = Sensor(2, 34, 34)


def read(path, reader, sensor=LARGE):
    return [event for part in checked(reader(path), sensor) for event in rows(part, sensor)]


def written(tmp_path, content, name="a.aedat"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 90), part=st.sampled_from([1, 7, 30, 1 << 18]))
@pytest.mark.parametrize(
    ("reader", "writer", "sensor"),
    [
        (read_bits40, bits40, SMALL),
        (read_aedat2, aedat2, LARGE),
        (read_aedat3, aedat3, LARGE),
    ],
)
def test_what_is_written_is_read_in_parts_of_any_size(tmp_path, reader, writer, sensor, seed, count, part):
    events = some_events(seed, count, height=sensor.height, width=sensor.width)
    path = written(tmp_path, writer(events))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base.record_parts, "__defaults__", (part,))
        patch.setattr(aedat3_module, "PART", part)
        assert read(path, reader, sensor) == events
        assert max(len(columns.t) for columns in reader(path)) <= part + 24


def test_bits40_overflow_marks_continue_the_clock(tmp_path):
    # Two marks: 2^13 us each, for all that follows; a part boundary between them.
    raw = [(1, 1, 5, 0), (0, 240, 0, 0), (2, 2, 6, 1), (0, 240, 0, 0), (3, 3, 7, 0)]
    path = written(tmp_path, bits40(raw), "a.bin")
    expected = [(1, 1, 5, 0), (2, 2, 6 + 8192, 1), (3, 3, 7 + 16384, 0)]
    with pytest.MonkeyPatch.context() as patch:
        for part in (1, 2, 3, 99):
            patch.setattr(base.record_parts, "__defaults__", (part,))
            assert read(path, read_bits40, SMALL) == expected


def test_tonic_reads_the_same(tmp_path):
    from tonic.io import read_mnist_file

    path = written(tmp_path, bits40(some_events(1, 500, height=34, width=34)), "a.bin")
    theirs = read_mnist_file(str(path), dtype=np.dtype([(n, int) for n in "xytp"]))
    assert read(path, read_bits40, SMALL) == [tuple(int(v) for v in e.tolist()) for e in theirs]


@pytest.mark.parametrize("part", [1, 4, 5, 99])
def test_aedat2_time_stamps_wrap(tmp_path, part):
    start = (1 << 32) - 100
    events = [(1, 2, start + 30 * n, n % 2) for n in range(9)]
    path = written(tmp_path, aedat2(events))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base.record_parts, "__defaults__", (part,))
        assert read(path, read_aedat2) == events


def test_aedat2_address_by_hand(tmp_path):
    # jAER, DVS128: bit 0 is 1 for OFF; bits 1 to 7 hold 127 - x; bits 8 to 14 count rows from below.
    word = 5 << 8 | 3 << 1 | 1
    path = written(tmp_path, AEDAT2_HEADER + struct.pack(">II", word, 77))
    assert read(path, read_aedat2) == [(124, 122, 77, 0)]


def test_aedat2_pulses_at_the_input_are_no_events(tmp_path):
    pulse = struct.pack(">II", 0x8000, 10)
    path = written(tmp_path, AEDAT2_HEADER + pulse + aedat2([(1, 1, 20, 1)], b"") + pulse)
    assert read(path, read_aedat2) == [(1, 1, 20, 1)]


def test_aedat2_header_may_lack_its_end_mark(tmp_path):
    path = written(tmp_path, aedat2([(1, 1, 20, 1)], b"#!AER-DAT2.0\r\n# a comment\r\n"))
    assert read(path, read_aedat2) == [(1, 1, 20, 1)]


def test_aedat3_overflow_spare_places_and_invalid_events(tmp_path):
    late = [(3, 4, (2 << 31) + 9, 1)]
    invalid = bytearray(packet3([(9, 9, 1, 1)], overflow=0))
    invalid[28] &= 0xFE
    packets = packet3([(1, 2, 5, 0)], spare=3) + bytes(invalid) + packet3(late, overflow=2)
    assert read(written(tmp_path, AEDAT3_HEADER + packets), read_aedat3) == [(1, 2, 5, 0), *late]


ONE2, ONE3 = aedat2([(1, 1, 5, 0)]), aedat3([(1, 1, 5, 0)])


def header3(*values):
    return AEDAT3_HEADER + struct.pack("<hhiiiiii", *values)


@pytest.mark.parametrize(
    ("reader", "content", "message"),
    [
        (read_aedat2, b"", "does not begin with '#!AER-DAT'"),
        (read_aedat2, b"#!AER-DAT2.0", "does not begin with"),
        (read_aedat2, b"#!AER-DAT2.0\r\n#" + b"x" * 20, "its text header has no end"),
        (read_aedat2, b"#!AER-DAT2.0\r\n" + b"#\n" * 10_001, "more than 10000 lines"),
        (read_aedat2, ONE3, "it is AEDAT 3.1, not 2.0"),
        (read_aedat2, ONE2[:-3], "5 bytes are left at its end"),
        (read_aedat2, AEDAT2_HEADER, "there is no event in it"),
        (read_aedat2, AEDAT2_HEADER + struct.pack(">II", 0x10000, 1), "an address of 0x10000"),
        (read_aedat3, ONE2, "it is AEDAT 2.0, not 3.1"),
        (read_aedat3, AEDAT3_HEADER, "there is no event in it"),
        (read_aedat3, ONE3[:-1], "it ends within a packet: 7 of 8 bytes"),
        (read_aedat3, ONE3 + b"12345", "it ends within a packet's header: 5 of 28 bytes"),
        (read_aedat3, header3(1, 1, 8, 4, 0, 1, 2, 2), "a packet of 2 in 1 events"),
        (read_aedat3, header3(1, 1, 8, 4, 0, -1, -1, 0), "a packet of -1 in -1 events"),
        (read_aedat3, header3(1, 1, 8, 4, -1, 0, 0, 0), "overflow -1"),
        (read_aedat3, header3(1, 1, 8, 4, 0, 2**31 - 1, 1, 1), "it ends within a packet"),
        (read_aedat3, header3(1, 1, 12, 4, 0, 0, 0, 0), "polarity events of 12 bytes"),
        (read_aedat3, header3(0, 1, -8, 4, 0, 0, 0, 0), "events of -8 bytes"),
        (read_aedat3, aedat3([(128, 1, 5, 0)]), "The events are damaged"),
        (read_aedat3, header3(1, 1, 8, 4, 0, 1, 1, 1) + struct.pack("<Ii", 1, -5), "time stamp is negative"),
    ],
)
def test_damaged_files_are_refused(tmp_path, reader, content, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, content), reader)


def test_a_packet_larger_than_the_limit_is_refused(tmp_path):
    path = written(tmp_path, header3(1, 1, 8, 4, 0, 9 << 20, 1, 1))
    with path.open("ab") as file:
        file.truncate(200 << 20)  # a sparse file
    with pytest.raises(DataError, match="the limit is 67108864"):
        read(path, read_aedat3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    at=st.integers(0, 400),
    value=st.integers(0, 255),
    cut=st.one_of(st.none(), st.integers(0, 400)),
    which=st.booleans(),
)
def test_no_damage_causes_anything_but_a_data_error(tmp_path, at, value, cut, which):
    content = bytearray((aedat2 if which else aedat3)(some_events(3, 20)))
    content[at % len(content)] = value
    path = written(tmp_path, bytes(content[:cut]))
    with contextlib.suppress(DataError):
        read(path, read_any)


def test_readers_are_chosen_by_name_and_version(tmp_path):
    events = some_events(5, 10)
    assert read(written(tmp_path, aedat2(events), "a.AEDAT"), read_any) == events
    assert read(written(tmp_path, aedat3(events), "b.aedat"), read_any) == events
    assert read(written(tmp_path, bits40(events), "c.bin"), read_any) == events
    with pytest.raises(DataError, match=r"it is AEDAT 1\.0; known: 2\.0, 3\.1, 4\.0"):
        read(written(tmp_path, b"#!AER-DAT1.0\r\n", "d.aedat"), read_any)
    with pytest.raises(DataError, match=r"its name ends in '\.avi'") as caught:
        read(written(tmp_path, b"", "e.avi"), read_any)
    assert all(suffix in caught.value.message for suffix in READERS)


def test_missing_file_is_a_data_error(tmp_path):
    for name in ("a.aedat", "a.bin"):
        with pytest.raises(DataError, match="cannot be read: No such file"):
            read(tmp_path / name, read_any)


def test_real_recordings(tmp_path):
    """Every event of the ten recordings is read, and they are as long as the publisher says."""
    total = 0
    for path in sorted(real_data("DVS128-objects").glob("*/*.aedat")):
        parts = list(checked(read_aedat2(path), LARGE))
        content = path.read_bytes()
        body = len(content) - content.index(b"#End Of ASCII Header\r\n") - 22
        assert sum(map(len, parts)) == body // 8
        seconds = (parts[-1].t[-1] - parts[0].t[0]) / 1e6
        assert 18 < seconds < 37
        total += body // 8
    assert total == 2_955_910
