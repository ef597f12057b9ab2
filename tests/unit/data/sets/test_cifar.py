from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
import torch
from support.data import real_data
from support.images import CIFAR10_NAMES, write_cifar10, write_cifar100

from snn_deploy.core.errors import DataError
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.options.sets import Cifar100Options, CifarOptions
from snn_deploy.data.sets.cifar import CIFAR10, CIFAR100, cifar10, cifar100
from snn_deploy.data.sets.images import NORMALIZATIONS


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "cifar-10-batches-py"
    content = write_cifar10(root)
    return root, content


def load(root, **options):
    options = {"root": root, "verify": False, "validation": 40, "normalize": None} | options
    return cifar10(CifarOptions(**options), timesteps=2)


def test_images_labels_and_splits(folder):
    root, content = folder
    data = load(root)
    assert (data.name, data.shape, data.classes) == ("cifar10", (3, 32, 32), tuple(CIFAR10_NAMES))
    assert (len(data.train), len(data.validation), len(data.test)) == (160, 40, 30)
    x = data.test.batch(torch.arange(30))[1]
    expected = content["test_batch"].reshape(30, 3, 32, 32) / 255  # red, green, blue planes, row by row
    np.testing.assert_allclose(x.numpy(), expected, atol=1e-7)
    assert data.test.labels.tolist() == content["test_batch.labels"].tolist()
    both = sorted([*data.train.samples.tolist(), *data.validation.samples.tolist()])
    assert both == list(range(200))
    everything = np.concatenate([content[f"data_batch_{n}"] for n in range(1, 6)])
    labels = np.concatenate([content[f"data_batch_{n}.labels"] for n in range(1, 6)])
    for split in (data.train, data.validation):
        pixels = split.pixels.reshape(len(split), -1).numpy()
        np.testing.assert_array_equal(pixels, everything[split.samples])
        assert split.labels.tolist() == labels[split.samples].tolist()
    assert torch.bincount(data.validation.labels).tolist() == [4] * 10


def test_files_of_python_3_are_read_too(folder):
    root, _ = folder
    for name in CIFAR10.train | CIFAR10.test:
        batch = pickle.loads((root / name).read_bytes(), encoding="bytes")
        (root / name).write_bytes(pickle.dumps({k.decode(): v for k, v in batch.items()}, 4))
    assert load(root).digest == load(write_again(root)).digest


def write_again(root):
    other = root.parent / "again" / root.name
    other.parent.mkdir()
    write_cifar10(other)
    return other


def test_cifar100_has_fine_labels(tmp_path):
    content = write_cifar100(tmp_path / "cifar-100-python")
    options = Cifar100Options(root=tmp_path / "cifar-100-python", verify=False, validation=100)
    data = cifar100(options, timesteps=1)
    assert len(data.classes) == 100
    assert data.classes[7] == "fine_7"
    assert (len(data.train), len(data.validation), len(data.test)) == (200, 100, 100)
    assert data.test.labels.tolist() == content["test.labels"].tolist()
    mean, std = NORMALIZATIONS["cifar100"]
    x = content["test"].reshape(-1, 3, 32, 32) / 255
    expected = (x - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(data.test.batch(torch.arange(100))[0].numpy(), expected, atol=1e-5)


def test_verification_names_every_file_with_both_checksums(folder):
    root, _ = folder
    (root / "data_batch_3").unlink()
    with pytest.raises(DataError) as caught:
        load(root, verify=True)
    problems = {problem.where: problem for problem in caught.value.problems}
    # The meta file that we write is the published one to the last bit; the others are small.
    assert set(problems) == {*CIFAR10.train, *CIFAR10.test}
    found = hashlib.md5((root / "data_batch_1").read_bytes()).hexdigest()
    assert problems["data_batch_1"].what == f"its MD5 is {found}"
    assert problems["data_batch_1"].rule == f"the published MD5 {CIFAR10.train['data_batch_1']}"
    assert problems["data_batch_3"].what == "the file is absent"
    assert "-o data.verify=false" in caught.value.hint


def test_verified_files_are_read(folder, monkeypatch):
    root, _ = folder
    for files in (CIFAR10.train, CIFAR10.test):
        for name in files:
            monkeypatch.setitem(files, name, hashlib.md5((root / name).read_bytes()).hexdigest())
    data = load(root, verify=True)
    assert data.digest != load(root, verify=False).digest
    assert not any("verify" in note for note in data.notes)


def test_a_part_is_called_a_part(folder):
    root, _ = folder
    (root / "data_batch_5").unlink()
    data = load(root)
    assert data.notes == (
        "40 of 160 training images are held out for validation.",
        "The files were not compared with the published CIFAR-10 (verify=false).",
        "Absent: data_batch_5.",
        "A part of CIFAR-10: 160 of 50000 training and the first 30 of 10000 test images; "
        "say so with every result.",
    )


def test_a_missing_test_file_is_not_optional(folder):
    root, _ = folder
    (root / "test_batch").unlink()
    (root / "batches.meta").unlink()
    with pytest.raises(DataError) as caught:
        load(root)
    assert [(problem.where, problem.what, problem.rule) for problem in caught.value.problems] == [
        ("batches.meta", "the file is absent", "at least one is needed"),
        ("test_batch", "the file is absent", "at least one is needed"),
    ]


def test_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SNN_DEPLOY_DATA", str(tmp_path))
    with pytest.raises(DataError, match="There is no CIFAR-100 folder at") as caught:
        cifar100(Cifar100Options(), timesteps=1)
    assert str(tmp_path / "cifar-100-python") in caught.value.message
    assert "-o data.root=PATH" in caught.value.hint


FAULTS = {
    "wide": ({"data": np.zeros((2, 3071), np.uint8)}, "'data' is not an array of bytes with 3072 columns"),
    "float": ({"data": np.zeros((2, 3072), np.float32)}, "'data' is not an array of bytes with 3072 columns"),
    "no data": ({"data": None}, "'data' is not an array of bytes with 3072 columns"),
    "fewer labels": ({"labels": [1]}, "'labels' is not a list of 2 numbers"),
    "large label": ({"labels": [1, 10]}, "'labels' holds something else than numbers from 0 to 9"),
    "negative label": ({"labels": [1, -1]}, "'labels' holds something else than numbers from 0 to 9"),
    "text label": ({"labels": [1, "2"]}, "'labels' holds something else than numbers from 0 to 9"),
    "no labels": ({"labels": {}}, "'labels' is not a list of 2 numbers"),
    "code": ({"labels": print}, "it refers to 'builtins.print'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_batch_is_named(folder, fault):
    root, _ = folder
    changes, reason = FAULTS[fault]
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]} | changes
    (root / "data_batch_2").write_bytes(pickle.dumps(batch, 4))
    (root / "data_batch_4").write_bytes(b"not a pickle")
    with pytest.raises(DataError) as caught:
        load(root)
    problems = {problem.where: problem.what for problem in caught.value.problems}
    assert set(problems) == {"data_batch_2", "data_batch_4"}
    assert reason in problems["data_batch_2"]


@pytest.mark.parametrize("names", [["a"] * 9, [1] * 10, None, [b"\xff"] * 10])
def test_damaged_meta_is_named(folder, names):
    root, _ = folder
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, 4))
    with pytest.raises(DataError, match=r"batches\.meta: 'label_names'"):
        load(root)


