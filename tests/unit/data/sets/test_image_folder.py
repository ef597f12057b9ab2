from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy.ndimage import convolve1d
from support.images import write_image_folder

from snn_deploy.core.errors import DataError
from snn_deploy.data.loading import decoding as module
from snn_deploy.data.loading.decoding import decode_image
from snn_deploy.data.options.sets import ImageFolderOptions
from snn_deploy.data.sets.image_folder import image_folder


@pytest.fixture
def root(tmp_path):
    write_image_folder(tmp_path / "set")
    return tmp_path / "set"


def load(root, timesteps=2, **options):
    options = {"root": root, "size": 14, "resize": 16, "validation": 0.34, "normalize": None} | options
    return image_folder(ImageFolderOptions(**options), timesteps=timesteps)


def save(path, pixels, **how):
    Image.fromarray(pixels).save(path, **how)
    return path


def test_splits_classes_and_order(root):
    data = load(root)
    assert (data.name, data.shape, data.classes) == ("image-folder", (3, 14, 14), ("cat", "dog"))
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 4, 6)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert data.validation.labels.tolist() == [0, 0, 1, 1]
    files = [*data.train.files.tolist(), *data.validation.files.tolist()]
    assert sorted(files) == sorted(f"{name}_{n}.png".encode() for name in ("cat", "dog") for n in range(6))
    assert data.test.samples.tolist() == list(range(12, 18))
    assert data.notes[0] == "The folder 'set' with 2 classes; the test set is its 'val'."


def test_batches_are_decoded_from_disk(root):
    data = load(root, workers=3)
    indices = torch.tensor([5, 0, 3])
    x = data.test.batch(indices)
    assert x.shape == (2, 3, 3, 14, 14)
    names = ["dog/dog_2", "cat/cat_0", "dog/dog_0"]
    expected = np.stack([decode_image(root / "val" / f"{name}.png", 14, 16) for name in names])
    np.testing.assert_array_equal(x[1].numpy(), expected.astype(np.float32) / 255)


def test_central_square_by_hand(tmp_path):
    # 16 x 24 pixels of blocks 2 x 2; brought to half the size, each block is one pixel.
    blocks = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    path = save(tmp_path / "a.png", np.kron(blocks, np.ones((2, 2, 1), np.uint8)))
    found = decode_image(path, 8, 8).transpose(1, 2, 0)
    # Bilinear with a triangle as wide as two blocks: 1/8, 3/4 and 1/8 of the neighbours' values.
    taps = np.array([1, 6, 1]) / 8
    smooth = convolve1d(convolve1d(blocks.astype(float), taps, axis=0), taps, axis=1)
    np.testing.assert_allclose(found[1:-1, 1:-1], smooth[1:-1, 3:9], atol=1.0)  # rounded after each axis


def test_usual_two_steps_show_the_same(tmp_path):
    random = np.random.default_rng(0)
    smooth = np.add.outer(np.linspace(0, 120, 300), np.linspace(0, 120, 420)) + random.uniform(
        0, 5, (300, 420)
    )
    path = save(tmp_path / "a.png", np.repeat(smooth.astype(np.uint8)[:, :, None], 3, 2))
    with Image.open(path) as image:
        resized = image.resize((round(420 * 256 / 300), 256), Image.Resampling.BILINEAR)
    left = (resized.width - 224) // 2
    usual = np.asarray(resized.crop((left, 16, left + 224, 240))).transpose(2, 0, 1).astype(int)
    assert np.abs(decode_image(path, 224, 256) - usual).max() <= 2


def test_training_crops_come_from_the_larger_square(root):
    data = load(root, augment={"resized_crop": (0.5, 1.0), "flip": True})
    given = data.training.batch(torch.arange(8))
    assert given.dtype == torch.uint8
    assert given.shape == (2, 8, 3, 16, 16)
    made = data.augment(given, torch.Generator().manual_seed(0))
    assert made.shape == (2, 8, 3, 14, 14)
    assert data.train.batch(torch.arange(8)).shape == made.shape
    assert torch.equal(data.training.labels, data.train.labels)


def test_training_without_crops_sees_the_central_part(root):
    data = load(root, augment={"flip": True})
    given = data.training.batch(torch.arange(3))
    assert torch.equal(given.float() / 255, data.train.batch(torch.arange(3)))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK"])
