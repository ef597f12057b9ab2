"""Images decoded before they are asked for: the same pixels, each decoded once, no more kept than said."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from support.images import write_image_folder

from snn_deploy.core.errors import DataError
from snn_deploy.data.loading import decoding
from snn_deploy.data.loading.decoding import Decoder, decode_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image_folder(tmp_path)
    return tmp_path / "train"


@pytest.fixture
def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Which images were decoded, in order."""
    calls: list[str] = []

    def watched(path: Path, size: int, resize: int) -> decoding.Pixels:
        calls.append(path.relative_to(folder).as_posix())
        return decode_image(path, size, resize)

    monkeypatch.setattr(decoding, "decode_image", watched)
    return calls


def test_expected_images_are_decoded_once_and_are_the_same(
    folder: Path, names: list[str], decoded: list[str]
) -> None:
    decoder = Decoder(folder, 8, 9, workers=3)
    for start in range(0, 8, 2):
        decoder.expect(names[start : start + 4])
        found = decoder.decode(names[start : start + 2])
        assert np.array_equal(found, [decode_image(folder / name, 8, 9) for name in names[start : start + 2]])
    decoder.decode(names[8:10])
    assert sorted(decoded) == sorted(names[:10])


def test_decoding_begins_before_it_is_asked_for(
    folder: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()

    def noticed(path: Path, size: int, resize: int) -> decoding.Pixels:
        done.set()
        return decode_image(path, size, resize)

    monkeypatch.setattr(decoding, "decode_image", noticed)
    decoder = Decoder(folder, 8, 9, workers=1)
    decoder.expect(names[:1])
    assert done.wait(30)


def test_what_is_no_longer_expected_is_forgotten(folder: Path, names: list[str], decoded: list[str]) -> None:
    decoder = Decoder(folder, 8, 9, workers=1)
    decoder.expect(names[:2])
    decoder.decode(names[1:2])
    decoder.expect(names[2:3])
    decoder.decode(names[:3])
    assert decoded.count(names[0]) == 2
    assert decoded.count(names[1]) == 2
    assert decoded.count(names[2]) == 1


def test_the_same_image_twice_in_a_batch(folder: Path, names: list[str]) -> None:
    decoder = Decoder(folder, 8, 9, workers=2)
    decoder.expect([names[0], names[0]])
    found = decoder.decode([names[0], names[0]])
    assert np.array_equal(found[0], found[1])


def test_damage_is_told_when_the_image_is_asked_for(folder: Path, names: list[str]) -> None:
    (folder / names[1]).write_bytes(b"\x89PNG damaged")
    decoder = Decoder(folder, 8, 9, workers=2)
    decoder.expect(names[:4])
    assert decoder.decode(names[2:4]).shape == (2, 3, 8, 8)
    with pytest.raises(DataError, match="1 images") as caught:
        decoder.decode(names[:2])
    assert [problem.where for problem in caught.value.problems] == [names[1]]