def test_digest_follows_content_split_and_nothing_else(folder):
    root, _ = folder
    first = load(root).digest
    assert load(root, validation=41).digest != first
    moved = root.rename(root.parent / "moved")
    assert load(moved).digest == first
    write_cifar10(root, seed=1)
    assert load(root).digest != first


def test_registered_with_options():
    for name, layout in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        entry = DATASETS.get(name)
        options = entry.options()
        assert (options.verify, options.validation, options.normalize) == (True, 5000, name)
        assert layout.title in entry.summary


@pytest.fixture(scope="module")
def real():
    root = real_data("cifar-10-batches-py")
    return root, cifar10(CifarOptions(root=root, verify=False), timesteps=1)


def test_real_images(real):
    root, data = real
    assert len(data.classes) == 10
    batch = pickle.loads((root / "data_batch_1").read_bytes(), encoding="bytes")
    first = data.train.samples < 10_000
    np.testing.assert_array_equal(
        data.train.pixels[first].flatten(1).numpy(), batch[b"data"][data.train.samples[first]]
    )
    labels = np.array(batch[b"labels"])
    assert data.train.labels[first].tolist() == labels[data.train.samples[first]].tolist()
    assert len(data.validation) == 5000
    counts = torch.bincount(data.validation.labels)
    assert counts.min() > 480
    assert counts.max() < 520


def test_real_images_have_the_published_statistics(real):
    _, data = real
    # One pixel in four of each direction: what is left out changes the figures by less than is allowed.
    x = data.train.pixels[:, :, ::4, ::4].float() / 255
    std, mean = torch.std_mean(x, dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor(NORMALIZATIONS["cifar10"].mean), rtol=0, atol=0.005)
    torch.testing.assert_close(std, torch.tensor(NORMALIZATIONS["cifar10"].std), rtol=0, atol=0.005)
    normalised = data.validation.batch(torch.arange(5000))[0]
    assert normalised.mean((0, 2, 3)).abs().max() < 0.05


def test_real_files_verify_or_are_named():
    root = real_data("cifar-10-batches-py")
    published = CIFAR10.meta | CIFAR10.train | CIFAR10.test
    wrong = {
        name
        for name, md5 in published.items()
        if not (root / name).exists() or hashlib.md5((root / name).read_bytes()).hexdigest() != md5
    }
    options = CifarOptions(root=root)
    if not wrong:
        assert len(cifar10(options, timesteps=1).test) == 10_000
        return
    with pytest.raises(DataError) as caught:
        cifar10(options, timesteps=1)
    assert {problem.where for problem in caught.value.problems} == wrong
