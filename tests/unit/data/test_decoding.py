"""Images decoded before they are asked for: the same pixels, each decoded once, no more kept than said."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from support.images import write_image_folder

from snn_deploy.data import decoding
from snn_deploy.data.decoding import Decoder, decode_image
from snn_deploy.errors import DataError


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    write_image_folder(tmp_path)
    return sorted((tmp_path / "train").rglob("*.png"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which images were decoded, in order."""
    calls: list[Path] = []

    def watched(path: Path, size: int, resize: int) -> decoding.Pixels:
        calls.append(path)
        return decode_image(path, size, resize)

    monkeypatch.setattr(decoding, "decode_image", watched)
    return calls


def test_expected_images_are_decoded_once_and_are_the_same(paths: list[Path], decoded: list[Path]) -> None:
    decoder = Decoder(paths[0].parents[1], 8, 9, workers=3)
    for start in range(0, 8, 2):
        decoder.expect(paths[start : start + 4])
        found = decoder.decode(paths[start : start + 2])
        assert np.array_equal(found, [decode_image(path, 8, 9) for path in paths[start : start + 2]])
    decoder.decode(paths[8:10])
    assert sorted(decoded) == sorted(paths[:10])


def test_decoding_begins_before_it_is_asked_for(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def noticed(path: Path, size: int, resize: int) -> decoding.Pixels:
        done.set()
        return decode_image(path, size, resize)

    monkeypatch.setattr(decoding, "decode_image", noticed)
    decoder = Decoder(paths[0].parents[1], 8, 9, workers=1)
    decoder.expect(paths[:1])
    assert done.wait(30)


def test_what_is_no_longer_expected_is_forgotten(paths: list[Path], decoded: list[Path]) -> None:
    decoder = Decoder(paths[0].parents[1], 8, 9, workers=1)
    decoder.expect(paths[:2])
    decoder.decode(paths[1:2])
    decoder.expect(paths[2:3])
    decoder.decode(paths[:3])
    assert decoded.count(paths[0]) == 2
    assert decoded.count(paths[1]) == 2
    assert decoded.count(paths[2]) == 1


def test_the_same_image_twice_in_a_batch(paths: list[Path]) -> None:
    decoder = Decoder(paths[0].parents[1], 8, 9, workers=2)
    decoder.expect([paths[0], paths[0]])
    found = decoder.decode([paths[0], paths[0]])
    assert np.array_equal(found[0], found[1])


def test_damage_is_told_when_the_image_is_asked_for(paths: list[Path]) -> None:
    paths[1].write_bytes(b"\x89PNG damaged")
    decoder = Decoder(paths[0].parents[1], 8, 9, workers=2)
    decoder.expect(paths[:4])
    assert decoder.decode(paths[2:4]).shape == (2, 3, 8, 8)
    with pytest.raises(DataError, match="1 images") as caught:
        decoder.decode(paths[:2])
    assert [problem.where for problem in caught.value.problems] == [f"{paths[1].parent.name}/{paths[1].name}"]
