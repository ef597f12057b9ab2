from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.data import real_data
from support.images import idx, write_mnist

from snn_deploy.core.errors import DataError
from snn_deploy.data.options.sets import MnistOptions
from snn_deploy.data.sets import mnist as module
from snn_deploy.data.sets.images import NORMALIZATIONS
from snn_deploy.data.sets.mnist import mnist, read_idx


def load(root, **options):
    return mnist(MnistOptions(**({"root": root, "validation": 20, "normalize": None} | options)), timesteps=3)


@pytest.mark.parametrize("packed", [True, False])
def test_images_labels_and_splits(tmp_path, packed):
    content = write_mnist(tmp_path / "raw", packed=packed)
    data = load(tmp_path / "raw")
    assert (data.name, data.shape, data.classes) == ("mnist", (1, 28, 28), tuple("0123456789"))
    assert (len(data.train), len(data.validation), len(data.test)) == (80, 20, 50)
    x = data.test.batch(torch.arange(50))
    assert x.shape == (3, 50, 1, 28, 28)
    np.testing.assert_allclose(x[2, :, 0].numpy(), content["t10k-images-idx3-ubyte"] / 255, atol=1e-7)
    assert data.test.labels.tolist() == content["t10k-labels-idx1-ubyte"].tolist()
    assert torch.bincount(data.validation.labels).tolist() == [2] * 10
    train = content["train-images-idx3-ubyte"]
    np.testing.assert_array_equal(data.train.pixels[:, 0].numpy(), train[data.train.samples])
    assert "Not the public MNIST: 100 training and 50 test images" in data.notes[1]


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(0, 5)] * 3)))
def test_idx_files_come_back(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("idx")
    (folder / "a").write_bytes(idx(array))
    (folder / "a.gz").write_bytes(gzip.compress(idx(array)))
    np.testing.assert_array_equal(read_idx(folder / "a", 3), array)
    np.testing.assert_array_equal(read_idx(folder / "a.gz", 3), array)


def header(*words):
    return struct.pack(f">{len(words)}I", *words)


FAULTS = {
    "empty": (b"", "0 bytes are shorter than its header"),
    "short header": (header(0x803, 2, 2), "12 bytes are shorter than its header"),
    "other type": (header(0xD03, 1, 1, 1) + b"\0", "begins with 0x00000d03, not with 0x00000803"),
    "other dimensions": (header(0x801, 1, 1, 1), "begins with 0x00000801, not with 0x00000803"),
    "too short": (header(0x803, 1, 2, 2) + b"abc", "announces 4 values and has 3"),
    "too long": (header(0x803, 1, 2, 2) + b"abcde", "announces 4 values and has more"),
    "huge": (
        header(0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1),
        "announces 79228162458924105385300197375 values",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("packed", [True, False])
def test_untrue_header_is_refused(tmp_path, fault, packed):
    content, reason = FAULTS[fault]
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError) as caught:
        read_idx(path, 3)
    assert reason in caught.value.message


def test_no_more_is_unpacked_than_announced(tmp_path, monkeypatch):
    read = []

    class Counting(gzip.GzipFile):
        def read(self, size=-1):
            data = super().read(size)
            read.append((size, len(data)))
            return data

    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(0x803, 1, 2, 2) + bytes(50_000_000)))
    monkeypatch.setattr(module.gzip, "open", Counting)
    with pytest.raises(DataError, match="announces 4 values and has more"):
        read_idx(path, 3)
    assert read == [(16, 16), (5, 5)]


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip"])
def test_damaged_archive(tmp_path, damage):
    content = bytearray(gzip.compress(idx(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))))
    if damage == "cut":
        del content[-12:]
    elif damage == "flipped":
        content[-6] ^= 1  # in the checksum
    else:
        content[:2] = b"PK"
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "a.gz", 3)


def test_all_faults_of_a_folder_at_once(tmp_path):
    root = tmp_path / "raw"
    write_mnist(root, packed=False)
    (root / "train-labels-idx1-ubyte").unlink()
    (root / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((50, 27, 28), np.uint8)))
    (root / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(49, dtype=np.uint8) % 11))
    with pytest.raises(DataError) as caught:
        load(root)
    assert [(problem.where, problem.what) for problem in caught.value.problems] == [
        ("train-labels-idx1-ubyte", "the file is absent, plain and with .gz"),
        ("t10k-images-idx3-ubyte", "images of 27x28 pixels"),
        ("t10k", "50 images and 49 labels"),
        ("t10k-labels-idx1-ubyte", "the label 10"),
    ]


def test_no_images(tmp_path):
    write_mnist(tmp_path / "raw", test=0)
    with pytest.raises(DataError, match="t10k: no images"):
        load(tmp_path / "raw")


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="There is no MNIST folder"):
        load(tmp_path / "raw")


def test_real_images():
    data = mnist(MnistOptions(root=real_data("MNIST/raw")), timesteps=1)
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.notes == ("5000 of 60000 training images are held out for validation.",)
    std, mean = torch.std_mean(data.train.pixels.float() / 255)
    assert mean.item() == pytest.approx(NORMALIZATIONS["mnist"].mean[0], abs=2e-4)
    assert std.item() == pytest.approx(NORMALIZATIONS["mnist"].std[0], abs=2e-4)