def test_other_modes_become_colour(tmp_path, mode):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :, 1] = 255
    image = Image.fromarray(pixels).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path, **({"transparency": bytes([9] * 256)} if mode == "P" else {}))
    found = decode_image(path, 8, 8)
    assert found.shape == (3, 8, 8)
    with Image.open(path) as again:
        expected = np.asarray(again.convert("RGBA").convert("RGB"))[10, 15]
    assert np.abs(found[:, 4, 4].astype(int) - expected).max() <= 1


def test_every_damaged_image_of_a_batch_is_named(root):
    train = root / "train"
    whole = (train / "cat" / "cat_1.png").read_bytes()
    (train / "cat" / "cat_1.png").write_bytes(whole[: len(whole) // 2])
    (train / "cat" / "cat_3.png").write_bytes(b"no image at all")
    (train / "dog" / "dog_2.png").write_bytes(whole[:60] + bytes(40) + whole[100:])
    data = load(root, validation=0.1)
    with pytest.raises(DataError) as caught:
        data.train.batch(torch.arange(len(data.train)))
    assert {problem.where for problem in caught.value.problems} == {
        "cat/cat_1.png",
        "cat/cat_3.png",
        "dog/dog_2.png",
    }
    assert "3 images in" in caught.value.message
    good = [i for i, file in enumerate(data.train.files.tolist()) if file in (b"cat_0.png", b"dog_4.png")]
    assert data.train.batch(torch.tensor(good)).shape[1] == 2


def test_an_image_that_went_away_is_named(root):
    data = load(root)
    (root / "val" / "cat" / "cat_2.png").unlink()
    with pytest.raises(DataError, match=r"cat/cat_2\.png: cannot be decoded: .*No such file"):
        data.test.batch(torch.tensor([2]))


def png(width, height):
    """A PNG file that announces a size and has no pixels."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8193, 8192), (10_000, 10_000), (100_000, 100_000)])
def test_decompression_bomb_is_refused_by_its_header(tmp_path, size):
    path = tmp_path / "a.png"
    path.write_bytes(png(*size))
    with pytest.raises(DataError, match="pixels; the limit is 67108864"):
        decode_image(path, 8, 8)


def test_largest_size_is_not_a_bomb(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    monkeypatch.setattr(module, "MAX_PIXELS", 1200)
    assert decode_image(path, 8, 8).shape == (3, 8, 8)
    monkeypatch.setattr(module, "MAX_PIXELS", 1199)
    with pytest.raises(DataError, match="40 x 30 pixels; the limit is 1199"):
        decode_image(path, 8, 8)


def test_other_decoders_are_not_tried(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(path, format="TIFF")
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(path, 8, 8)


def test_only_images_are_listed(root):
    (root / "train" / "cat" / "notes.txt").write_text("x")
    (root / "train" / "cat" / "folder.png").mkdir()
    (root / "train" / "LICENSE").write_text("x")
    save(root / "train" / "cat" / "z.JPEG", np.zeros((20, 20, 3), np.uint8), format="JPEG")
    data = load(root)
    assert len(data.train) + len(data.validation) == 13
    assert data.classes == ("cat", "dog")


def test_incomplete_folder_names_all_faults(root):
    (root / "train" / "bird").mkdir()
    for file in (root / "val" / "dog").iterdir():
        file.unlink()
    with pytest.raises(DataError) as caught:
        load(root)
    assert [(problem.where, problem.what.partition(" (")[0]) for problem in caught.value.problems] == [
        ("train/bird", "no image"),
        ("val/dog", "no image"),
        ("train/bird", "there is no val/bird"),
    ]


def test_missing_folders(tmp_path):
    with pytest.raises(DataError, match="There is no image folder at"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert [problem.where for problem in caught.value.problems] == ["train", "val"]


def test_resize_below_size_is_refused():
    with pytest.raises(ValidationError, match=r"resize \(200\) is smaller than size \(224\)"):
        ImageFolderOptions(resize=200)


def test_digest_covers_names_and_sizes(root):
    first = load(root).digest
    assert load(root.rename(root.parent / "moved")).digest == first
    moved = root.parent / "moved"
    assert load(moved, size=12).digest != first
    (moved / "val" / "cat" / "cat_0.png").rename(moved / "val" / "cat" / "cat_00.png")
    assert load(moved).digest != first


def test_names_that_are_not_text(root):
    odd = root / "val" / "cat" / "caf\udce9.png"
    (root / "val" / "cat" / "cat_0.png").rename(odd)
    data = load(root)
    assert data.test.batch(torch.arange(3)).shape == (2, 3, 3, 14, 14)
