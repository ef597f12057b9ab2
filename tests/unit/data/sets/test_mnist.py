from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.data import real_data
from support.images import idx, write_mnist

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.options.sets import FashionMnistOptions, IdxOptions
from snn_deploy.data.sets import mnist as module
from snn_deploy.data.sets.idx import idx_sha256, read_idx
from snn_deploy.data.sets.images import NORMALIZATIONS
from snn_deploy.data.sets.mnist import FASHION_MNIST, MNIST, fashion_mnist, mnist

SETS = {
    "MNIST": (MNIST, mnist, IdxOptions),
    "FashionMNIST": (FASHION_MNIST, fashion_mnist, FashionMnistOptions),
}


def load(root, made=mnist, **options):
    given = {"root": root, "validation": 20, "normalize": None, "verify": False} | options
    return made(IdxOptions(**given), timesteps=3)


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


def test_registry_knows_both():
    for layout, factory, options in SETS.values():
        entry = DATASETS.get(layout.name)
        assert (entry.factory, entry.options) == (factory, options)


def test_content_that_is_not_published_is_refused_unless_allowed(tmp_path):
    content = write_mnist(tmp_path / "raw")
    with pytest.raises(DataError, match="is not as published") as caught:
        load(tmp_path / "raw", verify=True)
    assert [(problem.where, problem.what) for problem in caught.value.problems] == [
        (name, f"its content has the SHA-256 {idx_sha256(content[name])}") for name in MNIST.sha256
    ]
    assert "data.verify=false" in caught.value.hint


@pytest.mark.parametrize("verify", [True, False])
def test_files_of_the_other_set_are_refused_with_their_name(tmp_path, monkeypatch, verify):
    content = write_mnist(tmp_path / "raw")
    own = replace(FASHION_MNIST, sha256={name: idx_sha256(values) for name, values in content.items()})
    monkeypatch.setattr(module, "LAYOUTS", (MNIST, own))
    with pytest.raises(DataError, match="holds Fashion-MNIST, not MNIST") as caught:
        load(tmp_path / "raw", verify=verify)
    assert "data.name=fashion-mnist" in caught.value.hint
    assert len(caught.value.problems) == 4


def test_full_size_of_other_content_is_said(tmp_path, monkeypatch):
    write_mnist(tmp_path / "raw")
    monkeypatch.setattr(module, "PUBLISHED", (100, 50))
    assert load(tmp_path / "raw").notes[1] == (
        "The files were not compared with the published MNIST (verify=false)."
    )


def test_folder_of_the_system_is_found_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("SNN_DEPLOY_DATA", str(tmp_path))
    installed = replace(FASHION_MNIST, folders=("FashionMNIST/raw", str(tmp_path / "usr")))
    monkeypatch.setattr(module, "FASHION_MNIST", installed)
    with pytest.raises(DataError, match=f"There is no Fashion-MNIST folder at '{tmp_path}/FashionMNIST/raw'"):
        load(None, fashion_mnist)
    write_mnist(tmp_path / "usr")
    assert len(load(None, fashion_mnist).test) == 50
    write_mnist(tmp_path / "FashionMNIST" / "raw", test=30)
    assert len(load(None, fashion_mnist).test) == 30


@pytest.mark.parametrize("folder", SETS)
def test_real_images(folder):
    layout, factory, options = SETS[folder]
    data = factory(options(root=real_data(f"{folder}/raw")), timesteps=1)
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)
    assert (
        data.test.labels[:10].tolist()
        == {
            "MNIST": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
            "FashionMNIST": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
        }[folder]
    )
    assert data.notes == ("5000 of 60000 training images are held out for validation.",)
    std, mean = torch.std_mean(data.train.pixels.float() / 255)
    statistics = NORMALIZATIONS[layout.name]
    assert mean.item() == pytest.approx(statistics.mean[0], abs=2e-4)
    assert std.item() == pytest.approx(statistics.std[0], abs=2e-4)


def test_one_changed_label_of_the_real_set_is_named(tmp_path):
    root = real_data("FashionMNIST/raw")
    for path in root.iterdir():
        shutil.copy(path, tmp_path)
    labels = read_idx(root / "t10k-labels-idx1-ubyte.gz", 1).copy()
    labels[7] = 0
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(DataError, match="is not as published") as caught:
        fashion_mnist(FashionMnistOptions(root=tmp_path), timesteps=1)
    assert [problem.where for problem in caught.value.problems] == ["t10k-labels-idx1-ubyte"]


def test_the_real_sets_are_told_apart():
    with pytest.raises(DataError, match="holds Fashion-MNIST, not MNIST"):
        mnist(IdxOptions(root=real_data("FashionMNIST/raw"), verify=False), timesteps=1)
    with pytest.raises(DataError, match="holds MNIST, not Fashion-MNIST"):
        fashion_mnist(FashionMnistOptions(root=real_data("MNIST/raw")), timesteps=1)
